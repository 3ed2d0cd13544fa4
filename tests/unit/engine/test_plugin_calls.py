"""Plugins that answer anything at all: every call ends, within its time, with the truth about what came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from labdock.engine import volume_plugins
from labdock.engine.plugin_calls import Place, call
from labdock.engine.volume_plugins import PluginDriver, Plugins, discover, read_place
from labdock.errors import LabdockError, NotFound, SystemFailure, Unavailable, Unsupported


async def no_dial(host: str, port: int) -> socket.socket:
    raise AssertionError("nothing here is dialled")


async def look(path: str) -> tuple[int, int] | None:
    return None


@asynccontextmanager
async def plugin(folder: Path, answer: bytes | None, *, slowly: bool = False) -> AsyncIterator[Place]:
    """A server that sends *answer* to everything, byte by byte if *slowly*; None: never anything."""
    path = folder / "p.sock"

    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await reader.read()
                return
            for byte in answer if slowly else ():
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.2)
            writer.write(b"" if slowly else answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield Place(path)
    finally:
        server.close()
        await server.wait_closed()
        if served:
            await asyncio.wait(served, timeout=10)


def said(answer: bytes | None, tmp_path: Path, *, seconds: float = 20.0, slowly: bool = False) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with plugin(tmp_path, answer, slowly=slowly) as place:
            return await call(place, "VolumeDriver.List", {}, no_dial, seconds)

    return asyncio.run(main())


def body(data: bytes, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def test_answers_of_every_legal_form_are_understood(tmp_path: Path) -> None:
    assert said(body(b'{"Volumes": []}'), tmp_path) == {"Volumes": []}
    assert said(body(b""), tmp_path) == {}
    assert said(b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}', tmp_path) == {"a": 1}
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
    assert said(chunked, tmp_path) == {"a": 1}
    assert said(body(b'{"Err": "full"}', "500 Oh"), tmp_path) == {"Err": "full"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
        (body(b"<html>"), "and no JSON"),
        (body(b"[1]"), "and no JSON"),
        (body(b"{}", "404 Not Found"), "answered 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "longer than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", "longer than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (5 << 20), "longer than"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20), "does not speak HTTP"),
    ],
)
def test_answers_of_no_form_are_named(tmp_path: Path, answer: bytes, words: str) -> None:
    with pytest.raises(SystemFailure, match=words):
        said(answer, tmp_path)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"])
def test_an_answer_that_breaks_off_is_unavailable(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(Unavailable):
        said(answer, tmp_path)


def test_no_answer_and_one_that_drips_are_given_up_in_time(tmp_path: Path) -> None:
    for slowly, answer in ((False, None), (True, body(b"{}"))):
        with pytest.raises(Unavailable, match=r"no answer from the plugin at .* within 0.5 s"):
            said(answer, tmp_path, seconds=0.5, slowly=slowly)


def test_nobody_there_is_said_after_some_attempts(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        asyncio.run(call(Place(tmp_path / "none.sock"), "Plugin.Activate", {}, no_dial, 20))


def test_plugins_are_found_by_sockets_specs_and_json_in_the_order_of_the_folders(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "deep").mkdir(parents=True)
    second.mkdir()
    for path in ("first/a.sock", "first/b.spec", "first/deep/deep.spec", "first/deep/other.spec", "first/.hidden.sock"):
        (tmp_path / path).touch()
    for path in ("second/a.spec", "second/c.json", "second/d.txt"):
        (tmp_path / path).touch()
    found = discover((first, second, tmp_path / "none"))
    assert found == {
        "a": first / "a.sock",
        "b": first / "b.spec",
        "deep": first / "deep/deep.spec",
        "c": second / "c.json",
    }


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.spec", "unix:///run/a.sock\n", Place(Path("/run/a.sock"))),
        ("a.spec", "tcp://localhost:8080", Place(host="localhost", port=8080)),
        ("a.json", '{"Name": "a", "Addr": "http://10.0.0.1:90"}', Place(host="10.0.0.1", port=90)),
        ("a.spec", "nonsense", SystemFailure),
        ("a.spec", "tcp://host:port", SystemFailure),
        ("a.json", "{", SystemFailure),
        ("a.json", '{"Addr": "https://h:1", "TLSConfig": {"CAFile": "/x"}}', Unsupported),
    ],
)
def test_where_a_plugin_listens_is_read(
    tmp_path: Path, name: str, text: str, expected: Place | type[LabdockError]
) -> None:
    (tmp_path / name).write_text(text)
    if isinstance(expected, Place):
        assert read_place("a", tmp_path / name) == expected
    else:
        with pytest.raises(expected):
            read_place("a", tmp_path / name)


def driver(answers: dict[str, Any], seen: tuple[int, int] | None = None) -> PluginDriver:
    """A driver whose calls are answered from *answers*; the host sees (st_dev, st_ino) *seen*."""

    class Scripted(PluginDriver):
        async def _call(self, method: str, body: Any, seconds: float) -> dict[str, Any]:
            calls.append(method)
            return dict(answers.get(method, {}))

    calls: list[str] = []

    async def there(path: str) -> tuple[int, int] | None:
        return seen

    made = Scripted("lab", Place(Path("/x")), no_dial, there)
    made.calls = calls  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("said_", ["relative", "/", "/proc/../", 7, None, "/no/such", "/etc/passwd"])
def test_a_mountpoint_that_is_none_is_refused_and_unmounted(said_: object) -> None:
    made = driver({"Mount": {"Mountpoint": said_}})
    with pytest.raises(SystemFailure, match="the volume plugin lab mounted v on"):
        asyncio.run(made.mount("v", "me"))
    assert made.calls == ["Mount", "Unmount"]  # type: ignore[attr-defined]


def test_a_mount_that_only_the_host_sees_is_refused_not_written_beside(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not to be seen in the engine's sandbox"):
        asyncio.run(driver({"Mount": {"Mountpoint": str(tmp_path)}}, (1, 2)).mount("v", "me"))
    found = tmp_path.stat()
    seen = driver({"Mount": {"Mountpoint": str(tmp_path)}}, (found.st_dev, found.st_ino))
    assert asyncio.run(seen.mount("v", "me")) == tmp_path


def test_an_answer_for_another_volume_is_no_answer() -> None:
    with pytest.raises(SystemFailure, match="answered for another volume"):
        asyncio.run(driver({"Get": {"Volume": {"Name": "w"}}}).describe("v"))


def test_an_unknown_plugin_is_named_in_dockers_words(tmp_path: Path) -> None:
    for name in ("none", "../etc", "", "a/b"):
        with pytest.raises(NotFound, match="error looking up volume plugin"):
            asyncio.run(Plugins((tmp_path,), no_dial, look).find(name))


def test_one_that_does_not_answer_is_asked_once_and_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_plugins, "QUICK", 0.3)
    monkeypatch.setattr(volume_plugins, "_REST", 1000.0)

    async def main() -> None:
        async with plugin(tmp_path, None):
            plugins = Plugins((tmp_path,), no_dial, look)
            assert plugins.names() == ["p"]
            _, first = await plugins.list()
            assert "no answer" in first[0]
            monkeypatch.setattr(volume_plugins, "call", None)
            assert (await plugins.list())[1] == first

    asyncio.run(main())


def test_a_plugin_of_another_kind_is_no_volume_driver(tmp_path: Path) -> None:
    async def main() -> None:
        async with plugin(tmp_path, body(json.dumps({"Implements": ["NetworkDriver"]}).encode())):
            with pytest.raises(Unsupported, match="no volume driver"):
                await Plugins((tmp_path,), no_dial, look).find("p")

    asyncio.run(main())
