"""What the engine answers, as frozen values: attributes for what is used, ``raw`` for everything as it came."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound="Result")
Wire = dict[str, Any]


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Base. Members the engine left out or sent as null have their default."""

    raw: Wire = {}

    def __repr__(self) -> str:
        """The members that say something; ``raw`` has everything."""
        shown = (f"{name}={value!r}" for name, value in self._members())
        return f"{type(self).__name__}({', '.join(shown)})"

    def _members(self) -> list[tuple[str, Any]]:
        values = [(name, getattr(self, name)) for name in self.__struct_fields__ if name != "raw"]
        return [(name, value) for name, value in values if value not in ("", 0, (), {}, None, False)]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Plain text and HTML, as notebooks want it."""
        from labdock.client.pictures import picture

        rows = [(name.replace("_", " "), _words(value)) for name, value in self._members()]
        return {"text/plain": repr(self), "text/html": picture(type(self).__name__, rows)}


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={inner}" for name, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, msgspec.Struct):
        members = msgspec.structs.asdict(value).items()
        return ", ".join(f"{name}={inner}" for name, inner in members if inner not in ("", 0, None, False))
    return str(value)


def result(kind: type[T], wire: Wire) -> T:
    """*wire* as a *kind*. Members of a wrong type raise msgspec.ValidationError naming the member."""
    known = {name: value for name, value in wire.items() if value is not None}
    known["Raw"] = wire
    return msgspec.convert(known, kind, strict=False)


class Version(Result, frozen=True, kw_only=True):
    version: str = ""
    api_version: str = ""
    min_api_version: str = msgspec.field(default="", name="MinAPIVersion")
    os: str = ""
    arch: str = ""
    kernel_version: str = ""


class Port(msgspec.Struct, frozen=True, kw_only=True, rename={"private": "PrivatePort", "public": "PublicPort"}):
    """A container's port, and where it is published (``public`` 0: it is not)."""

    private: int
    public: int = 0
    ip: str = msgspec.field(default="", name="IP")
    type: str = msgspec.field(default="tcp", name="Type")


class ContainerSummary(Result, frozen=True, kw_only=True):
    """A line of ``ps``. ``created`` in seconds since the epoch."""

    id: str
    names: tuple[str, ...] = ()
    image: str = ""
    image_id: str = msgspec.field(default="", name="ImageID")
    command: str = ""
    created: int = 0
    ports: tuple[Port, ...] = ()
    state: str = ""
    status: str = ""
    labels: dict[str, str] = {}
    size_rw: int = 0
    size_root_fs: int = 0

    @property
    def name(self) -> str:
        return self.names[0].lstrip("/") if self.names else ""


class ContainerState(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    status: str = ""
    running: bool = False
    paused: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = ""
    finished_at: str = ""


class Container(Result, frozen=True, kw_only=True):
    """A container as ``inspect`` shows it; ``raw`` has the rest."""

    id: str
    name: str = ""
    image: str = ""
    created: str = ""
    state: ContainerState = ContainerState()

    @property
    def tty(self) -> bool:
        return bool((self.raw.get("Config") or {}).get("Tty"))

    @property
    def image_name(self) -> str:
        return (self.raw.get("Config") or {}).get("Image") or self.image

    @property
    def ports(self) -> dict[str, list[tuple[str, int]]]:
        """``{"80/tcp": [("0.0.0.0", 8080)]}``: what is published where."""
        found: dict[str, list[tuple[str, int]]] = {}
        for port, bindings in ((self.raw.get("NetworkSettings") or {}).get("Ports") or {}).items():
            found[port] = [(b.get("HostIp", ""), int(b.get("HostPort") or 0)) for b in bindings or ()]
        return found


class Created(Result, frozen=True, kw_only=True):
    id: str
    warnings: tuple[str, ...] = ()


class Exit(Result, frozen=True, kw_only=True):
    """A container's end."""

    status_code: int
    error: dict[str, Any] | None = None


class ExecState(Result, frozen=True, kw_only=True):
    """An exec as ``inspect`` shows it. ``exit_code`` is meaningful once it no longer runs."""

    id: str = msgspec.field(default="", name="ID")
    running: bool = False
    exit_code: int = 0
    pid: int = 0


class Processes(Result, frozen=True, kw_only=True):
    """``top``: column titles and rows."""

    titles: tuple[str, ...] = ()
    processes: tuple[tuple[str, ...], ...] = ()


class ImageSummary(Result, frozen=True, kw_only=True):
    id: str
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    created: int = 0
    size: int = 0
    labels: dict[str, str] = {}


class Image(Result, frozen=True, kw_only=True):
    """An image as ``inspect`` shows it. ``created`` is RFC 3339."""

    id: str
    repo_tags: tuple[str, ...] = ()
    created: str = ""
    size: int = 0
    architecture: str = ""
    os: str = ""


class Layer(Result, frozen=True, kw_only=True):
    """A line of ``history``."""

    id: str = ""
    created: int = 0
    created_by: str = ""
    size: int = 0
    comment: str = ""
    tags: tuple[str, ...] = ()


class Network(Result, frozen=True, kw_only=True):
    id: str
    name: str = ""
    driver: str = ""
    scope: str = ""
    created: str = ""
    internal: bool = False
    labels: dict[str, str] = {}


class Volume(Result, frozen=True, kw_only=True):
    name: str
    driver: str = ""
    mountpoint: str = ""
    scope: str = ""
    labels: dict[str, str] = {}


class VolumesPruned(Result, frozen=True, kw_only=True):
    """What a prune removed; ``space_reclaimed`` in bytes."""

    volumes_deleted: tuple[str, ...] = ()
    space_reclaimed: int = 0
