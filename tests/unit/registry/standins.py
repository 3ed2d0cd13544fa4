"""What a client is given in these tests: a clock that does not wait, short deadlines, blobs."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import AsyncIterator, Callable

from labdock.daemon.dial import Caller
from labdock.registry import Repository
from labdock.registry.client import RegistryClient
from labdock.registry.credentials import Credentials, Keychain
from labdock.registry.retry import Policy
from labdock.registry.settings import Settings
from labdock.registry.wire import Deadlines
from labdock.schema.oci import Descriptor
from tests.registries import Registry


class QuickClock:
    """network.registry.retry.Clock: sleeping takes no time, but moves ``time``; ``slept`` has each pause."""

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self.time = time
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return 0.5


#: Short, but not so short that a busy machine is taken for a stall.
DEADLINES = Deadlines(connect=5.0, read=1.0, probe=2.0)


async def dial(host: str, port: int) -> socket.socket:
    """As outer does it. Names under ``.example`` are this machine."""
    return await Caller().dial("127.0.0.1" if host.endswith(".example") else host, port)


def client_of(
    *,
    settings: Settings | None = None,
    credentials: dict[str, Credentials] | None = None,
    clock: QuickClock | None = None,
    policy: Policy | None = None,
    deadlines: Deadlines = DEADLINES,
) -> RegistryClient:
    return RegistryClient(
        dial,
        settings=settings or Settings(insecure=("registry.example", "other.example")),
        keychain=Keychain(credentials or {}),
        clock=clock or QuickClock(),
        policy=policy,
        deadlines=deadlines,
    )


def repository(registry: Registry, path: str = "a/b") -> Repository:
    return Repository(registry.host, path)


def blob_of(data: bytes) -> Descriptor:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return Descriptor(media_type="application/octet-stream", digest=digest, size=len(data))


def make_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def source_of(data: bytes, piece: int = 100_000) -> Callable[[], AsyncIterator[bytes]]:
    async def read() -> AsyncIterator[bytes]:
        for at in range(0, len(data), piece):
            yield data[at : at + piece]

    return read


async def collect(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([data async for data in stream])
