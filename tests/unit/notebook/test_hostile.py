"""Whatever an engine says, nothing that is shown becomes markup: every text of every answer is hostile at once.

Each kind of result, value, error and widget is made from the engine's answers with all their texts replaced, and its
HTML is read as a browser reads it (html5lib, by the HTML standard): known elements and attributes only, nothing that
runs, nothing that is fetched.
"""

from __future__ import annotations

import importlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labdock.client import Client
from labdock.client import results as values
from labdock.client.progress import Detail, JobLine
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import run, transfer_view
from labdock.commands.build_view import BuildView, as_html, as_text
from labdock.commands.cards import ContainerCard, ImageCard
from labdock.commands.compose_table import Stage
from labdock.commands.explanation import Explanation
from labdock.commands.inspecting import Documents
from labdock.commands.kernels import KernelCard
from labdock.commands.network_map import Graph, read
from labdock.commands.ports import find_links
from labdock.commands.results import Result, Text
from labdock.commands.transfer_view import TransferView
from labdock.errors import InvalidRequest, LabdockError
from labdock.kernels.specs import KernelSpec, Settings
from labdock.notebook import charts
from labdock.notebook.dashboard import Dashboard
from labdock.notebook.face import NotebookFace
from labdock.notebook.failures import CommandFailed
from labdock.notebook.live import Picture
from labdock.notebook.widgets import BuildTimeline, LayerExplorer, LogViewer, UsageCharts, note
from labdock.schema import build

from ..commands.test_renderings import CONTAINERS, EXPLAINED, ID, IMAGES, NOW, OTHER
from .test_widgets import frame, saved

#: nbconvert brings it, inside bleach.
html5lib: Any = importlib.import_module("bleach._vendor.html5lib")
HTML = frozenset("div span table caption thead tbody tr th td pre code b a details summary mark progress".split())
SVG = frozenset("svg title text tspan line rect circle polyline path g".split())
ATTRIBUTES = frozenset(
    "style href target rel open role aria-label colspan title class xmlns viewBox width height x y x1 x2 y1 y2 cx cy "
    "r rx ry d points fill stroke stroke-width stroke-opacity stroke-linecap stroke-dasharray opacity font-family "
    "font-size font-weight text-anchor value max".split()
)
STYLES = re.compile(r"(?i)url\(|expression|@import|javascript|</|position:\s*(fixed|absolute)|behavior")
LINKS = re.compile(r"http://localhost:\d+/|/[^/\\]")
PAYLOADS = (
    '<script>alert(1)</script>"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(1)",
    '" style="background:url(//e.example/x)" x="',
    "</pre></code></td></table></details><script>alert(1)</script>",
    "</title></text></svg><svg onload=alert(1)>",
    "]]><!--<script>",
    "javascript:alert(1)",
    "//e.example/x",
    "&lt;script&gt;&#60;img src=x onerror=alert(1)&#62;",
    "\x1b]0;title\x07\x1b[31mred\u202egnp\x00\x08",
    "<plaintext>",
    "<svg><style>@import '//e.example'</style>",
    "{{.}}{%x%}${jndi:ldap://e}",
    "<base href=//e.example/><form action=//e><button>go",
)

#: In few texts, for quick tests: what the first would hide is the first of another.
TOGETHER = ("".join(PAYLOADS), "".join(reversed(PAYLOADS)), PAYLOADS[1] + PAYLOADS[2])


def elements(text: str) -> Iterator[Element]:
    page = html5lib.parse(f"<!doctype html><body>{text}</body>", namespaceHTMLElements=False)
    (body,) = page.iter("body")
    yield from (each for each in body.iter() if each is not body)


def check_html(text: str) -> None:
    for element in elements(text):
        assert isinstance(element.tag, str), "no comments, no processing instructions"
        tag = element.tag.rpartition("}")[2]
        assert tag in HTML | SVG, (tag, text)
        for full, value in element.attrib.items():
            name = full.rpartition("}")[2]
            assert name in ATTRIBUTES, (tag, name, text)
            assert name != "style" or not STYLES.search(value), value
            assert name != "href" or LINKS.match(value), value
            assert name != "target" or (value == "_blank" and "noopener" in element.attrib["rel"])
        assert tag != "title" or element.text is not None


def check_text(text: str) -> None:
    """Nothing that drives a terminal."""
    bad = [c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert not bad, (bad, text)


def check(shown: Any) -> None:
    bundle = shown._repr_mimebundle_()
    assert set(bundle) <= {"text/plain", "text/html", "application/vnd.labdock.v1+json"}
    assert "text/plain" in bundle
    check_html(bundle.get("text/html", ""))
    # Data that was asked for by a template is given as it is, as by docker; a table never drives a terminal.
    if isinstance(shown, Documents):
        assert "\x1b" not in bundle["text/plain"], "JSON's own escapes"
    elif not isinstance(shown, Text):
        check_text(bundle["text/plain"])


def replaced(value: Any, text: str, kept: Iterable[str] = ()) -> Any:
    """*value* with every text in it replaced, and every key of a map that others fill (labels, ports, networks)."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [replaced(each, text, kept) for each in value]
    if isinstance(value, dict):
        free = not any(name[:1].isupper() for name in value)
        return {
            text if free and name not in kept else name: each if name in kept else replaced(each, text, kept)
            for name, each in value.items()
        }
    return value


#: What is no text of others: moments, which are numbers in another dress.
KEPT = frozenset({"Created", "CreatedAt", "StartedAt", "FinishedAt"})
CONTAINER: dict[str, Any] = {
    "Id": ID,
    "Name": "/web",
    "Created": "2026-01-01T00:00:00Z",
    "Image": f"sha256:{OTHER}",
    "Path": "httpd",
    "Args": ["-f"],
    "State": {"Status": "running", "Running": True, "StartedAt": "2026-01-01T00:00:00Z", "Error": "e"},
    "Config": {"Image": "busybox", "Labels": {"a": "b"}, "Env": ["A=b"], "Cmd": ["x"], "Tty": False},
    "HostConfig": {"NetworkMode": "bridge"},
    "Mounts": [{"Type": "volume", "Name": "data", "Source": "/a", "Destination": "/b"}],
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "443/tcp": None},
        "Networks": {"net": {"IPAddress": "172.17.0.2", "DNSNames": ["web", "www"], "Aliases": ["x"]}},
    },
}
NETWORK = {
    "Id": ID,
    "Name": "net",
    "Driver": "bridge",
    "Scope": "local",
    "IPAM": {"Config": [{"Subnet": "10.0.0.0/8"}]},
}
VOLUME = {"Name": "data", "Driver": "local", "Mountpoint": "/v/data", "Labels": {"a": "b"}}
HISTORY = [{"Id": "<missing>", "Created": NOW - 5, "CreatedBy": "RUN x", "Size": 5, "Comment": "c", "Tags": ["t"]}]
CACHE = {"ID": ID, "Type": "regular", "Size": 7, "CreatedAt": "2027-01-15T07:59:00Z", "Description": "d"}
DF = {
    "LayersSize": 42,
    "Images": [IMAGES[0] | {"SharedSize": 60, "Containers": 1}],
    "Containers": [CONTAINERS[0] | {"SizeRw": 1234}],
    "Volumes": [VOLUME | {"UsageData": {"RefCount": 1, "Size": 5}}],
    "BuildCache": [CACHE],
}
SAMPLE = {
    "name": "/web",
    "id": ID,
    "cpu_stats": {"cpu_usage": {"total_usage": 5}, "system_cpu_usage": 10, "online_cpus": 2},
    "memory_stats": {"usage": 3 << 20, "limit": 1 << 30},
    "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 1}},
    "pids_stats": {"current": 3},
}
ANSWERS: dict[str, Any] = {
    "/containers/json": CONTAINERS,
    "/images/json": IMAGES,
    "/networks": [NETWORK],
    "/networks/[^/]+": NETWORK,
    "/volumes": {"Volumes": [VOLUME], "Warnings": ["w"]},
    "/volumes/[^/]+": VOLUME,
    "/containers/[^/]+/top": {"Titles": ["PID", "CMD"], "Processes": [["1", "httpd"]]},
    "/containers/[^/]+/changes": [{"Path": "/etc", "Kind": 0}],
    "/images/[^/]+/history": HISTORY,
    "/images/[^/]+/json": {"Id": f"sha256:{ID}", "RepoTags": ["a:1"], "Config": {"Labels": {"a": "b"}}},
    "/containers/[^/]+/json": CONTAINER,
    "/system/df": DF,
    "/images/search": [{"name": "a/b", "description": "d", "star_count": 3, "is_official": True}],
    "/labdock/containers/[^/]+/explain": EXPLAINED,
    "/labdock/registry": {"Running": True, "Address": "::", "Port": 5000, "User": "u"},
    "/info": {"ID": "x", "Name": "host", "Warnings": ["w"], "Labels": ["l"], "OperatingSystem": "Debian"},
    "/version": {"Version": "1", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "x"},
}
COMMANDS = (
    "ps -a", "ps -s", "images", "images --tree", "history a", "network ls", "network inspect n", "network graph -a",
    "volume ls", "volume inspect v", "top web", "diff web", "inspect web", "explain web", "system df", "system df -v",
    "search a", "registry status", "port web", "version", "info", "stats --no-stream -a", "image inspect a",
    "ps --format {{json.}}", "inspect -f {{.Name}} web", "context ls", "image ls -q",
)  # fmt: skip


class Hostile:
    """An engine all whose texts are *text*."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.script = Script()
        for path, answer in ANSWERS.items():
            self.script.on("GET", path, Reply(json=replaced(answer, text, KEPT)))
        sample = replaced(SAMPLE, text, SAMPLE)
        sample |= {"name": text, "networks": {text: {"rx_bytes": 1, "tx_bytes": 1}}}
        self.script.on("GET", "/containers/[^/]+/stats", Reply(lines=[json.dumps(sample).encode() + b"\n"]))
        self.script.on("GET", "/containers/[^/]+/logs", Reply(lines=[frame(f"{text}\n".encode())]))
        self.script.on("GET", "/events", Reply(lines=[]))
        self.script.on("GET", "/images/get", Reply(body=saved()))
        self.script.on("POST", ".*", self._refuse)

    def _refuse(self, _asked: Asked) -> Reply:
        return Reply(409, {"message": self.text, "hint": self.text})

    def client(self) -> Client:
        return Client(ScriptedTransport(self.script))


def of_commands(text: str) -> Iterator[Any]:
    engine = Hostile(text)
    for line in COMMANDS:
        try:
            found = run(line.split(), NotebookFace(client=engine.client()))
        except LabdockError as error:
            yield Failed(error)
        else:
            assert isinstance(found, Result), line
            yield found


class Failed:
    """An error as a cell shows it."""

    def __init__(self, error: LabdockError) -> None:
        self._failed = CommandFailed(error.message, hint=error.hint, error=error)
        self._note = note(error)

    def _repr_mimebundle_(self) -> dict[str, str]:
        first, *rest = self._failed._render_traceback_()
        return {"text/plain": "\n".join([first.removeprefix("\x1b[31mError:\x1b[0m "), *rest]), "text/html": self._note}


def of_values(text: str) -> Iterator[Any]:
    container = replaced(CONTAINER, text, KEPT)
    yield ContainerCard(values.result(values.Container, container))
    yield ContainerCard(values.result(values.Container, container | {"NetworkSettings": CONTAINER["NetworkSettings"]}))
    image = values.result(values.Image, {"Id": text, "RepoTags": [text], "Size": 4})
    yield ImageCard(image)
    yield ImageCard(image, (text, text), view(text))
    yield Explanation(replaced(EXPLAINED, text))
    yield Explanation(replaced(EXPLAINED, text) | {"Process": None, "Parents": []})
    yield Graph(read(Hostile(text).client(), every=True))
    for kind in (
        values.Container,
        values.ContainerSummary,
        values.Image,
        values.Network,
        values.Volume,
        values.Version,
    ):
        texts = {name: text for name in ("Id", "Name", "Driver", "Scope", "Mountpoint", "Version", "Os", "Status")}
        yield values.result(kind, texts | {"Labels": {text: text}})
    yield Failed(InvalidRequest(text, hint=text))
    wanted = Settings(image=text, mounts=(f"{text}:{text}:ro",), network=text, user=text)
    spec = KernelSpec(name=text, display_name=text, settings=wanted, folder=text, language_version=text, notes=(text,))
    yield KernelCard(spec)
    stage = Stage({text: {}, f"{text}2": {text: "service_healthy"}}, find_links({}))
    stage.lines.append(text)
    labels = {"com.docker.compose.service": text}
    summary = {"Id": text, "Names": [text], "State": text, "Status": f"Up (healthy) {text}", "Labels": labels}
    stage.see([values.result(values.ContainerSummary, summary)])
    yield Picture(lambda: str(stage), stage.as_html)


def view(text: str) -> BuildView:
    made = BuildView(text, f"FROM x\nRUN {text}", first_line=2)
    events: list[build.AnyBuildEvent] = [
        build.StepStarted(step=1, total=2, text=text, line=1),
        build.StepCached(step=1),
        build.StepStarted(step=2, total=2, text=f"RUN {text}", line=2),
        build.StepOutput(step=2, stream="stdout", text=f"10%\r{text}\n{text}"),
        build.StepOutput(step=2, stream="stderr", text=f"{text}\n"),
        build.BuildNotice(text=text),
    ]
    for second, event in enumerate(events):
        made.apply(event, float(second))
    return made


def of_builds(text: str) -> Iterator[Any]:
    ends: tuple[build.AnyBuildEvent | None, ...] = (
        None,
        build.BuildDone(image=text, names=(text,), seconds=1.5),
        build.BuildFailed(message=text, hint=text, step=2, line=2, end_line=2, column=4, end_column=8, exit_code=127),
    )
    for end in ends:
        made = view(text)
        if end is not None:
            made.apply(end, 9.0)
        yield Picture(partial(as_text, made, 9.0), partial(as_html, made, 9.0))
    lines = [
        JobLine(status=text, id=text),
        JobLine(status="Downloading", id=text, detail=Detail(1, 2)),
        JobLine(status=text),
    ]
    for state in ("", "done", "failed", "interrupted"):
        moving = TransferView(text)
        for line in lines:
            moving.take(line, 1.0)
        if state:
            moving.end(state, 2.0)
        yield Picture(partial(transfer_view.as_text, moving, 9.0), partial(transfer_view.as_html, moving, 9.0))


def parts(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def of_widgets(text: str) -> Iterator[str]:
    """The HTML in each widget; what is no HTML widget shows its texts as text, unless it is told otherwise."""
    engine = Hostile(text)
    board = Dashboard(engine.client(), engine.client)
    board._fail(InvalidRequest(text, hint=text))
    panels: list[Any] = [board]
    viewer = LogViewer("x", engine.client)
    viewer.add([("stdout", f"{text}\n".encode()), ("stderr", text.encode())])
    viewer._search.value = text[:3]
    usage = UsageCharts("x", engine.client)
    usage.add(replaced(SAMPLE, text, SAMPLE))
    usage._fail(InvalidRequest(text, hint=text))
    panels += [viewer, usage, BuildTimeline(view(text)), LayerExplorer("a", engine.client())]
    board.look("x")
    for panel in panels:
        for widget in parts(panel.widget):
            assert not getattr(widget, "description_allow_html", False)
            if type(widget).__name__ == "HTML":
                yield widget.value
        panel.close()
    yield charts.draw_line([1.0, 2.0], text, text)
    yield charts.draw_bars([charts.Bar(text, 0, 1, text, text)], text)


hostile = st.one_of(
    st.sampled_from(PAYLOADS),
    st.lists(st.sampled_from(PAYLOADS) | st.text(max_size=8), min_size=1, max_size=3).map("".join),
    st.text(alphabet="<>\"'&/=;:() \n\r\tonsrcx`\x1b\x00\u2028", min_size=1, max_size=24),
)


@pytest.mark.parametrize("make", [of_commands, of_values, of_builds])
def test_what_is_shown_is_never_markup(make: Callable[[str], Iterator[Any]]) -> None:
    @settings(max_examples=8, deadline=None)
    @given(text=hostile)
    def hold(text: str) -> None:
        for shown in make(text):
            check(shown)

    for payload in TOGETHER:
        hold = example(text=payload)(hold)
    hold()


def test_what_widgets_show_is_never_markup() -> None:
    @settings(max_examples=3, deadline=None)
    @given(text=hostile)
    def hold(text: str) -> None:
        for shown in of_widgets(text):
            check_html(shown)

    for payload in TOGETHER:
        hold = example(text=payload)(hold)
    hold()


@pytest.mark.parametrize("payload", PAYLOADS[:6])
def test_the_check_sees_what_is_not_escaped(payload: str) -> None:
    if "<" in payload:
        with pytest.raises(AssertionError):
            check_html(f"<div>{payload}</div>")
    else:
        with pytest.raises(AssertionError):
            check_html(f"<div title='a{payload}' class=\"{payload}\">x</div>")
