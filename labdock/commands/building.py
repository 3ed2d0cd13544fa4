"""``build``, and the build of a notebook cell."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labdock.commands import values
from labdock.commands.build_view import BuildError, BuildView
from labdock.commands.cards import ImageCard
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import DockerfileError, EngineUnreachable, InvalidRequest
from labdock.schema.build import BuildFailed

if TYPE_CHECKING:
    from labdock.client.context import Context
    from labdock.commands.face import Face
    from labdock.schema.build import AnyBuildEvent

F = TypeVar("F", bound=Callable[..., Any])

#: Instructions that take files from the context; a cell without one needs no folder.
_USES_CONTEXT = re.compile(
    r"^\s*(?:ONBUILD\s+)?(?:COPY|ADD|RUN\s+--mount)\b(?!\s+--from)", re.IGNORECASE | re.MULTILINE
)


def build_options(function: F) -> F:
    """Decorator: the options that ``build`` and ``%%dockerfile`` share."""
    options = [
        click.option("--build-arg", multiple=True, help="Set build-time variables"),
        click.option("--cache-from", multiple=True, help="Images to consider as cache sources"),
        click.option("--force-context", is_flag=True, help="Send the context even if it is a home or over 500 MB"),
        click.option("--force-rm", is_flag=True, help="Always remove intermediate containers (it always does)"),
        click.option("--iidfile", help="Write the image ID to the file"),
        click.option("--label", multiple=True, help="Set metadata for an image"),
        click.option("--network", help="Set the networking mode for the RUN instructions during build"),
        click.option("--no-cache", is_flag=True, help="Do not use cache when building the image"),
        click.option("--platform", help="Set platform if server is multi-platform capable"),
        click.option("--pull", is_flag=True, help="Always attempt to pull a newer version of the image"),
        click.option("-q", "--quiet", is_flag=True, help="Suppress the build output and print image ID on success"),
        click.option("--rm/--no-rm", default=True, help="Remove intermediate containers (it always does)"),
        click.option("-t", "--tag", multiple=True, help='Name and optionally a tag in the "name:tag" format'),
        click.option("--target", help="Set the target build stage to build"),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command("build")
@click.option("-f", "--file", "dockerfile", help='Name of the Dockerfile (Default is "PATH/Dockerfile")')
@build_options
@click.argument("path")
@click.pass_obj
def build(face: Face, /, path: str, dockerfile: str | None, **options: Any) -> Result:
    """Build an image from a Dockerfile: `build [OPTIONS] PATH | -`."""
    from labdock.client import context

    if path == "-" and dockerfile == "-":
        raise InvalidRequest("invalid argument: can't use stdin for both build context and dockerfile")
    if re.match(r"(https?|git|ssh)://|git@|github\.com/", path):
        raise InvalidRequest(
            f"unable to prepare context: {path} is a URL: only folders and - are served yet",
            hint="clone or download it, then build the folder",
        )
    title = f"Building {', '.join(options['tag']) or 'an image'}"
    if path == "-":
        data = face.read_input()
        if _is_archive(data):
            view = BuildView(title)
            return build_image(face, view, iter((data,)), dockerfile, options)
        made = context.from_text(data)
    else:
        text = face.read_input() if dockerfile == "-" else None
        given = None if dockerfile in (None, "-") else Path(str(dockerfile))
        made = context.from_folder(
            Path(path).expanduser(), dockerfile=given, text=text, force=bool(options["force_context"])
        )
    return build_image(face, BuildView(title, _source(made)), iter(made), made.dockerfile, options)


@command("%%dockerfile")
@click.option("--context", "folder", help="The folder that COPY and ADD take files from (default: the current one)")
@build_options
@click.pass_obj
def build_cell(face: Face, /, folder: str | None, **options: Any) -> Result:
    """Build an image from the Dockerfile in the cell's body.

    The current folder is sent as the context only when the cell has COPY or ADD, or with --context.
    """
    from labdock.client import context

    text = face.read_input()
    source = text.decode("utf-8", "replace")
    if not source.strip():
        raise InvalidRequest(
            "the cell has no Dockerfile in it", hint="write it below the %%dockerfile line: FROM busybox …"
        )
    if folder is None and not _USES_CONTEXT.search(source):
        made = context.from_text(text)
    else:
        root = Path(folder or ".").expanduser()
        made = context.from_folder(root, text=text, force=bool(options["force_context"]))
    view = BuildView(f"Building {', '.join(options['tag']) or 'an image'}", source, first_line=face.input_line)
    return build_image(face, view, iter(made), made.dockerfile, options)


def _is_archive(data: bytes) -> bool:
    """Whether *data* is a tar, perhaps compressed, rather than a Dockerfile."""
    return data[257:262] == b"ustar" or data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"))


def _source(made: Context) -> str | None:
    data = made.extra.get(made.dockerfile)
    if data is None and made.folder is not None:
        data = (made.folder / made.dockerfile).read_bytes()
    return None if data is None else data.decode("utf-8", "replace")


def build_image(
    face: Face, view: BuildView, tar: Iterator[bytes], dockerfile: str | None, options: dict[str, Any]
) -> Result:
    """Send the context, show the build, give the image. Raises BuildError when the build fails."""
    tick = None if options["quiet"] else 0.5
    events = face.client.builds.build(
        tar,
        dockerfile=dockerfile,
        names=options["tag"],
        build_args=build_arguments(options["build_arg"]),
        labels=values.key_values(options["label"]),
        target=options["target"],
        no_cache=options["no_cache"],
        pull=options["pull"],
        network=options["network"],
        platform=options["platform"],
        cache_from=options["cache_from"],
        tick=tick,
    )
    events = _with_refusal(events)
    if options["quiet"]:
        for event in events:
            if event is not None:
                view.apply(event, 0.0)
    else:
        face.show_build(view, events)
    if view.failed is not None:
        raise BuildError(view.failed)
    if view.done is None:
        raise EngineUnreachable(
            "the build's stream ended without an image or an error",
            hint="the engine may have been restarted; `labdock engine logs` shows its last words",
        )
    if options["iidfile"]:
        Path(options["iidfile"]).write_text(view.done.image)
    if not face.keeps_results or options["quiet"]:
        return Text(view.done.image)
    return ImageCard(face.client.images.inspect(view.done.image), view.done.names)


def _with_refusal(events: Iterator[AnyBuildEvent | None]) -> Iterator[AnyBuildEvent | None]:
    """*events*; a Dockerfile that was refused before the first is a failure with a place like any other."""
    try:
        yield from events
    except DockerfileError as error:
        yield BuildFailed(
            message=error.message,
            hint=error.hint,
            line=error.line,
            end_line=error.end_line,
            column=error.column,
            end_column=error.end_column,
        )


def build_arguments(texts: tuple[str, ...]) -> dict[str, str | None]:
    """``A=1`` as given; ``A`` alone from the environment, else None (the engine's default stays)."""
    found: dict[str, str | None] = {}
    for text in texts:
        name, given, value = text.partition("=")
        found[name] = value if given else os.environ.get(name)
    return found
