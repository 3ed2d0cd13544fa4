"""The output of several containers as one: a line at a time, each with its container's name; over restarts too."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from labdock.compose import labels
from labdock.compose.crew import Halt
from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import ContainerSummary
    from labdock.client.system import Listening
    from labdock.commands.face import Face

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
#: Lines that wait to be shown, and seconds after which a reader looks whether it is still wanted.
MOST_WAITING, TICK = 256, 0.5
#: Events after which a container is looked at again.
TELLING = ("start", "die", "stop", "destroy")


@dataclass(slots=True)
class Source:
    """One container. ``reading``: a thread follows its log."""

    id: str
    name: str
    service: str
    colour: int
    reading: bool = False
    #: It ran, or will by its restart policy, when it was looked at last.
    alive: bool = True
    code: int = 0
    #: When the run began that was read last.
    run: str = ""
    #: Lines that were shown, by stream.
    shown: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """Which part of the logs, as the API takes it."""

    follow: bool
    tail: str = "all"
    since: str | None = None
    until: str | None = None
    timestamps: bool = False


@dataclass(slots=True)
class News:
    """A line of a source, or (``line`` None) that it is alive or not any more."""

    source: Source
    stream: str = "stdout"
    line: bytes | None = None
    alive: bool = field(default=False)


class Interleaved:
    """The logs of *containers* as (stream, line with its prefix), as they come; to the end of all of them.

    *again*: a container that starts again is followed again, and so is one that takes the place of another; a line
    says with what code one ended. ``ended`` has those that are over, in the order of their ends. *told* is called,
    in some thread, when there is something to ``take``.
    """

    def __init__(
        self,
        client: Client,
        containers: Sequence[ContainerSummary],
        query: Query,
        *,
        colour: bool = False,
        prefix: bool = True,
        again: bool = False,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._query = query
        self._colour, self._prefix, self._again = colour, prefix, again
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        #: Lines may have to wait for a place; what becomes of containers, which is told under the lock, may not.
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._told = told
        self._halt = Halt()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._project = next((each.labels.get(labels.PROJECT, "") for each in containers), "")
        self._sources: dict[str, Source] = {}
        self._alive: set[str] = set()
        self._wide = 0
        self._services: set[str] = set()
        self.ended: list[Source] = []
        self.join(containers, follow=False)

    def _add(self, id: str, name: str, service: str) -> Source:
        known = next((source.colour for source in self._sources.values() if source.name == name), None)
        colour = COLOURS[len(self._sources) % len(COLOURS)] if known is None else known
        self._sources[id] = Source(id, name, service, colour)
        self._alive.add(id)
        self._wide = max(self._wide, len(name))
        return self._sources[id]

    def listen(self, project: str, services: Collection[str], names: Iterable[str] = ()) -> None:
        """From now on follow what starts of *services*; *names* are those that it will have."""
        self._project = project
        self._services |= set(services)
        self._wide = max((self._wide, *(len(shortened(name, project)) for name in names)))
        filters = {"type": ["container"], "label": [f"{labels.PROJECT}={project}"]}
        heard = self._client.system.listen(filters=filters)
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def join(self, containers: Sequence[ContainerSummary], *, follow: bool = True) -> None:
        """Take these in too, where they are not yet."""
        with self._lock:
            for each in containers:
                if each.id not in self._sources:
                    source = self._add(each.id, short_name(each), each.labels.get(labels.SERVICE, ""))
                    self._services.add(source.service)
                    if follow:
                        self._follow(source)

    def take(self) -> Iterator[tuple[str, bytes]]:
        """What is there now, without waiting."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield from self._digest(self._news.get_nowait())

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        try:
            for source in list(self._sources.values()):
                if not source.reading and not source.run:
                    self._follow(source)
            yield from self.take()
            while self._alive:
                yield from self._digest(self._news.get())
        finally:
            self.close()

    def close(self) -> None:
        """Nothing more is read."""
        self._stopped.set()
        self._halt.set()

    def _digest(self, news: News) -> Iterator[tuple[str, bytes]]:
        source = news.source
        if news.line is not None:
            self._places.release()
            yield news.stream, self._prefix_of(source) + news.line
        elif news.alive:
            self._alive.add(source.id)
        elif source.id in self._alive:
            self._alive.discard(source.id)
            self.ended.append(source)
            yield "stdout", self._words(source)

    def _words(self, source: Source) -> bytes:
        """What is said of a container's end."""
        return f"{source.name} exited with code {source.code}\n".encode() if self._again else b""

    def _prefix_of(self, source: Source) -> bytes:
        if not self._prefix:
            return b""
        text = f"{source.name.ljust(self._wide)}  | "
        return (f"\x1b[{source.colour}m{text}\x1b[0m" if self._colour else text).encode()

    def _follow(self, source: Source) -> None:
        source.reading = True
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def _read(self, source: Source) -> None:
        """One container's log, and what it says after it was started again by then."""
        while True:
            try:
                self._read_once(source)
            except LabdockError as error:
                if error.status != 404:
                    self._put(News(source, "stderr", f"{error.message}\n".encode()))
            with self._lock:
                if not (self._again and self._look(source)):
                    source.reading = False
                    source.alive = source.alive and self._again
                    if not source.alive:
                        self._put(News(source))
                    return

    def _look(self, source: Source) -> bool:
        """Whether *source* has run since it was read."""
        try:
            found = self._client.containers.inspect(source.id)
        except LabdockError:
            source.alive = False
            return False
        source.alive = found.state.running or found.state.status == "restarting"
        source.code = found.state.exit_code
        return found.state.started_at != source.run

    def _read_once(self, source: Source) -> None:
        """The log from where the reading began, without what was shown already.

        Lines are counted rather than timed: a program may speak before the moment at which it is said to have started.
        """
        query, kept = self._query, {"stdout": b"", "stderr": b""}
        skip = dict(source.shown)
        found = self._client.containers.inspect(source.id)
        source.run = found.state.started_at
        output = self._client.containers.logs(
            source.id,
            follow=query.follow,
            tail=query.tail,
            since=query.since,
            until=query.until,
            timestamps=query.timestamps,
            tty=found.tty,
        )

        def show(stream: str, line: bytes) -> None:
            if skip.get(stream, 0) > 0:
                skip[stream] -= 1
                return
            source.shown[stream] = source.shown.get(stream, 0) + 1
            self._put(News(source, stream, line + b"\n"))

        try:
            with output:
                for stream, data in output.ticks(TICK):
                    *lines, kept[stream] = (kept[stream] + data).split(b"\n")
                    for line in lines:
                        show(stream, line)
                    if self._stopped.is_set():
                        return
        finally:
            for name, rest in kept.items():
                if rest:
                    show(name, rest)

    def _put(self, news: News) -> None:
        if news.line is not None:
            while not self._places.acquire(timeout=TICK):
                if self._stopped.is_set():
                    return
        self._news.put(news)
        self._told()

    # Restarts.

    def _listen(self, heard: Listening) -> None:
        """Hear of the project's containers until it is over; what starts again is read again."""
        with contextlib.suppress(LabdockError), contextlib.closing(heard):
            while not self._stopped.is_set():
                for event in heard.events():
                    if event.action in TELLING:
                        self._heard(event.action, event.actor.id, event.actor.attributes)
                if heard.fileno() < 0:
                    return
                select.select([heard.fileno(), self._halt.fileno()], [], [])

    def _heard(self, action: str, id: str, known: dict[str, str]) -> None:
        with self._lock:
            source = self._sources.get(id)
            if source is None:
                if action != "start" or known.get(labels.SERVICE) not in self._services:
                    return
                if known.get(labels.ONE_OFF) == "True":
                    return
                source = self._add(id, shortened(known.get("name", id[:12]), self._project), known[labels.SERVICE])
            if source.reading:
                return
            if self._look(source):
                source.alive = True
                self._follow(source)
            # Within the lock, so that the news of a container are in the order in which it was looked at.
            self._put(News(source, alive=source.alive))


def short_name(each: ContainerSummary) -> str:
    """``web-1``: its name without the project's."""
    return shortened(each.name, each.labels.get(labels.PROJECT, ""))


def shortened(name: str, project: str) -> str:
    for mark in "-_":
        if name.startswith(project + mark):
            return name[len(project) + 1 :]
    return name


def coloured(face: Face, no_color: bool) -> bool:
    from labdock.commands.compose import ANSI

    asked = click.get_current_context().meta.get(ANSI)
    if no_color or asked == "never":
        return False
    return asked == "always" or (not os.environ.get("NO_COLOR") and (face.output_is_terminal() or face.keeps_results))
