"""``compose logs``, and the output of several containers as one: a line at a time, each with its container's name."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from labdock.commands import compose
from labdock.commands.results import Exited, Result
from labdock.commands.talking import moment
from labdock.commands.tree import command
from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import ContainerSummary
    from labdock.commands.face import Face

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
#: Lines that wait to be shown, and seconds after which a reader looks whether it is still wanted.
MOST_WAITING, TICK = 256, 0.5


class Interleaved:
    """The logs of *containers* as (stream, line with its prefix), as they come. ``ended`` has those that are over."""

    def __init__(
        self,
        client: Client,
        containers: Sequence[ContainerSummary],
        *,
        follow: bool,
        tail: str = "all",
        since: str | None = None,
        until: str | None = None,
        timestamps: bool = False,
        colour: bool = False,
        prefix: bool = True,
    ) -> None:
        self._client = client
        self._containers = containers
        self._query = {"follow": follow, "tail": tail, "since": since, "until": until, "timestamps": timestamps}
        self._lines: queue.Queue[tuple[int, str, bytes | None]] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        names = [short_name(each) for each in containers]
        wide = max((len(name) for name in names), default=0)
        self._prefixes = []
        for index, name in enumerate(names):
            text = f"{name.ljust(wide)}  | " if prefix else ""
            code = COLOURS[index % len(COLOURS)]
            self._prefixes.append(f"\x1b[{code}m{text}\x1b[0m".encode() if colour and text else text.encode())
        self.ended: list[ContainerSummary] = []

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for index in range(len(self._containers)):
            threading.Thread(target=self._read, args=(index,), daemon=True).start()
        left = len(self._containers)
        try:
            while left:
                index, stream, line = self._lines.get()
                if line is None:
                    left -= 1
                    self.ended.append(self._containers[index])
                    yield stream, b""
                else:
                    yield stream, self._prefixes[index] + line
        finally:
            self._stop.set()

    def _read(self, index: int) -> None:
        kept = {"stdout": b"", "stderr": b""}
        try:
            output = self._client.containers.logs(self._containers[index].id, **self._query)  # type: ignore[arg-type]
            with output:
                for stream, data in output.ticks(TICK):
                    *lines, rest = (kept[stream] + data).split(b"\n")
                    kept[stream] = rest
                    for line in lines:
                        self._put(index, stream, line + b"\n")
                    if self._stop.is_set():
                        return
        except LabdockError as error:
            self._put(index, "stderr", f"{error.message}\n".encode())
        finally:
            for name, rest in kept.items():
                if rest:
                    self._put(index, name, rest + b"\n")
            self._put(index, "stdout", None)

    def _put(self, index: int, stream: str, line: bytes | None) -> None:
        while not self._stop.is_set():
            try:
                return self._lines.put((index, stream, line), timeout=TICK)
            except queue.Full:
                continue
        return None


def short_name(each: ContainerSummary) -> str:
    """``web-1``: its name without the project's."""
    from labdock.compose import labels

    project = each.labels.get(labels.PROJECT, "")
    for mark in "-_":
        if each.name.startswith(project + mark):
            return each.name[len(project) + 1 :]
    return each.name


def coloured(face: Face, no_color: bool) -> bool:
    return not no_color and not os.environ.get("NO_COLOR") and (face.output_is_terminal() or face.keeps_results)


@command("logs")
@click.option("-f", "--follow", is_flag=True, help="Follow log output")
@click.option("--since", help='Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")')
@click.option("--until", help='Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")')
@click.option("-n", "--tail", default="all", help="Number of lines to show from the end of the logs for each container")
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps")
@click.option("--no-color", is_flag=True, help="Produce monochrome output")
@click.option("--no-log-prefix", is_flag=True, help="Don't print prefix in logs")
@click.option("--index", type=int, default=0, help="index of the container if service has multiple replicas")
@click.argument("services", nargs=-1)
@click.pass_obj
def logs(
    face: Face,
    /,
    services: tuple[str, ...],
    follow: bool,
    since: str | None,
    until: str | None,
    tail: str,
    timestamps: bool,
    no_color: bool,
    no_log_prefix: bool,
    index: int,
) -> Result:
    """View output from containers."""
    from labdock.compose.project import number_of

    deployment = compose.deploy(face, services)
    deployment.check_names(services)
    found = [each for each in deployment.containers(services) if not index or number_of(each) == index]
    lines = Interleaved(
        face.client,
        found,
        follow=follow,
        tail=tail,
        since=moment(since),
        until=moment(until),
        timestamps=timestamps,
        colour=coloured(face, no_color),
        prefix=not no_log_prefix,
    )
    face.follow(lines)
    return Exited(0)
