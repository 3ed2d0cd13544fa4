# ruff: noqa: E501  (tables: one line, one thing)
"""Whatever engines, images and labels say: a row stays a row, a terminal gets no orders, a page no markup."""

from __future__ import annotations

import contextlib
import html.parser
import json
import os
import pty
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labdock.cli.terminal import Terminal
from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.commands.results import LIVE_TYPE, Result
from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace

ID = "ab" * 32
NASTY = (
    *("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\r", "\n", "\t", "\v", "\x00", "\x7f", "\u2028", "\u202e", "\u2066", "\ufeff"),
    *("<script>alert(1)</script>", '"><img src=x onerror=a()>', "'", "&lt;", "javascript:a()", "{{.Name}}", "{x}", "$HOME"),
    *("{{", "}}", "|", "<!--", "]]>", "\U000e0041", "é", "中", "👩\u200d👩", "%s", "\\n", "x" * 3000),
)  # fmt: skip
hostile = st.lists(st.sampled_from(NASTY) | st.text(max_size=8), min_size=1, max_size=6).map("".join).filter(str.strip)
#: An answer is one text in every place where it may stand; numbers and ids stay.
Made = Callable[[str], Any]

ANSWERS: dict[str, Made] = {
    "/containers/json": lambda x: [
        {"Id": ID, "Names": [f"/{x}"], "Image": x, "Command": x, "Created": 1, "State": x, "Status": x, "Labels": {x: x},
         "Mounts": [{"Name": x}], "NetworkSettings": {"Networks": {x: {}}},
         "Ports": [{"IP": x, "PrivatePort": 80, "PublicPort": 8080, "Type": x}]}
    ],
    "/containers/web/json": lambda x: {"Id": ID, "Name": f"/{x}", "Config": {"Labels": {x: x}, "Image": x}, "State": {"Status": x}},
    "/containers/web/top": lambda x: {"Titles": ["PID", x], "Processes": [["1", x]]},
    "/containers/web/changes": lambda x: [{"Kind": 1, "Path": x}],
    "/containers/.*/stats": lambda x: {"id": ID, "name": f"/{x}", "memory_stats": {"usage": 1, "limit": 2}, "networks": {x: {"rx_bytes": 1, "tx_bytes": 1}}},
    "/images/json": lambda x: [{"Id": f"sha256:{ID}", "RepoTags": [f"{x}:{x}"], "RepoDigests": [f"{x}@sha256:{ID}"], "Created": 1, "Size": 1, "Labels": {x: x}}],
    f"/images/(app|sha256:{ID})/json": lambda x: {"Id": f"sha256:{ID}", "RepoTags": [x], "Author": x, "Config": {"Labels": {x: x}}},
    "/images/app/history": lambda x: [{"Id": x, "Created": 1, "CreatedBy": x, "Size": 5, "Comment": x, "Tags": [x]}],
    "/images/search": lambda x: [{"name": x, "description": x, "star_count": 1, "is_official": True}],
    "/networks": lambda x: [{"Id": ID, "Name": x, "Driver": x, "Scope": x, "Labels": {x: x}, "Created": "2026-01-01T00:00:00Z"}],
    "/networks/net": lambda x: {"Id": ID, "Name": x, "Driver": x, "Options": {x: x}},
    "/volumes": lambda x: {"Volumes": [{"Name": x, "Driver": x, "Mountpoint": x, "Scope": x, "Labels": {x: x}}], "Warnings": [x]},
    "/volumes/vol": lambda x: {"Name": x, "Driver": x, "Labels": {x: x}, "Options": {x: x}},
    "/plugins": lambda x: [{"Id": ID, "Name": x, "Enabled": True, "PluginReference": x, "Config": {"Description": x}}],
    "/info": lambda x: {"Name": x, "ServerVersion": x, "Driver": x, "Labels": [x], "Warnings": [x], "OperatingSystem": x},
    "/version": lambda x: {"Version": x, "ApiVersion": x, "Platform": {"Name": x}, "Components": [{"Name": x, "Version": x}]},
}  # fmt: skip
#: (words, whether it is a table, a line for each thing).
COMMANDS = [
    ("ps -a", True), ("ps -as --no-trunc", True), ("ps --format {{.Names}}|{{.Labels}}", False), ("ps --format json", False),
    ("ps --format table\\x20{{.Names}}\\t{{.Image}}", True), ("ps -q", False),
    ("images --digests", True), ("images --format {{.Repository}}", False), ("images --tree", False),
    ("history app", True), ("history --no-trunc app", True), ("search term", True), ("network ls", True),
    ("network ls --format {{.Name}}{{json\\x20.Labels}}", False), ("volume ls", True), ("volume ls -q", False), ("plugin ls", True),
    ("top web", True), ("diff web", False), ("stats --no-stream", True), ("stats --no-stream --format {{.Name}}", False),
    ("info", False), ("version", False), ("info --format {{.Name}}", False),
    ("inspect web", False), ("inspect --format {{.Name}} web", False), ("image inspect app", False),
    ("network inspect net", False), ("volume inspect vol", False), ("volume inspect --format {{.Labels}} vol", False),
]  # fmt: skip


class Page(html.parser.HTMLParser):
    """The shape of a page: its tags and their attributes' names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: list[tuple[str, ...]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, *(name for name, _ in attrs)))
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "src") or str(value).startswith(("http://", "https://", "#"))

    def handle_endtag(self, tag: str) -> None:
        self.shape.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")


def engine(word: str) -> Client:
    script = Script()
    for path, made in ANSWERS.items():
        script.on("GET", path, _reply(made, word))
    return Client(ScriptedTransport(script))


def _reply(made: Made, word: str) -> Callable[[Asked], Reply]:
    return lambda _asked: Reply(json=made(word))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.commands.usage.PERIOD", 0.0)


def ask(words: str, word: str) -> Result:
    split = [part.replace("\\x20", " ") for part in words.split(" ")]
    found = run(split, NotebookFace(client=engine(word)))
    assert found is not None
    return found


def on_terminal(act: Callable[[Terminal], None]) -> str:
    """What the terminal gets of what *act* shows, with the terminal's own line ends taken back."""
    master, slave = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: read to its end
            while piece := os.read(master, 65536):
                seen.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    kept = [os.dup(1), os.dup(2)]
    try:
        for descriptor in (1, 2):
            os.dup2(slave, descriptor)
        act(Terminal())
    finally:
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)
        os.close(slave)
        reader.join(60)
        os.close(master)
    return b"".join(seen).decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def assert_no_orders(text: str) -> None:
    bad = {c for c in text if not c.isprintable() and c not in "\n\t"}
    assert not bad, f"a terminal would obey {bad}: {text[:300]!r}"


@pytest.mark.parametrize(("words", "is_table"), COMMANDS, ids=lambda x: x if isinstance(x, str) else "")
@settings(max_examples=12, deadline=None)
@given(word=hostile)
@example(word="".join(NASTY[:-1]))
@example(word=NASTY[-1])
def test_no_word_breaks_out(words: str, is_table: bool, word: str) -> None:
    found, plain = ask(words, word), ask(words, "x")
    text = str(found)
    if is_table:
        assert text.count("\n") == str(plain).count("\n")
        assert_no_orders(text)
    pages = [Page(each._repr_html_() or "").shape for each in (found, plain)]
    # A port is a link only where it is one, and nothing is shown of nothing.
    shapes = [[tag for tag in page if tag[0] not in ("a", "/a")] for page in pages]
    assert shapes[0] == shapes[1] or not text
    assert not {"script", "img", "iframe", "object", "style"} & {tag[0] for tag in pages[0]}
    bundle = found._repr_mimebundle_()
    json.dumps(bundle.get(LIVE_TYPE))


@settings(max_examples=20, deadline=None)
@given(word=hostile)
@example(word="".join(NASTY[:-1]))
def test_a_terminal_gets_no_orders_of_results_errors_and_words(word: str) -> None:
    for words in (
        "ps --format {{.Names}}",
        "inspect --format {{.Name}} web",
        "image inspect app",
        "diff web",
        "info",
        "version",
    ):
        assert_no_orders(on_terminal(lambda face, words=words: face.show(str(ask(words, word)))))  # type: ignore[misc]

    def fail(face: Terminal) -> None:
        face.show_error(LabdockError(word, hint=word))
        face.say(f"WARNING: {word}")

    shown = on_terminal(fail)
    assert_no_orders(re.sub(r"\x1b\[31m(Error:)\x1b\[0m", r"\1", shown))


def test_a_pipe_gets_what_there_is() -> None:
    out, into = os.pipe()
    kept = os.dup(1)
    os.dup2(into, 1)
    try:
        Terminal().show("a\x1b[31m\u202eb\udcff")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(into)
    assert os.read(out, 100) == "a\x1b[31m\u202eb".encode() + b"\xff\n"
    os.close(out)
