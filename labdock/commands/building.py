"""``build``, and the build of a notebook cell."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labdock.client.builds import BuildError
from labdock.commands import foreign, growth, values
from labdock.commands.build_inputs import Delivery, read_extras
from labdock.commands.build_outputs import deliver, read_deliveries
from labdock.commands.build_view import BuildView, CheckReport
from labdock.commands.builders import remember_failure
from labdock.commands.cards import ImageCard
from labdock.commands.cell_context import takes_files, through
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import DockerfileError, EngineUnreachable, InvalidRequest
from labdock.schema.build import BuildFailed

if TYPE_CHECKING:
    from labdock.client.context import Context
    from labdock.commands.face import Face
    from labdock.commands.last_build import LastBuild
    from labdock.schema.build import AnyBuildEvent

F = TypeVar("F", bound=Callable[..., Any])

_REMOTE = re.compile(r"(https?|git|ssh)://|git@|github\.com/")


def build_options(function: F) -> F:
    """Decorator: the options that ``build`` and ``%%dockerfile`` share."""
    options = [
        click.option("--add-host", multiple=True, help="Add a custom host-to-IP mapping (host:ip)"),
        click.option("--allow", multiple=True, help='Allow extra privileged entitlement (e.g. "network.host")'),
        click.option("--build-arg", multiple=True, help="Set build-time variables"),
        click.option("--build-context", multiple=True, help="Additional build contexts (name=path, image or URL)"),
        click.option("--cache-from", multiple=True, help='Cache sources (an image, "type=local,src=FOLDER")'),
        click.option("--cache-to", multiple=True, help='Cache destinations ("type=local,dest=FOLDER[,mode=max]")'),
        click.option("--check", is_flag=True, help="Check the Dockerfile, build nothing"),
        click.option("--explain", is_flag=True, help="Say of each step that is not cached which input changed"),
        click.option("--force-context", is_flag=True, help="Send the context even if it is a home or over 500 MB"),
        click.option("--force-rm", is_flag=True, help="Always remove intermediate containers (it always does)"),
        click.option("--iidfile", help="Write the image ID to the file"),
        click.option("--label", multiple=True, help="Set metadata for an image"),
        click.option("--network", help="Set the networking mode for the RUN instructions during build"),
        click.option("--no-cache", is_flag=True, help="Do not use cache when building the image"),
        click.option("-o", "--output", multiple=True, help='Output destination ("type=local,dest=path", tar, oci)'),
        click.option("--platform", help="Set platform if server is multi-platform capable"),
        click.option(
            "--progress",
            type=click.Choice(["auto", "plain", "tty", "quiet", "rawjson"]),
            default="auto",
            help="Set type of progress output (rawjson: the typed events)",
        ),
        click.option("--provenance", help="Record how the image was made (true, mode=max), as an attestation"),
        click.option("--pull", is_flag=True, help="Always attempt to pull a newer version of the image"),
        click.option("-q", "--quiet", is_flag=True, help="Suppress the build output and print image ID on success"),
        click.option("--reproducible", is_flag=True, help="The same inputs give the same image, on any day"),
        click.option("--rm/--no-rm", default=True, help="Remove intermediate containers (it always does)"),
        click.option("--secret", multiple=True, help='Secret to expose to the build ("id=ID,src=FILE", env=NAME)'),
        click.option("--shm-size", help="Size of /dev/shm of the build's steps"),
        click.option("--ssh", multiple=True, help='SSH agent to expose to the build ("default", "ID=SOCKET")'),
        click.option("-t", "--tag", multiple=True, help='Name and optionally a tag in the "name:tag" format'),
        click.option("--target", help="Set the target build stage to build"),
    ]
    for option in reversed(options):
        function = option(function)
    return foreign.build_options(function)


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
    title = f"Building {', '.join(options['tag']) or 'an image'}"
    if _REMOTE.match(path) and not Path(path).exists():
        if dockerfile == "-":
            raise InvalidRequest("a Dockerfile from standard input can't be used with a remote context")
        return build_image(face, BuildView(title), None, dockerfile, options, remote=path)
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
    return _build_known(face, BuildView(title, _source(made)), made, options)


def _build_known(face: Face, view: BuildView, made: Context, options: dict[str, Any]) -> Result:
    """A build whose Dockerfile is known here: its steps can be looked into afterwards."""
    from labdock.commands.last_build import remember

    try:
        return build_image(face, view, iter(made), made.dockerfile, options)
    finally:
        remember(view, made.folder, options)


def build_through(face: Face, last: LastBuild, line: int) -> str:
    """The id of the image that *last* would be if it ended with the instruction in *line*; shows only failures."""
    from labdock.client import context

    text = through(last.source, line).encode()
    made = context.from_text(text)
    if last.folder is not None:
        made = context.from_folder(Path(last.folder), text=text, force=True)
    options = dict.fromkeys((parameter.name or "" for parameter in build.params), None)
    options |= {name: () for name in ("tag", "output", "cache_to", "label")} | last.options
    options |= {"quiet": True, "progress": "quiet", "force_context": True}
    return str(build_image(face, BuildView("Building a part"), iter(made), made.dockerfile, options))


@command("%%dockerfile")
@click.option("--step", "growing", help="Go on with the build of this name: its cells so far, then this one")
@click.option("--context", "folder", help="The folder that COPY and ADD take files from (default: the current one)")
@build_options
@click.pass_obj
def build_cell(face: Face, /, folder: str | None, growing: str | None, **options: Any) -> Result:
    """Build an image from the Dockerfile in the cell's body.

    The current folder is sent as the context only when the cell takes files from it (COPY, ADD), or with --context.
    """
    from labdock.client import context

    text = face.read_input()
    source = text.decode("utf-8", "replace")
    if not source.strip():
        raise InvalidRequest(
            "the cell has no Dockerfile in it", hint="write it below the %%dockerfile line: FROM busybox …"
        )
    before = ""
    if growing:
        before = growth.before(growing, face.cell, source)
        source = before + source
        text = source.encode()
        options["tag"] = options["tag"] or (growing,)
    if folder is None and not takes_files(source):
        made = context.from_text(text)
    else:
        root = Path(folder or ".").expanduser()
        made = context.from_folder(root, text=text, force=bool(options["force_context"]))
    first = face.input_line - before.count("\n")
    view = BuildView(f"Building {', '.join(options['tag']) or 'an image'}", source, first_line=first)
    built = _build_known(face, view, made, options)
    if growing:
        growth.keep(growing, face.cell, source[len(before) :])
    return built


def _is_archive(data: bytes) -> bool:
    """Whether *data* is a tar, perhaps compressed, rather than a Dockerfile."""
    return data[257:262] == b"ustar" or data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"))


def _source(made: Context) -> str | None:
    data = made.extra.get(made.dockerfile)
    if data is None and made.folder is not None:
        data = (made.folder / made.dockerfile).read_bytes()
    return None if data is None else data.decode("utf-8", "replace")


def build_image(
    face: Face,
    view: BuildView,
    tar: Iterator[bytes] | None,
    dockerfile: str | None,
    options: dict[str, Any],
    *,
    remote: str | None = None,
) -> Result:
    """Send the context, show the build, give the image. Raises BuildError when the build fails."""
    quiet = options["quiet"] or options["progress"] == "quiet"
    deliveries = read_deliveries(options["output"], options["cache_to"])
    extras, cache_from = read_extras(options, deliveries)
    events = _with_refusal(
        face.client.builds.build(
            tar,
            remote=remote,
            dockerfile=dockerfile,
            names=options["tag"],
            build_args=build_arguments(options["build_arg"]),
            labels=values.key_values(options["label"]),
            target=options["target"],
            no_cache=options["no_cache"],
            pull=options["pull"],
            network=options["network"],
            platform=options["platform"],
            hosts=tuple(map(values.extra_host, options["add_host"] or ())),
            shm_size=values.size(options["shm_size"]) if options["shm_size"] else 0,
            cache_from=cache_from,
            extras=extras,
            tick=None if quiet else 0.5,
        )
    )
    if quiet or options["progress"] == "rawjson":
        _follow_silently(face, view, events, raw=not quiet)
    else:
        face.show_build(view, events)
    if view.failed is not None:
        raise _failure(face, view.failed)
    if options["check"]:
        return CheckReport(view.warnings, view)
    return _finish(face, view, deliveries, options, quiet=quiet)


def _finish(
    face: Face, view: BuildView, deliveries: tuple[Delivery, ...], options: dict[str, Any], *, quiet: bool
) -> Result:
    """What was built, handed over."""
    if view.done is None:
        raise EngineUnreachable(
            "the build's stream ended without an image or an error",
            hint="the engine may have been restarted; `labdock engine logs` shows its last words",
        )
    deliver(face, deliveries, view.exported)
    if options["iidfile"]:
        Path(options["iidfile"]).write_text(view.done.image)
    if any(each.path is None for each in deliveries):
        return Text("")  # Standard output is the tar's.
    if not view.done.image:  # Nothing was asked for but the outputs: no image was kept.
        return Text(", ".join(str(each.path) for each in deliveries) if face.keeps_results else "")
    if not face.keeps_results or quiet:
        return Text(view.done.image)
    return ImageCard(face.client.images.inspect(view.done.image), view.done.names, view)


def _follow_silently(face: Face, view: BuildView, events: Iterator[AnyBuildEvent | None], *, raw: bool) -> None:
    import msgspec

    for event in events:
        if event is not None:
            view.apply(event, 0.0)
            if raw:
                face.write("stderr", msgspec.json.encode(event) + b"\n")


def _failure(face: Face, failed: BuildFailed) -> BuildError:
    """The error, and how to look around where it happened."""
    if failed.debug:
        import msgspec

        remember_failure(failed.debug)
        way = (
            "%%container debug runs the lines below it in the state before this step"
            if face.keeps_results
            else "`labdock debug` opens a shell in the state before this step"
        )
        failed = msgspec.structs.replace(failed, hint=f"{failed.hint}; {way}" if failed.hint else way)
    return BuildError(failed)


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
