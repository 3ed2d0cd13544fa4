"""One at a time: who changes a project has it to itself, and the next one waits.

A file lock (flock) for each engine and project in the user's runtime folder: the kernel lets go of it with its holder,
however that ends. It is between this user's own commands on this machine; docker-compose knows nothing of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labdock.errors import LabdockError
from labdock.schema.paths import locate

if TYPE_CHECKING:
    from labdock.client import Client

#: What a holder may have written of itself, in bytes.
LONGEST = 200


class Turn:
    """Turns at the project *name* on the engine behind *client*. *say* hears what is waited for."""

    def __init__(
        self, client: Client, name: str, say: Callable[[str], None], environment: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._name = name
        self._say = say
        self._environment = os.environ if environment is None else environment
        self._depth = 0

    @contextlib.contextmanager
    def taken(self, action: str) -> Iterator[None]:
        """The project to oneself for *action*; at once within another. An interrupt ends the waiting.

        Raises LabdockError where there can be no lock.
        """
        descriptor = -1 if self._depth else self._wait(action)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if descriptor >= 0:
                os.close(descriptor)

    def _wait(self, action: str) -> int:
        path = self._path()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Never removed: whoever waits for it would then hold another file than the next to come.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LabdockError(f"cannot take turns at project {self._name!r}: {path}: {error.strerror}") from error
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"`compose {action}` (process {os.getpid()})".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # For people: who holds it is known to the kernel, and a holder that was killed holds nothing.
            holder = os.pread(descriptor, LONGEST, 0).decode("utf-8", "replace")
            self._say(
                f"{holder or 'Another command'} is changing project {self._name}: waiting for it (interrupt to give up)"
            )
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _path(self) -> Path:
        """By the engine's own id, under whatever address it is spoken to."""
        engine = str(self._client.system.info().get("ID", ""))
        digest = hashlib.sha256(f"{engine}\0{self._name}".encode()).hexdigest()[:32]
        return locate(self._environment, os.getuid()).run / "compose" / f"{digest}.lock"
