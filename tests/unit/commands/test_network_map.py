"""The picture of networks: what it says, and that nobody's name breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from labdock.commands.network_map import Graph, Line, Map, Station, Stop, read
from labdock.errors import NoSuchContainer

SHOP = Map(
    (
        Line("back", "bridge", "172.19.0.0/16", internal=True),
        Line("shop", "bridge", "172.18.0.0/16"),
        Line("new", "bridge"),
    ),
    (
        Station("api", "running", (Stop("back", "172.19.0.3"), Stop("shop", "172.18.0.3", ("app",)))),
        Station("db", "paused", (Stop("back", "172.19.0.2", ("postgres", "sql")),)),
        Station("web", "running", (Stop("shop", "172.18.0.2"),), (("8080", "80/tcp"), ("127.0.0.1:53", "53/udp"))),
        Station("debug", "running", (), shares="web"),
    ),
)


def test_a_terminal_gets_a_paragraph_for_each_network() -> None:
    assert str(Graph(SHOP)).splitlines() == [
        "back  (bridge · 172.19.0.0/16 · internal)",
        "├─ api  172.19.0.3       and in shop",
        "└─ db   172.19.0.2       [paused]  also postgres, sql",
        "",
        "shop  (bridge · 172.18.0.0/16)",
        "├─ api  172.18.0.3       also app  and in back",
        "└─ web  172.18.0.2       host 8080 → 80/tcp  host 127.0.0.1:53 → 53/udp",
        "",
        "new  (bridge)",
        "   nobody",
        "",
        "debug shares the network of web",
    ]


def texts(svg: str) -> Iterator[str]:
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        yield element.text or ""


def test_a_notebook_gets_a_drawing_that_needs_nothing_else() -> None:
    svg = Graph(SHOP).svg
    shown = list(texts(svg))
    for text in (
        "back",
        "shop",
        "api",
        "172.18.0.3",
        "app",
        "postgres, sql",
        "shares web",
        "8080 → 80/tcp  127.0.0.1:53 → 53/udp",
    ):
        assert text in shown
    assert not re.search(r"<script|<style|href|url\(|@import|https?://(?!www\.w3\.org/2000/svg)", svg)
    assert 'fill="currentColor"' in svg and "black" not in svg and "white" not in svg
    assert svg in Graph(SHOP)._repr_html_()


def test_every_stop_lies_on_its_networks_line() -> None:
    root = ElementTree.fromstring(Graph(SHOP).svg)
    ns = "{http://www.w3.org/2000/svg}"
    lines = [float(e.get("x1", 0)) for e in root.iter(f"{ns}line") if e.get("x1") == e.get("x2")]
    assert len(lines) == len(set(lines)) == 3 and lines == sorted(lines)
    stops = [float(e.get("cx", 0)) for e in root.iter(f"{ns}circle") if e.get("r") == "7"]
    assert sorted(stops) == sorted([lines[0], lines[1], lines[0], lines[1]])
    width = float(root.get("width", 0))
    assert all(x < width for x in lines)


def test_nothing_is_a_picture_too() -> None:
    assert "no containers" in Graph(Map((), ())).svg
    assert str(Graph(Map((), ()))) == ""


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_name_breaks_the_drawing(name: str, alias: str) -> None:
    found = Map(
        (Line(name, alias, name),), (Station(name, alias, (Stop(name, alias, (alias, name)),), ((name, alias),)),)
    )
    svg = Graph(found).svg
    ElementTree.fromstring(svg)
    assert svg.count("<rect") == 1
    assert "\x1b" not in str(Graph(found))


class StandinClient:
    """What the map asks of a client; a container that ends while it is looked at."""

    def __init__(self, networks: list[dict[str, Any]], containers: dict[str, dict[str, Any]]) -> None:
        self.networks = self.containers = self
        self._networks = networks
        self._containers = containers

    def list(self, *, all: bool | None = None) -> list[Any]:
        found = self._networks if all is None else [{"Id": id} for id in self._containers]
        return [type("Found", (), {"raw": raw, "id": raw.get("Id", "")}) for raw in found]

    def inspect(self, ref: str) -> Any:
        if not self._containers[ref]:
            raise NoSuchContainer(ref)
        return type("Found", (), {"raw": self._containers[ref]})


def test_the_map_is_read_from_what_inspect_says() -> None:
    networks = [
        {"Name": name, "Driver": driver, "Internal": False, "IPAM": {"Config": config}}
        for name, driver, config in (
            ("none", "null", []),
            ("bridge", "bridge", [{"Subnet": "172.17.0.0/16"}]),
            ("shop", "bridge", [{"Subnet": "172.18.0.0/16"}, {"Subnet": "fd00::/64"}]),
        )
    ]
    web = {
        "Id": "a" * 64,
        "Name": "/web",
        "State": {"Status": "running"},
        "HostConfig": {"NetworkMode": "shop"},
        "NetworkSettings": {
            "Networks": {"shop": {"IPAddress": "172.18.0.2", "DNSNames": ["web", "www", "a" * 12]}},
            "Ports": {
                "80/tcp": [{"HostIp": ip, "HostPort": "8080"} for ip in ("0.0.0.0", "::")],  # noqa: S104
                "9/udp": None,
            },
        },
    }
    guest = {
        "Id": "b" * 64,
        "Name": "/guest",
        "State": {"Status": "running"},
        "HostConfig": {"NetworkMode": f"container:{'a' * 64}"},
        "NetworkSettings": {"Networks": {}},
    }
    client: Any = StandinClient(networks, {"a" * 64: web, "b" * 64: guest, "c" * 64: {}})
    assert read(client) == Map(
        (Line("shop", "bridge", "172.18.0.0/16, fd00::/64"),),
        (
            Station("web", "running", (Stop("shop", "172.18.0.2", ("www",)),), (("8080", "80/tcp"),)),
            Station("guest", "running", (), shares="web"),
        ),
    )
