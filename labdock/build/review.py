"""The checks of a build about to begin, with its ``.dockerignore`` and the base images that are here. Blocks."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from labdock.build import BuildRequest, ImageStore
from labdock.build.checks import BaseFacts, Finding, check, enforce
from labdock.build.context import read_file
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.words import LexError, expand
from labdock.build.patterns import BadPattern, PathMatcher, read_ignore_file
from labdock.build.plan import platform_arguments
from labdock.build.trees import MemoryTree
from labdock.errors import LabdockError

_LONGEST_IGNORE = 4 << 20
_MOST_BASES = 100


def review(
    dockerfile: ast.Dockerfile,
    request: BuildRequest,
    tree: MemoryTree,
    images: ImageStore,
    native: str,
    stages: Collection[int] | None = None,
) -> tuple[Finding, ...]:
    """What the checks find; ``stages`` as in :func:`check`. *tree* is the context with nothing ignored yet.

    Raises DockerfileError for ``error=true`` and for options that can't be read.
    """
    findings = check(
        dockerfile,
        _read_matcher(tree, request.dockerfile),
        build_args=request.build_args,
        target=request.target,
        platform=request.platform,
        native=native,
        bases=_find_bases(dockerfile, request, images, native),
        stages=stages,
    )
    enforce(dockerfile, findings, request.build_args)
    return findings


def _read_matcher(tree: MemoryTree, dockerfile: str) -> PathMatcher | None:
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        data = read_file(tree, name, _LONGEST_IGNORE)
        if data is not None:
            with suppress(BadPattern):
                return PathMatcher(read_ignore_file(data))
            return None
    return None


def _find_bases(
    dockerfile: ast.Dockerfile, request: BuildRequest, images: ImageStore, native: str
) -> dict[str, BaseFacts]:
    """What is known of base images without asking a registry."""
    values = platform_arguments(request.platform or native, native, request.target)
    for instruction in dockerfile.arguments:
        for one in instruction.declared:
            given = request.build_args.get(one.name)
            with suppress(LexError):
                text = expand(one.default.text, values, dockerfile.escape) if one.default is not None else None
                values |= {one.name: given} if given is not None else {one.name: text} if text is not None else {}
    names = set()
    for stage in dockerfile.stages:
        with suppress(LexError):
            names.add(expand(stage.start.base.text, values, dockerfile.escape))
    found = {}
    for name in sorted(names)[:_MOST_BASES]:
        with suppress(LabdockError):
            config = images.get(name).config
            platform = "/".join(filter(None, (config.os, config.architecture, config.variant)))
            found[name] = BaseFacts(config.config.env, config.config.shell or (), platform)
    return found
