"""``network graph``: which containers are in which networks, by what names, and how the host reaches them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labdock.commands.results import Result, Text, printable
from labdock.commands.tree import command
from labdock.errors import NotFound

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.commands.face import Face

_ALWAYS_THERE = ("bridge", "host", "none")


@dataclass(frozen=True, slots=True)
class Line:
    """A network."""

    name: str
    driver: str
    subnet: str = ""
    internal: bool = False

    @property
    def about(self) -> str:
        return " · ".join(filter(None, (self.driver, self.subnet, "internal" if self.internal else "")))


@dataclass(frozen=True, slots=True)
class Stop:
    """A container's place in the network ``line``: its address there and its ``names`` beside its own."""

    line: str
    ip: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Station:
    """A container. ``ports``: (host address, container port), such as ("8080", "80/tcp")."""

    name: str
    state: str
    stops: tuple[Stop, ...]
    ports: tuple[tuple[str, str], ...] = ()
    shares: str = ""


@dataclass(frozen=True, slots=True)
class Map:
    """All that is drawn: networks in the order of their columns, containers in the order of their rows."""

    lines: tuple[Line, ...]
    stations: tuple[Station, ...]

    def of(self, line: str) -> list[tuple[Station, Stop]]:
        """Who stops at *line*."""
        return [(station, stop) for station in self.stations for stop in station.stops if stop.line == line]


def read(client: Client, *, every: bool = False) -> Map:
    """The engine's networks and its running containers (*every*: all of them) as they are now."""
    stations = []
    names: dict[str, str] = {}
    for listed in client.containers.list(all=every):
        try:
            raw = client.containers.inspect(listed.id).raw
        except NotFound:
            # It ended between the two questions.
            continue
        names[listed.id] = raw["Name"].lstrip("/")
        stations.append(raw)
    shown = [_station(raw, names) for raw in stations]
    used = {stop.line for station in shown for stop in station.stops}
    lines = [_line(network.raw) for network in client.networks.list()]
    kept = [line for line in lines if line.name in used or line.name not in _ALWAYS_THERE]
    kept.sort(key=lambda line: (line.name in _ALWAYS_THERE, line.name))
    order = {line.name: number for number, line in enumerate(kept)}
    shown.sort(
        key=lambda station: (min((order.get(s.line, 0) for s in station.stops), default=len(order)), station.name)
    )
    return Map(tuple(kept), tuple(shown))


def _line(raw: dict[str, Any]) -> Line:
    config = (raw.get("IPAM") or {}).get("Config") or ()
    subnets = ", ".join(entry["Subnet"] for entry in config if entry.get("Subnet"))
    return Line(raw["Name"], raw["Driver"], subnets, bool(raw.get("Internal")))


def _station(raw: dict[str, Any], names: dict[str, str]) -> Station:
    settings = raw.get("NetworkSettings") or {}
    own = raw["Name"].lstrip("/")
    stops = []
    for line, endpoint in (settings.get("Networks") or {}).items():
        told = endpoint.get("DNSNames") or endpoint.get("Aliases") or ()
        others = tuple(dict.fromkeys(name for name in told if name != own and not raw["Id"].startswith(name)))
        stops.append(Stop(line, endpoint.get("IPAddress") or endpoint.get("GlobalIPv6Address") or "", others))
    ports: dict[tuple[str, str], None] = {}
    for port, bindings in (settings.get("Ports") or {}).items():
        for binding in bindings or ():
            host = binding.get("HostIp") or ""
            # Both families' "any" are one line.
            shown = f"{host}:" if host not in ("", "0.0.0.0", "::") else ""  # noqa: S104
            ports[f"{shown}{binding['HostPort']}", port] = None
    mode = (raw.get("HostConfig") or {}).get("NetworkMode") or ""
    shares = mode.partition(":")[2] if mode.startswith("container:") else ""
    return Station(own, raw["State"]["Status"], tuple(stops), tuple(ports), names.get(shares, shares[:12]))


class Graph(Result):
    """The map: a tree in a terminal, a drawing in a notebook, ``map`` in code."""

    def __init__(self, found: Map) -> None:
        self.map = found

    @property
    def svg(self) -> str:
        """The drawing, a file of its own."""
        from labdock.commands.network_svg import draw

        return draw(self.map)

    def __str__(self) -> str:
        return "\n".join(as_lines(self.map))

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg}</div>'


def as_lines(found: Map) -> Iterable[str]:
    """A paragraph for each network, a branch for each container in it; made printable."""
    for number, line in enumerate(found.lines):
        if number:
            yield ""
        yield printable(f"{line.name}  ({line.about})")
        members = found.of(line.name)
        width = max((len(station.name) for station, _ in members), default=0)
        for row, (station, stop) in enumerate(members, 1):
            branch = "└─" if row == len(members) else "├─"
            yield printable(f"{branch} {station.name:<{width}}  {_about(station, stop)}".rstrip())
        if not members:
            yield "   nobody"
    for station in found.stations:
        if station.shares:
            yield ""
            yield printable(f"{station.name} shares the network of {station.shares}")


def _about(station: Station, stop: Stop) -> str:
    parts = [f"{stop.ip or '-':<15}"]
    if station.state != "running":
        parts.append(f"[{station.state}]")
    if stop.names:
        parts.append(f"also {', '.join(stop.names)}")
    others = [other.line for other in station.stops if other.line != stop.line]
    if others:
        parts.append(f"and in {', '.join(others)}")
    parts += [f"host {host} → {port}" for host, port in station.ports]
    return "  ".join(parts)


@command("graph")
@click.option("-a", "--all", "every", is_flag=True, help="Draw stopped containers too")
@click.option("--svg", "as_svg", is_flag=True, help="Write the drawing as an SVG file to stdout")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the drawing as an SVG file to this path")
@click.pass_obj
def graph(face: Face, /, every: bool, as_svg: bool, output: str | None) -> Result:
    """Draw networks, the containers in them, their names and published ports."""
    found = Graph(read(face.client, every=every))
    if output:
        Path(output).write_text(found.svg, encoding="utf-8")
        return Text(output)
    return Text(found.svg) if as_svg else found
