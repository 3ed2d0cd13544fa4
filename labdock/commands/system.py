"""``version``, ``info``, ``events``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

import labdock
from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.results import Exited, Result, Text, printable, unescape, visible
from labdock.commands.talking import moment
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.schema.events import Event

API_VERSION = "1.51"
format_option = click.option("-f", "--format", "form", help="Format output using a Go template, or json")


@command("version")
@format_option
@click.pass_obj
def version(face: Face, /, form: str | None) -> Result:
    """Show the versions of client and engine."""
    found = face.client.system.version()
    client = {"Version": labdock.__version__, "ApiVersion": API_VERSION, "Os": "linux"}
    if form:
        return _formatted({"Client": client, "Server": found.raw}, form)
    components = [
        f"  {name}: {version}"
        for name, version in (
            (part.get("Name", ""), part.get("Version", "")) for part in found.raw.get("Components") or ()
        )
    ]
    lines = [
        "Client: labdock",
        f"  Version: {labdock.__version__}",
        f"  API version: {API_VERSION}",
        "",
        f"Server: {(found.raw.get('Platform') or {}).get('Name') or 'engine'}",
        f"  Version: {found.version}",
        f"  API version: {found.api_version} (minimum version {found.min_api_version})",
        f"  OS/Arch: {found.os}/{found.arch}",
        f"  Kernel: {found.kernel_version}",
        *components,
    ]
    return Text("\n".join(lines))


def _formatted(value: dict[str, Any], form: str) -> Result:
    from labdock.commands.template import Template

    return Text(Template("{{json .}}" if form == "json" else unescape(form)).render(value))


INFO_LINES = (
    ("Server version", "ServerVersion"),
    ("Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    ("Images", "Images"),
    ("Storage driver", "Driver"),
    ("Cgroup driver", "CgroupDriver"),
    ("Cgroup version", "CgroupVersion"),
    ("Kernel version", "KernelVersion"),
    ("Operating system", "OperatingSystem"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
    ("Total memory", "MemTotal"),
    ("Name", "Name"),
    ("Data folder", "DockerRootDir"),
)


@command("info")
@format_option
@click.pass_obj
def info(face: Face, /, form: str | None) -> Result:
    """Display system-wide information."""
    found = face.client.system.info()
    if form:
        return _formatted(found, form)
    shown = {**found, "MemTotal": units.binary_size(found.get("MemTotal") or 0)}
    lines = [f"{title}: {shown[name]}" for title, name in INFO_LINES if shown.get(name) not in (None, "")]
    lines += [f"WARNING: {warning}" for warning in found.get("Warnings") or ()]
    return Text("\n".join(lines))


@command("events")
@click.option("-f", "--filter", "conditions", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "form", help="Format output using a Go template, or json")
@click.option("--since", help="Show all events created since timestamp")
@click.option("--until", help="Stream events until this timestamp")
@click.pass_obj
def events(
    face: Face, /, conditions: tuple[str, ...], form: str | None, since: str | None, until: str | None
) -> Result:
    """Get real time events from the engine."""
    found = face.client.system.events(since=moment(since), until=moment(until), filters=filters(conditions))
    face.follow(_lines(found, form, cleaned=face.output_is_terminal()))
    return Exited(0)


def _lines(found: Iterator[Event], form: str | None, *, cleaned: bool) -> Iterator[tuple[str, bytes]]:
    """*cleaned*: what a template makes is shown on a terminal, which takes control characters for orders."""
    import msgspec

    for event in found:
        if form == "json":
            text = msgspec.json.encode(event).decode()
        elif form:
            from labdock.commands.template import Template

            text = Template(unescape(form)).render(msgspec.to_builtins(event))
        else:
            text = printable(event_text(event))
        yield "stdout", f"{visible(text) if cleaned else text}\n".encode("utf-8", "surrogateescape")


def event_text(event: Event) -> str:
    """``2026-11-24T07:10:00.123456789Z container start 4f… (image=busybox, name=web)``."""
    seconds, nano = divmod(event.time_ns or event.time * 10**9, 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(event.actor.attributes.items()))
    return f"{stamp}.{nano:09d}Z {event.type} {event.action} {event.actor.id}" + (
        f" ({attributes})" if attributes else ""
    )
