"""A typed, blocking client for the engine's API. Runs in whatever process needs an engine: shells, kernels, tests.

::

    from labdock.client import connect

    client = connect()                      # starts the engine at first use
    for container in client.containers.list():
        print(container.name, container.status)
    print(client.containers.run("busybox", "echo hello").text)
    image = client.images.build(dockerfile="FROM busybox", names=["app"])

``labdock.connect`` and, for asyncio, ``labdock.aconnect`` are the same functions. Every call raises
:mod:`labdock.errors`: EngineUnreachable when nobody answers, else what the engine said.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from labdock.client.caller import Caller
from labdock.client.transport import Transport, UnixTransport

if TYPE_CHECKING:
    from labdock.client.aio import AsyncClient
    from labdock.client.builds import Builds
    from labdock.client.containers import Containers, Execs
    from labdock.client.files import Files
    from labdock.client.images import Images
    from labdock.client.keyring import Keyring
    from labdock.client.plugins import Plugins
    from labdock.client.registries import Registries
    from labdock.client.system import Networks, System, Volumes

__all__ = ["Client", "Transport", "UnixTransport", "aconnect", "connect"]


class Client:
    """The engine behind *transport*. Parts load when they are first used: a shell command pays for few.

    *environment* says where the registries' credentials are (see :mod:`labdock.client.keyring`); None: nowhere.
    """

    def __init__(self, transport: Transport, environment: Mapping[str, str] | None = None) -> None:
        self._caller = Caller(transport)
        self._environment = environment

    @cached_property
    def keyring(self) -> Keyring | None:
        """This user's registry credentials."""
        if self._environment is None:
            return None
        from labdock.client.keyring import Keyring

        return Keyring(self._environment)

    @property
    def transport(self) -> Transport:
        return self._caller.transport

    @cached_property
    def containers(self) -> Containers:
        from labdock.client.containers import Containers

        return Containers(self._caller, self._pull)

    def _pull(self, image: str, platform: str | None) -> None:
        """Pull quietly, to the end."""
        from labdock.client.names import parse

        name = parse(image)
        for _ in self.images.pull(name.repository, name.wanted, platform=platform):
            pass

    @cached_property
    def execs(self) -> Execs:
        from labdock.client.containers import Execs

        return Execs(self._caller)

    @cached_property
    def files(self) -> Files:
        from labdock.client.files import Files

        return Files(self._caller)

    @cached_property
    def images(self) -> Images:
        from labdock.client.images import Images

        return Images(self._caller, self.keyring)

    @cached_property
    def builds(self) -> Builds:
        from labdock.client.builds import Builds

        return Builds(self._caller, self.keyring)

    @cached_property
    def registries(self) -> Registries:
        from labdock.client.registries import Registries

        return Registries(self._caller, self.keyring)

    @cached_property
    def system(self) -> System:
        from labdock.client.system import System

        return System(self._caller)

    @cached_property
    def networks(self) -> Networks:
        from labdock.client.system import Networks

        return Networks(self._caller)

    @cached_property
    def plugins(self) -> Plugins:
        from labdock.client.plugins import Plugins

        return Plugins(self._caller)

    @cached_property
    def volumes(self) -> Volumes:
        from labdock.client.system import Volumes

        return Volumes(self._caller)

    def close(self) -> None:
        """Close kept connections."""
        if isinstance(self.transport, UnixTransport):
            self.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def aconnect(environment: Mapping[str, str] | None = None, *, start: bool = True) -> AsyncClient:
    """As :func:`connect`, for ``await`` and ``async for``: ``async with aconnect() as client: …``."""
    from labdock.client.aio import AsyncClient

    return AsyncClient(lambda transport: connect(environment, start=start, transport=transport))


def connect(
    environment: Mapping[str, str] | None = None,
    *,
    start: bool = True,
    transport: type[UnixTransport] = UnixTransport,
) -> Client:
    """The client for this user's engine, or for the one LABDOCK_HOST, DOCKER_HOST or the chosen context names.

    Addresses are ``unix://``, ``tcp://`` (with TLS where asked for) and ``ssh://``; Unsupported for others. Nothing is
    sent yet. With *start*, labdock's own engine is started when the first call finds nobody; another one never is.
    """
    from labdock.client import engine

    known = os.environ if environment is None else environment
    found = engine.find_endpoint(known)

    def begin() -> None:
        engine.start(environment)

    if found.host.startswith("unix://"):
        return Client(transport(Path(found.host[7:]), begin if found.own and start else None), known)
    from labdock.client.remote import dialer

    return Client(transport(found.host, None, dialer(found)), known)
