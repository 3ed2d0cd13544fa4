"""What the engine remembers of containers and volumes: the records in the state database. Times: ns since the epoch."""

from __future__ import annotations

from typing import Any

import msgspec

from labdock.engine.lifecycle import Status
from labdock.schema.container import ContainerConfig, EndpointConfig, HostConfig, PortBinding


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base: unknown members of an older or newer record are passed over."""


class MountPoint(_Record, frozen=True, kw_only=True):
    """One mount a container asked for.

    - ``type``: bind, volume or tmpfs. ``source``: the host's folder or file of a bind, "" else.
    - ``volume``, ``driver``, ``driver_options``, ``labels``, ``anonymous``: the volume, and how it is made if need be.
    - ``subpath``: the part of the volume that is mounted ("": all). ``copy``: filled from the image.
    - ``options``: a tmpfs' words. ``mode``: what was said after ``-v SOURCE:TARGET:``, as inspect shows it.
    - ``propagation``: of a bind. ``must_exist``: a bind's source is not made. ``chown``: hand it to the user (``:U``).
    - ``recursion``: "" (with all below, read-only as far as can be), "none", "writable" (only the top is read-only),
      "force" (all must be read-only). ``hidden``: not in inspect's Mounts (``--tmpfs``).
    """

    type: str
    source: str
    target: str
    volume: str = ""
    driver: str = ""
    driver_options: dict[str, str] = {}
    labels: dict[str, str] = {}
    anonymous: bool = False
    subpath: str = ""
    read_only: bool = False
    options: tuple[str, ...] = ()
    copy: bool = False
    mode: str = ""
    propagation: str = ""
    must_exist: bool = False
    chown: bool = False
    recursion: str = ""
    hidden: bool = False


class EndpointRecord(_Record, frozen=True, kw_only=True):
    """An address a container holds; see network.Endpoint."""

    network: str
    network_id: str
    endpoint_id: str
    ip: str
    prefix: int
    gateway: str
    mac: str
    interface: str = ""
    ip6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    dns_names: tuple[str, ...] = ()


class Attachment(_Record, frozen=True, kw_only=True):
    """A network that a container is to be in whenever it runs. ``sent``: its settings as a client sent them."""

    network: str
    network_id: str = ""
    config: EndpointConfig = EndpointConfig()
    sent: dict[str, Any] | None = None


class HealthResult(_Record, frozen=True, kw_only=True):
    """One run of a health check. ``exit_code`` -1: it could not be run, or took too long."""

    start: int
    end: int
    exit_code: int
    output: str = ""


class HealthState(_Record, frozen=True, kw_only=True):
    """``status``: starting, healthy or unhealthy. ``log``: the last runs, oldest first."""

    status: str
    streak: int = 0
    log: tuple[HealthResult, ...] = ()


class State(_Record, frozen=True, kw_only=True):
    """The changing part. ``by_user``: it was stopped on purpose, so a restart policy leaves it alone."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started: int = 0
    finished: int = 0
    restarts: int = 0
    by_user: bool = False
    health: HealthState | None = None


class ContainerRecord(_Record, frozen=True, kw_only=True):
    """A container. ``sent``/``host_sent`` are what the client sent, and what inspect gives back.

    ``network`` is its network mode, ``attachments`` the networks it is to be in, ``endpoints`` its places while it
    runs, ``links`` the (container id, alias) of its legacy links.
    """

    id: str
    name: str
    created: int
    image: str
    image_id: str
    config: ContainerConfig
    host: HostConfig
    sent: dict[str, Any] = {}
    host_sent: dict[str, Any] = {}
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    mounts: tuple[MountPoint, ...] = ()
    network: str = "bridge"
    attachments: tuple[Attachment, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[EndpointRecord, ...] = ()
    ports: dict[str, tuple[PortBinding, ...]] = {}
    state: State = State()

    @property
    def tty(self) -> bool:
        return bool(self.config.tty)

    def evolve(self, **changes: object) -> ContainerRecord:
        """A copy with *changes* to its state (the fields of :class:`State`)."""
        return msgspec.structs.replace(self, state=msgspec.structs.replace(self.state, **changes))


class VolumeRecord(_Record, frozen=True, kw_only=True):
    """A named or anonymous volume; the local driver's data is under ``volumes/NAME/_data``."""

    name: str
    created: int
    driver: str = "local"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    anonymous: bool = False
