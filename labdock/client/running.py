"""``containers.run``: create, attach, start, wait, remove, in the order in which nothing is missed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from labdock.client.programs import Command, Finished, ProgramFailed, Running, RunOptions, gather, request_for, shown
from labdock.errors import InvalidRequest, LabdockError, NoSuchImage

if TYPE_CHECKING:
    from labdock.client.containers import Containers, Execs
    from labdock.client.results import Created

PULLS = ("missing", "always", "never")


class Start:
    """One call of ``run``."""

    def __init__(
        self,
        containers: Containers,
        execs: Execs,
        pull: Callable[[str, str | None], None] | None,
        image: str,
        command: Command | None,
        options: RunOptions,
        when: str,
    ) -> None:
        if when not in PULLS:
            raise InvalidRequest(f"pull={when!r}: one of {', '.join(PULLS)} is expected")
        self._containers = containers
        self._execs = execs
        self._pull = pull
        self._image = image
        self._command = command
        self._options = options
        self._when = when

    def detached(self, input: bytes | str) -> Running:
        if input:
            raise InvalidRequest("a program in the background is sent no input", hint="leave out input= or detach=True")
        created = self._create(attach=False, stdin=False)
        running = Running(self._containers, self._execs, created.id, self._options.get("name") or "")
        try:
            self._containers.start(created.id)
        except BaseException:
            self._forget(created.id)
            raise
        return running

    def foreground(self, data: bytes, *, check: bool, keep: bool) -> Finished:
        created = self._create(attach=True, stdin=bool(data))
        try:
            attached = self._containers.attach(created.id, tty=False, stdin=bool(data))
            with attached, contextlib.closing(self._containers.prepare_wait(created.id, "next-exit")) as waiting:
                self._containers.start(created.id)
                stdout, stderr = gather(attached, data)
                ended = waiting.result()
        except BaseException:
            self._forget(created.id)
            raise
        if not keep:
            self._forget(created.id)
        finished = Finished(ended.status_code, stdout, stderr)
        if check and finished.exit_code:
            raise ProgramFailed(f"{shown(self._command)} in {self._image}", finished)
        return finished

    def _create(self, *, attach: bool, stdin: bool) -> Created:
        request = request_for(self._image, self._command, self._options, attach=attach, stdin=stdin, remove=False)
        name, platform = self._options.get("name"), self._options.get("platform")
        if self._when == "always" and self._pull:
            self._pull(self._image, platform)
        try:
            return self._containers.create(request, name=name, platform=platform)
        except NoSuchImage:
            if self._when == "never" or self._pull is None:
                raise
        self._pull(self._image, platform)
        return self._containers.create(request, name=name, platform=platform)

    def _forget(self, id: str) -> None:
        with contextlib.suppress(LabdockError):
            self._containers.remove(id, force=True, volumes=True)
