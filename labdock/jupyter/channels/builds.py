"""Kind ``build``: a Dockerfile of the server's folder, as its steps are carried out. Closing the channel ends it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from labdock.client import connect
from labdock.commands.build_view import BuildView, excerpt_text, notice_text, step_note
from labdock.errors import DockerfileError, InvalidRequest, LabdockError
from labdock.jupyter import places
from labdock.jupyter.channels import Channel, Opened, text
from labdock.schema import build as events

if TYPE_CHECKING:
    from labdock.client.context import Context


async def build(channel: Channel, frame: Opened) -> dict[str, Any]:
    """A Dockerfile or a folder with one, its folder being the context. What failed is shown with its line, marked."""
    from labdock.client import context
    from labdock.client.aio import AsyncClient
    from labdock.client.transport import UnixTransport

    place = places.locate(channel.desk.settings, text(frame, "path"))
    args = frame.get("args") or {}
    if not isinstance(args, dict):
        raise InvalidRequest("'args' is no object")
    await channel.desk.link.ensure()
    folder, dockerfile = (place, None) if place.is_dir() else (place.parent, place)
    found = await asyncio.to_thread(context.from_folder, folder, dockerfile=dockerfile)
    environment = channel.desk.environment

    def make(transport: type[UnixTransport]) -> Any:
        return connect(environment, start=False, transport=transport)

    tag = text(frame, "tag", "")
    view = BuildView(place.name, await asyncio.to_thread(_source, found))
    client: Any = AsyncClient(make)
    stream = client.builds.build(
        iter(found),
        dockerfile=found.dockerfile,
        names=(tag,) if tag else (),
        target=text(frame, "target", "") or None,
        build_args={str(key): str(value) for key, value in args.items()},
    )
    try:
        async with stream:
            async for event in stream:
                if event is None:
                    continue
                view.apply(event, time.monotonic())
                if isinstance(event, events.BuildFailed):
                    raise await _failure(channel, view, event)
                if isinstance(event, events.BuildDone):
                    return {"id": event.image}
                if (words := describe(view, event)) is not None:
                    await channel.data(text=words)
    except DockerfileError as error:
        # Refused before the first step: a failure with a place like any other.
        refused = events.BuildFailed(
            message=error.message,
            hint=error.hint,
            line=error.line,
            end_line=error.end_line,
            column=error.column,
            end_column=error.end_column,
        )
        view.apply(refused, time.monotonic())
        raise await _failure(channel, view, refused) from error
    raise LabdockError("the build ended without an image", hint="`labdock engine logs` shows the engine's last words")


def _source(found: Context) -> str | None:
    """The Dockerfile's text."""
    data = found.extra.get(found.dockerfile)
    if data is None and found.folder is not None:
        data = (found.folder / found.dockerfile).read_bytes()
    return None if data is None else data.decode("utf-8", "replace")


async def _failure(channel: Channel, view: BuildView, failed: events.BuildFailed) -> LabdockError:
    """Show where it failed; the error to end with."""
    if excerpt := excerpt_text(view):
        await channel.data(text=f"\n{excerpt}\n")
    where = f"{view.title}, line {failed.line}: " if failed.line else ""
    return LabdockError(where + failed.message, hint=failed.hint)


def describe(view: BuildView, event: object) -> str | None:
    """What a reader is told of a build's event, which *view* has taken; None for what is not news."""
    match event:
        case events.StepStarted():
            return f"Step {event.step}/{event.total} : {event.text}\n"
        case events.StepCached():
            return " ---> Using cache\n"
        case events.StepOutput():
            return event.text
        case events.StepDone() if (step := view.step(event.step)) and step.state == "done":
            return f" ---> {step_note(step, 0.0)}\n"
        case events.BuildNotice():
            return notice_text(view, event) + "\n"
    return None
