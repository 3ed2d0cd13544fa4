"""Whole outputs, terminal and notebook, held against files in ``golden/``. Hostile names never become markup.

``LABDOCK_WRITE_GOLDENS=1 pytest tests/unit/commands/test_renderings.py`` writes them anew; look at the difference.
"""

from __future__ import annotations

import html.parser
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.progress import Detail, JobLine
from labdock.client.results import Image, Volume, result
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import run, transfer_view
from labdock.commands.build_view import BuildView, as_html, as_text
from labdock.commands.cards import ImageCard
from labdock.commands.explanation import Explanation
from labdock.commands.ports import find_links
from labdock.commands.results import LIVE_TYPE, MOST_LIVE, Records, Result
from labdock.commands.transfer_view import TransferView
from labdock.commands.volumes import COLUMNS
from labdock.notebook.face import NotebookFace
from labdock.schema import build

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_800_000_000
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[31m'
ID, OTHER = "ab" * 32, "cd" * 32
CONTAINERS = [
    {
        "Id": ID,
        "Names": ["/web"],
        "Image": "hello-web",
        "ImageID": f"sha256:{OTHER}",
        "Command": "httpd -f -v -p 80 -h /www",
        "Created": NOW - 70,
        "Ports": [
            {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"PrivatePort": 443, "Type": "tcp"},
        ],
        "Labels": {"a": "1"},
        "State": "running",
        "Status": "Up About a minute",
        "Mounts": [{"Name": "data", "Driver": "local"}],
        "NetworkSettings": {"Networks": {"bridge": {}}},
    },
    {
        "Id": OTHER,
        "Names": ["/x" + EVIL],
        "Image": EVIL,
        "Command": EVIL,
        "Created": NOW - 7200,
        "State": "exited",
        "Status": EVIL,
        "Labels": {EVIL: EVIL},
    },
]
IMAGES: list[dict[str, Any]] = [
    {
        "Id": f"sha256:{ID}",
        "RepoTags": ["busybox:latest", "localhost:5000/bb:1"],
        "Created": NOW - 86400 * 3,
        "Size": 4260000,
    },
    {"Id": f"sha256:{OTHER}", "RepoTags": None, "Created": NOW - 40, "Size": 12},
]
EXPLAINED = {
    "Id": ID,
    "Name": "x" + EVIL,
    "Image": EVIL,
    "Status": "running",
    "Args": ["httpd", EVIL],
    "Plan": {"Rung": "R0", "Identity": "user", "Egress": "slirp4netns", "Snapshotter": "overlay"},
    "IdMaps": {
        "Uids": [{"Inside": 0, "Outside": 1000, "Count": 1}, {"Inside": 1, "Outside": 100000, "Count": 65536}],
        "Gids": [{"Inside": 0, "Outside": 1000, "Count": 1}],
    },
    "Process": {
        "Pid": 12,
        "PidInside": 1,
        "Uid": 0,
        "Gid": 0,
        "Capabilities": ["CHOWN", "KILL"],
        "Seccomp": "filter",
        "NoNewPrivileges": True,
    },
    "Parents": [{"Pid": 12, "Name": EVIL}, {"Pid": 10, "Name": "conmon"}, {"Pid": 2, "Name": "labdock-engine"}],
    "Namespaces": [
        {"Kind": "user", "Id": "user:[1]", "Own": False, "Meaning": "ids and rights"},
        {"Kind": "pid", "Id": "pid:[2]", "Own": True, "Meaning": "processes"},
    ],
    "Mounts": [
        {"Target": "/", "Type": "overlay", "Source": "overlay", "ReadOnly": False, "Lower": 3},
        {"Target": "/proc", "Type": "proc", "Source": "proc", "ReadOnly": False, "Lower": 0},
        {"Target": f"/data{EVIL}", "Type": "ext4", "Source": f"/home{EVIL}", "ReadOnly": True, "Lower": 0},
        {"Target": f"/data{EVIL}/below", "Type": "ext4", "Source": "/b", "ReadOnly": True, "Lower": 0},
        {"Target": "/etc/hosts", "Type": "ext4", "Source": f"/c/{ID}/hosts", "ReadOnly": False, "Lower": 0},
    ],
    "Layers": [{"CreatedBy": EVIL, "Size": 10}, {"CreatedBy": "CMD sh", "Size": 0}],
    "Written": 4096,
    "Network": {
        "Mode": "bridge",
        "Endpoints": [{"Network": "bridge", "Address": "172.17.0.2/16", "Gateway": "172.17.0.1", "Mac": "02:42"}],
        "Published": [
            {"Port": "80/tcp", "HostIp": "127.0.0.1", "HostPort": "8080"},
            {"Port": "80/tcp", "HostIp": "::", "HostPort": "8080"},
        ],
    },
}
SCRIPT = (
    Script()
    .on("GET", "/containers/json", Reply(json=CONTAINERS))
    .on("GET", "/images/json", Reply(json=IMAGES))
    .on("GET", "/networks", Reply(json=[{"Id": ID, "Name": "bridge", "Driver": "bridge", "Scope": "local"}]))
    .on("GET", "/volumes", Reply(json={"Volumes": [{"Name": "data", "Driver": "local", "Mountpoint": "/v/data"}]}))
    .on(
        "GET", "/containers/web/top", Reply(json={"Titles": ["PID", "CMD"], "Processes": [["1", "httpd"], ["7", EVIL]]})
    )
    .on(
        "GET",
        "/images/app/history",
        Reply(json=[{"Id": "<missing>", "Created": NOW - 5, "CreatedBy": "RUN x", "Size": 5}]),
    )
    .on("GET", "/containers/web/json", Reply(json={"Id": ID, "Name": "/web", "Config": {"Labels": {"l": EVIL}}}))
    .on(
        "GET",
        "/system/df",
        Reply(
            json={
                "LayersSize": 4260000,
                "Images": [
                    {**IMAGES[0], "SharedSize": 60000, "Containers": 1},
                    {**IMAGES[1], "SharedSize": -1, "Containers": 0},
                ],
                "Containers": [{**container, "SizeRw": 1234} for container in CONTAINERS],
                "Volumes": [
                    {"Name": "data", "UsageData": {"RefCount": 1, "Size": 5000}},
                    {"Name": EVIL, "UsageData": {"RefCount": 0, "Size": -1}},
                ],
                "BuildCache": [
                    {
                        "ID": ID,
                        "Type": "regular",
                        "Size": 777,
                        "CreatedAt": "2027-01-15T07:59:00Z",
                        "UsageCount": 2,
                        "Description": EVIL,
                    }
                ],
            }
        ),
    )
    .on(
        "GET",
        "/images/search",
        Reply(json=[{"name": "a/b", "description": f"d{EVIL}", "star_count": 3, "is_official": True}]),
    )
    .on("GET", "/labdock/containers/web/explain", Reply(json=EXPLAINED))
    .on("GET", "/labdock/registry", Reply(json={"Running": True, "Address": "::", "Port": 5000, "User": EVIL}))
)


def ask(*words: str) -> Result:
    found = run(words, NotebookFace(client=Client(ScriptedTransport(SCRIPT))))
    assert found is not None
    return found


def view(*events: build.AnyBuildEvent, source: str | None = None) -> Result:
    made = BuildView("Building app", source, first_line=2)
    for seconds, event in enumerate(events):
        made.apply(event, float(seconds))
    return Shown(made)


def transfer(*lines: JobLine, state: str = "running") -> Result:
    made = TransferView(f"Pulling {EVIL}")
    for seconds, line in enumerate(lines):
        made.take(line, float(seconds))
    if state != "running":
        made.end(state, 9.0)
    return Transferred(made)


class Transferred(Result):
    def __init__(self, made: TransferView) -> None:
        self._made = made

    def __str__(self) -> str:
        return transfer_view.as_text(self._made, 9.0)

    def _repr_html_(self) -> str:
        return transfer_view.as_html(self._made, 9.0)


class Shown(Result):
    def __init__(self, made: BuildView) -> None:
        self._made = made

    def __str__(self) -> str:
        return as_text(self._made, 9.0)

    def _repr_html_(self) -> str:
        return as_html(self._made, 9.0)


PULL = (
    JobLine(status="Pulling from library/busybox", id="latest"),
    JobLine(status="Pulling fs layer", id="l1"),
    JobLine(status="Pulling fs layer", id="l2"),
    JobLine(status="Already exists", id="l3"),
    JobLine(status="Downloading", id="l1", detail=Detail(4000, 4000)),
    JobLine(status="Download complete", id="l1"),
    JobLine(status="Extracting", id="l1", detail=Detail(1000, 4000)),
    JobLine(status="Downloading", id="l2", detail=Detail(2_500_000, 10_000_000)),
    JobLine(status=f"Waiting {EVIL}", id=EVIL),
    JobLine(status="Pull complete", id="l1"),
    JobLine(status=f"Digest: {EVIL}"),
)
FROM = build.StepStarted(step=1, total=2, text="FROM busybox", line=1)
RUN = build.StepStarted(step=2, total=2, text=f"RUN {EVIL}", line=2)
SOURCE = f"FROM busybox\nRUN {EVIL}"
CASES: dict[str, Callable[[], Result]] = {
    "ps": lambda: ask("ps", "-a"),
    "ps-sizes": lambda: ask("ps", "-s"),
    "ps-quiet": lambda: ask("ps", "-q"),
    "ps-format": lambda: ask("ps", "--format", r"{{.Names}}\t{{.Ports}}"),
    "ps-table": lambda: ask("ps", "--format", r"table {{.ID}}\t{{.CreatedAt}}\t{{.Labels}}"),
    "ps-json": lambda: ask("ps", "--format", "json"),
    "images": lambda: ask("images"),
    "images-quiet": lambda: ask("images", "-q", "--no-trunc"),
    "history": lambda: ask("history", "app"),
    "networks": lambda: ask("network", "ls"),
    "volumes": lambda: ask("volume", "ls"),
    "top": lambda: ask("top", "web"),
    "df": lambda: ask("system", "df"),
    "df-verbose": lambda: ask("system", "df", "-v"),
    "explain": lambda: ask("explain", "web"),
    "explain-stopped": lambda: Explanation(EXPLAINED | {"Process": None, "Parents": [], "Status": "exited"}),
    "ps-json-flag": lambda: ask("ps", "--json"),
    "search": lambda: ask("search", "a"),
    "registry-status": lambda: ask("registry", "status"),
    "pull-running": lambda: transfer(*PULL[:-2]),
    "pull-done": lambda: transfer(*PULL, state="done"),
    "pull-failed": lambda: transfer(*PULL[:-2], state="failed"),
    "inspect": lambda: ask("inspect", "web"),
    "inspect-format": lambda: ask("inspect", "-f", "{{.Name}} {{json .Config.Labels}}", "web"),
    "image-card": lambda: ImageCard(result(Image, {"Id": f"sha256:{ID}", "RepoTags": [EVIL], "Size": 4260000})),
    "build-running": lambda: view(
        FROM,
        build.StepCached(step=1),
        build.StepDone(step=1, state="s1", seconds=0.0),
        RUN,
        build.StepOutput(step=2, stream="stdout", text=f"10%\r20%\r{EVIL}\nhalf"),
        source=SOURCE,
    ),
    "build-done": lambda: view(
        FROM,
        build.StepCached(step=1),
        RUN,
        build.StepDone(step=2, state="s2", seconds=1.25, size=4260000),
        build.BuildNotice(text=f"unused argument {EVIL}"),
        build.BuildDone(image=f"sha256:{ID}", names=(f"app:{EVIL}",), seconds=1.5),
        source=SOURCE,
    ),
    "build-failed": lambda: view(
        FROM,
        RUN,
        build.StepOutput(step=2, stream="stderr", text=f"{EVIL}: not found\n"),
        build.BuildFailed(message="it failed", step=2, line=2, end_line=2, column=4, end_column=8, exit_code=127),
        source=SOURCE,
    ),
}


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)


def hold(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("LABDOCK_WRITE_GOLDENS"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    assert text + "\n" == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_terminal(name: str) -> None:
    text = str(CASES[name]())
    hold(f"{name}.txt", text)


@pytest.mark.parametrize("name", CASES)
def test_notebook(name: str) -> None:
    shown: Any = CASES[name]()
    text = shown._repr_html_()
    hold(f"{name}.html", text)
    bundle = shown._repr_mimebundle_()
    assert (bundle.pop("text/plain"), bundle.pop("text/html")) == (str(shown), text)
    if card := bundle.pop(LIVE_TYPE, None):
        assert set(card) <= {"kind", "ids", "names", "title"}, "what to ask for, nothing else"
        assert len(card["ids"]) == len(card["names"])
    assert not bundle
    assert Elements(text).suspicious == []


def test_a_live_card_names_what_it_shows() -> None:
    assert ask("ps", "-a").live == {"kind": "containers", "ids": [ID, OTHER], "names": ["web", "x" + EVIL]}
    assert ask("images").live == {
        "kind": "images",
        "ids": [image["Id"] for image in IMAGES],
        "names": [(image["RepoTags"] or [""])[0] for image in IMAGES],
    }
    assert ask("network", "ls").live == {"kind": "networks", "ids": [ID], "names": ["bridge"]}
    assert ask("volume", "ls").live == {"kind": "volumes", "ids": ["data"], "names": ["data"]}


def test_a_built_image_has_the_card_of_a_build() -> None:
    built = result(Image, {"Id": f"sha256:{ID}", "RepoTags": ["app:1", "app:latest"]})
    card = {"ids": [f"sha256:{ID}"], "names": ["app:1"]}
    assert ImageCard(built).live == {"kind": "image", **card}
    assert ImageCard(built, ("app:1",), BuildView("Building app")).live == {"kind": "build", **card}
    nameless = result(Image, {"Id": f"sha256:{ID}"})
    assert ImageCard(nameless).live == {"kind": "image", "ids": [f"sha256:{ID}"], "names": [""]}


@pytest.mark.parametrize("words", [("ps", "--format", "json"), ("ps", "-q"), ("explain", "web"), ("top", "web")])
def test_what_is_no_list_of_things_is_no_live_card(words: tuple[str, ...]) -> None:
    assert ask(*words).live is None


@pytest.mark.parametrize(("count", "alive"), [(0, False), (1, True), (MOST_LIVE, True), (MOST_LIVE + 1, False)])
def test_an_empty_or_very_long_table_stays_a_table(count: int, alive: bool) -> None:
    table = Records([Volume(name=str(number)) for number in range(count)], [], COLUMNS, kind="volumes")
    assert (LIVE_TYPE in table._repr_mimebundle_()) is alive


class Elements(html.parser.HTMLParser):
    """What the HTML would do: elements and attributes that results never have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.suspicious: list[str] = []
        self.depth = 0
        self.feed(text)
        self.close()
        if self.depth:
            self.suspicious.append("elements are left open")

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.depth += 1
        if tag in ("script", "img", "iframe", "style", "object", "link"):
            self.suspicious.append(tag)
        self.suspicious += [name for name, _ in attributes if name.startswith("on")]
        links = [value or "" for name, value in attributes if name == "href"]
        self.suspicious += [link for link in links if not link.startswith(("http://localhost:", "/"))]

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


def test_terminals_get_no_escape_sequences_in_tables() -> None:
    for name in (
        "ps",
        "ps-sizes",
        "top",
        "images",
        "build-running",
        "build-failed",
        "build-done",
        "df-verbose",
        "pull-done",
    ):
        assert "\x1b" not in str(CASES[name]()), name


RELAY = {"LABDOCK_PORTS": "/user/me/labdock/port/", "LABDOCK_PORTS_ENGINE": "unix:///e.sock"}
HUB = {"JUPYTERHUB_SERVICE_PREFIX": "/user/me/"}


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://localhost:8080/"),
        (HUB, "/user/me/proxy/8080/"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "javascript:x"}, "http://localhost:8080/"),
        ({"VSCODE_PROXY_URI": "https://h.example/proxy/{{port}}/"}, "https://h.example/proxy/8080/"),
        ({"VSCODE_PROXY_URI": "javascript:{{port}}"}, "http://localhost:8080/"),
        # The Jupyter server's own relay, for its own engine's containers alone; never another host's.
        (RELAY | HUB | {"DOCKER_HOST": "unix:///e.sock"}, "/user/me/labdock/port/c0ffee/80/"),
        (RELAY | HUB | {"DOCKER_HOST": "unix:///other.sock"}, "/user/me/proxy/8080/"),
        (RELAY | {"DOCKER_CONTEXT": "nowhere", "DOCKER_CONFIG": "/nonexistent"}, "http://localhost:8080/"),
        (RELAY | {"DOCKER_HOST": "unix:///e.sock", "LABDOCK_PORTS": "//evil.example/"}, "http://localhost:8080/"),
        (RELAY | {"DOCKER_HOST": "unix:///e.sock", "LABDOCK_PORTS": "javascript:x/"}, "http://localhost:8080/"),
    ],
)
def test_where_a_port_is_found(environment: dict[str, str], address: str) -> None:
    links = find_links(environment)
    assert links.address("c0ffee", 80, 8080) == address
    assert f'href="{address}"' in links.link("c0ffee", 80, 8080)
    # What is not published is there for the relay alone.
    assert bool(links.address("c0ffee", 80, 0)) == address.startswith("/user/me/labdock")


def test_a_hub_without_its_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "jupyter-server-proxy" in find_links(HUB).note
    assert find_links({}).note == find_links(RELAY | HUB | {"DOCKER_HOST": "unix:///e.sock"}).note == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert find_links(HUB).note == ""


def test_behind_a_hub_ports_are_reached_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    assert 'href="/user/me/proxy/8080/"' in (ask("ps")._repr_html_() or "")


#: What JupyterLab's sanitiser leaves of an untrusted notebook's HTML (apputils' sanitizer.ts), as far as it is used.
LEFT = set("a b caption code details div pre progress span summary table tbody td th thead tr".split())
LEFT_ATTRIBUTES = {"style", "href", "target", "rel", "open", "value", "max"}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_in_an_untrusted_notebook(name: str) -> None:
    class Used(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag in LEFT
            assert {attribute for attribute, _ in attributes} <= LEFT_ATTRIBUTES

    Used().feed(CASES[name]()._repr_html_() or "")
