"""The distribution protocol (OCI distribution-spec v1.1), as a client. In the engine process, on its event loop.

What it is given: a way to dial, settings (mirrors, certificates, which hosts may be plain), credentials.
Connections, tokens and slots belong to one :class:`~labdock.registry.client.RegistryClient`; there may be many.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

#: Gives a connected, non-blocking TCP socket to (host, port). Raises SystemFailure (no such host), Unavailable.
Dial = Callable[[str, int], Awaitable[socket.socket]]
#: The bytes of a blob from its beginning; called again for each attempt.
Source = Callable[[], AsyncIterator[bytes]]
#: Told how many bytes of a blob have been sent; smaller than before when an upload began anew.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Repository:
    """Where images are: ``host`` as references have it (``docker.io``, ``localhost:5000``), ``path`` in full."""

    host: str
    path: str

    @property
    def familiar(self) -> str:
        """As people write it: ``busybox``, ``user/app``, ``ghcr.io/a/b``."""
        if self.host != "docker.io":
            return f"{self.host}/{self.path}"
        short = self.path.removeprefix("library/")
        return short if "/" not in short else self.path

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


class Fetched(NamedTuple):
    """A manifest or index as it is on the registry; ``digest`` was computed here from ``body``."""

    body: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Found:
    """One result of a search."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False
