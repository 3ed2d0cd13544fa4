"""A project as it comes up, in a notebook: a table that changes in its place while the work goes on.

A thread hears the engine's events and wakes the thread that works, at most ten times a second; that one asks for the
containers and shows them. When all is well the lines of what was done are left, and the command's result is the table.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from labdock.commands import html
from labdock.commands.listing import container_cells, ports_text
from labdock.commands.ports import Links, find_links
from labdock.commands.results import align, printable
from labdock.compose import labels
from labdock.compose.containers import service_of
from labdock.compose.crew import Halt
from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.client.results import ContainerSummary
    from labdock.client.system import Listening
    from labdock.commands.face import Face
    from labdock.compose.project import Deployment

#: Seconds between two pictures.
INTERVAL = 0.1
COLUMNS = (("SERVICE", "Service"), ("CONTAINER", "Name"), ("STATE", "State"), ("HEALTH", "Health"), ("PORTS", "Ports"))
_CODE = re.compile(r"Exited \((\d+)\)")
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
_COLOURS = {"healthy": html.GOOD, "unhealthy": html.BAD, "starting": html.BUSY}


class Stage:
    """What is known of a project: *wanted* are its services' needs, by service, with their conditions."""

    def __init__(self, wanted: Mapping[str, Mapping[str, str]], links: Links) -> None:
        self._wanted = wanted
        self._cell = container_cells(links)
        self._found: dict[str, list[ContainerSummary]] = {}
        self._over = False
        self.lines: list[str] = []

    def see(self, containers: Sequence[ContainerSummary]) -> None:
        self._found = {}
        for each in containers:
            self._found.setdefault(service_of(each), []).append(each)

    def end(self, containers: Sequence[ContainerSummary] | None) -> None:
        """It is over: with *containers* that something has kept from being all, else as it should."""
        self._over = True
        self.see(containers or ())
        if containers is None:
            self._wanted = {}

    def rows(self) -> list[dict[str, str]]:
        """By service, those that are waited for first; what has no container yet says what it waits for."""
        rows = []
        for service in self._wanted:
            for each in self._found.get(service, ()):
                health = _HEALTH.search(each.status)
                state = f"exited ({code[1]})" if (code := _CODE.match(each.status)) else each.state
                rows.append(_row(service, each, state, health[1] if health else ""))
            if service not in self._found:
                rows.append(_row(service, None, self._wait(service)))
        return rows

    def _wait(self, service: str) -> str:
        missing = [other for other, condition in self._wanted[service].items() if not self._is(other, condition)]
        if self._over:
            return "not made"
        return f"waits for {', '.join(missing)}" if missing else "to be made"

    def _is(self, service: str, condition: str) -> bool:
        found = self._found.get(service, [])
        if condition == "service_healthy":
            return bool(found) and all("(healthy)" in each.status for each in found)
        if condition == "service_completed_successfully":
            return bool(found) and all(each.status.startswith("Exited (0)") for each in found)
        return any(each.state == "running" for each in found)

    def __str__(self) -> str:
        rows = self.rows()
        table = align([[title for title, _ in COLUMNS], *([row[field] for _, field in COLUMNS] for row in rows)])
        return "\n".join([*([table] if rows else ()), *map(printable, self.lines)])

    def as_html(self) -> str:
        rows = self.rows()
        cells = [[self._shown(field, row) for _, field in COLUMNS] for row in rows]
        table = html.table([title.capitalize() for title, _ in COLUMNS], cells) if rows else ""
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self.lines)
        return f'{table}<div style="{html.FAINT};font-size:90%">{lines}</div>'

    def _shown(self, field: str, row: Mapping[str, str]) -> str:
        if field == "State" and row["Name"]:
            return html.badge(row["State"], html.state_colour(row["State"].partition(" ")[0]))
        if field == "Health" and row["Health"]:
            return html.badge(row["Health"], _COLOURS[row["Health"]])
        if field == "Ports":
            return self._cell("Ports", row) or ""
        return f"<b>{html.escape(row['Name'])}</b>" if field == "Name" else html.escape(row[field])


def _row(service: str, each: ContainerSummary | None, state: str, health: str = "") -> dict[str, str]:
    found = {"Service": service, "Name": "", "ID": "", "State": state, "Health": health, "Ports": ""}
    return found | ({"Name": each.name, "ID": each.id, "Ports": ports_text(each.ports)} if each else {})


class Herald:
    """A thread that calls the working thread once something has happened, and not again for a while."""

    def __init__(self, heard: Listening, wake: Callable[[], None]) -> None:
        self._heard, self._wake = heard, wake
        self._halt = Halt()
        self._poke = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._poke)
        #: Something has happened that was not shown yet.
        self.news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labdock-compose", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Something has happened that is no event of the engine's."""
        os.eventfd_write(self._poke, 1)

    def _run(self) -> None:
        with contextlib.suppress(LabdockError), contextlib.closing(self._heard):
            while self._heard.fileno() >= 0:
                found, _, _ = select.select([self._heard.fileno(), self._poke, self._halt.fileno()], [], [])
                if self._halt.fileno() in found:
                    return
                if self._poke in found:
                    os.eventfd_read(self._poke)
                self._heard.take()
                self.news.set()
                self._wake()
                if select.select([self._halt.fileno()], [], [], INTERVAL)[0]:
                    return

    def close(self) -> None:
        self._halt.set()


@contextlib.contextmanager
def telling(deployment: Deployment) -> Iterator[None]:
    """Raises KeyboardInterrupt, when *deployment* is interrupted, with what has started."""
    try:
        yield
    except KeyboardInterrupt:
        running: list[str] = []
        with contextlib.suppress(LabdockError):
            running = [each.name for each in deployment.containers() if each.state == "running"]
        words = f"what runs goes on ({', '.join(running)}): `compose down` takes it away" if running else "nothing runs"
        raise KeyboardInterrupt(f"interrupted; {words}") from None


@contextlib.contextmanager
def shown(face: Face, deployment: Deployment, services: Sequence[str] = ()) -> Iterator[None]:
    """Show *services* (else all) while *deployment* works; a terminal has its lines instead.

    Raises KeyboardInterrupt as :func:`telling` does.
    """
    with telling(deployment), _live(face, deployment, services) if face.keeps_results else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _live(face: Face, deployment: Deployment, services: Sequence[str]) -> Iterator[None]:
    stage = Stage(_wanted(deployment, services), find_links(face.environment))
    refresh = face.picture(lambda: str(stage), stage.as_html)
    crew = deployment.crew
    filters = {"type": ["container"], "label": [f"{labels.PROJECT}={deployment.project.name}"]}
    herald = Herald(face.client.system.listen(filters=filters), crew.wake)

    def look() -> None:
        if herald.news.is_set():
            herald.news.clear()
            stage.see(deployment.containers())
            refresh(False)

    def say(text: str) -> None:
        stage.lines.append(text)
        herald.poke()

    before, crew.hear, crew.meanwhile = crew.hear, say, look
    failed = True
    try:
        with contextlib.closing(herald):
            yield
        failed = False
    finally:
        crew.hear, crew.meanwhile = before, lambda: None
        # The result is the table, where there is one.
        with contextlib.suppress(LabdockError):
            stage.end(deployment.containers() if failed else None)
        if str(stage):
            refresh(True)


def _wanted(deployment: Deployment, services: Sequence[str]) -> dict[str, dict[str, str]]:
    from labdock.compose.plan import order

    project = deployment.project
    chosen = order(project.needs(), services or tuple(project.services))
    return {
        name: {other: how["condition"] for other, how in project.services[name].get("depends_on", {}).items()}
        for name in chosen
    }
