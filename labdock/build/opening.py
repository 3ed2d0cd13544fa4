"""A build's request read: its Dockerfile, plan and context, and what the checks say. Blocks; in a worker thread."""

from __future__ import annotations

import platform as machine
from dataclasses import dataclass

from labdock.build import BuildRequest, ImageStore
from labdock.build.checks import Finding
from labdock.build.context import ignore, read_file
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.parser import parse
from labdock.build.plan import Plan, make_plan
from labdock.build.review import review
from labdock.build.trees import MemoryTree, scan
from labdock.errors import InvalidRequest

_LARGEST_DOCKERFILE = 4 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A request as read. ``context`` is without what is ignored; ``epoch`` in seconds, None: the clock counts."""

    plan: Plan
    epoch: int | None
    context: MemoryTree
    findings: tuple[Finding, ...]


def open_request(request: BuildRequest, images: ImageStore) -> Opened:
    """Read, plan and check *request*. Raises InvalidRequest, DockerfileError."""
    tree = request.tree if request.tree is not None else scan(request.context)
    plan = _make_plan(_read_dockerfile(tree, request), request)
    stages = frozenset(entry.stage.index for entry in plan.stages)
    findings = review(plan.dockerfile, request, tree, images, native_platform(), stages)
    return Opened(plan, find_epoch(plan), ignore(tree, request.dockerfile), findings)


def check_request(request: BuildRequest, images: ImageStore) -> tuple[Finding, ...]:
    """Only what the checks say of *request*. Raises InvalidRequest, DockerfileError."""
    tree = request.tree if request.tree is not None else scan(request.context)
    dockerfile = _read_dockerfile(tree, request)
    stages = None
    plan = _make_plan(dockerfile, request)
    if request.target:
        stages = frozenset(entry.stage.index for entry in plan.stages)
    return review(dockerfile, request, tree, images, native_platform(), stages)


def _read_dockerfile(tree: MemoryTree, request: BuildRequest) -> ast.Dockerfile:
    data = read_file(tree, request.dockerfile, _LARGEST_DOCKERFILE)
    if data is None:
        raise InvalidRequest(
            f"Cannot locate specified Dockerfile: {request.dockerfile}",
            hint="it must be inside the build context; name it with -f when it is not called Dockerfile",
        )
    return parse(data)


def _make_plan(dockerfile: ast.Dockerfile, request: BuildRequest) -> Plan:
    return make_plan(
        dockerfile,
        build_args=request.build_args,
        target=request.target,
        platform=request.platform,
        native=native_platform(),
        contexts=frozenset(request.contexts),
    )


def native_platform() -> str:
    """What this machine builds for by default, like linux/amd64."""
    name = machine.machine()
    return f"linux/{_ARCHITECTURES.get(name, name)}"


def find_epoch(plan: Plan) -> int | None:
    """SOURCE_DATE_EPOCH, from a build argument or a global ARG, in seconds. Raises InvalidRequest."""
    text = plan.build_args.get("SOURCE_DATE_EPOCH", plan.arguments.get("SOURCE_DATE_EPOCH", ""))
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise InvalidRequest(f"invalid SOURCE_DATE_EPOCH: {text}", hint="it is a number of seconds since 1970")
    return int(text)
