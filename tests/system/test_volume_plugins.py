"""Volume plugins that are real processes: one that works, and those that hang, die and lie; and the shipped example."""

from __future__ import annotations

import http.server
import json
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder, wait_until

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples/volumes_over_http.py"


class Plugins:
    """Plugin processes beside an engine that looks for them in ``root/config``."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "config/labdock/plugins"
        self.folder.mkdir(parents=True)
        self.root = root
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, mode: str = "good") -> None:
        place = self.root / f"of-{name}"
        place.mkdir(exist_ok=True)
        socket = self.folder / f"{name}.sock"
        command = [sys.executable, str(HERE / "standin_plugin.py"), str(socket), str(place), mode]
        self.run(name, command, socket)

    def run(self, name: str, command: list[str], socket: Path, environment: dict[str, str] | None = None) -> None:
        self.processes[name] = subprocess.Popen(command, env=environment)
        wait_until(socket.exists, f"the plugin {name} listens")

    def calls(self, name: str) -> list[str]:
        return (self.root / f"of-{name}/calls").read_text().splitlines()

    def end(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(timeout=20)


@pytest.fixture
def box() -> Iterator[tuple[EngineUnderTest, Plugins]]:
    root = short_folder()
    engine = EngineUnderTest(root, XDG_CONFIG_HOME=str(root / "config"))
    plugins = Plugins(root)
    try:
        engine.start()
        yield engine, plugins
    finally:
        engine.stop()
        for name in list(plugins.processes):
            plugins.end(name)
        stores.remove(root)


def attempt(engine: EngineUnderTest, *arguments: str) -> str:
    """The words of a docker command that must fail."""
    done = subprocess.run(
        ["docker", *arguments], env=engine.environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_a_plugin_keeps_volumes_and_is_told_who_uses_them(box: tuple[EngineUnderTest, Plugins]) -> None:
    engine, plugins = box
    plugins.start("shelf")
    engine.docker("volume", "create", "-d", "shelf", "-o", "color=red", "notes")
    shown = json.loads(engine.docker("volume", "inspect", "notes"))[0]
    assert (shown["Driver"], shown["Scope"], shown["Status"]) == ("shelf", "global", {"shelf": 7})
    assert shown["Options"] == {"color": "red"}
    assert "shelf" in engine.docker("info", "--format", "{{json .Plugins.Volume}}")
    engine.docker("run", "--rm", "-v", "notes:/n", "busybox", "sh", "-c", "echo kept > /n/file")
    assert engine.docker("run", "--rm", "-v", "notes:/n", "busybox", "cat", "/n/file") == "kept"
    # A volume that is made by being used, and one that the plugin had before.
    container = engine.docker("run", "-d", "--volume-driver", "shelf", "-v", "made:/n", "busybox", "sleep", "1000")
    (plugins.root / "of-shelf/volumes/older/data").mkdir(parents=True)
    found = engine.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}}").splitlines()
    assert set(found) == {"shelf notes", "shelf made", "shelf older"}
    assert "volume is in use" in attempt(engine, "volume", "rm", "made")

    before = engine.pid("engine")
    engine.kill("engine")
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    engine.docker("rm", "-f", container)
    wait_until(lambda: f"Unmount made {container[:12]}" in plugins.calls("shelf"), "the plugin is told of the end")
    engine.docker("volume", "rm", "notes", "made")
    assert "Remove notes " in plugins.calls("shelf")
    mounts = [call.split()[1:] for call in plugins.calls("shelf") if call.startswith("Mount ")]
    unmounts = [call.split()[1:] for call in plugins.calls("shelf") if call.startswith("Unmount ")]
    assert sorted(mounts) == sorted(unmounts)


def test_a_plugin_that_died_harms_nobody(box: tuple[EngineUnderTest, Plugins]) -> None:
    engine, plugins = box
    plugins.start("shelf")
    engine.docker("volume", "create", "-d", "shelf", "far")
    engine.docker("volume", "create", "near")
    plugins.end("shelf")
    client = engine.client()
    listed = client.api.volumes()
    client.close()
    assert {volume["Name"] for volume in listed["Volumes"]} == {"far", "near"}
    assert "the volume plugin shelf can't be asked" in listed["Warnings"][0]
    ours = [str(Path(sys.executable).with_name("labdock")), "volume", "ls", "-q"]
    told = subprocess.run(ours, env=engine.environment, capture_output=True, text=True, timeout=60, check=True)
    assert set(told.stdout.split()) == {"far", "near"} and "can't be asked" in told.stderr
    engine.docker("run", "--rm", "-v", "near:/n", "busybox", "touch", "/n/x")
    assert "far" in engine.docker("system", "df", "-v")
    assert "the plugin at" in attempt(engine, "run", "--rm", "-v", "far:/n", "busybox", "true")
    engine.stop()
    engine.start()
    engine.docker("run", "--rm", "-v", "near:/n", "busybox", "ls", "/n/x")
    assert "the plugin at" in attempt(engine, "volume", "rm", "far")
    engine.docker("volume", "rm", "-f", "far")
    assert engine.docker("volume", "ls", "-q") == "near"


def test_plugins_that_hang_and_lie_and_die_are_named_and_bounded(box: tuple[EngineUnderTest, Plugins]) -> None:
    engine, plugins = box
    for name, mode in (("slow", "hang"), ("liar", "lie"), ("mute", "garble"), ("frail", "die")):
        plugins.start(name, mode)
    engine.docker("volume", "create", "near")
    for name in ("liar", "frail"):
        engine.docker("volume", "create", "-d", name, f"of-{name}")
    assert "and no JSON" in attempt(engine, "volume", "create", "-d", "mute", "x1")
    assert "which can't be used: No such file" in attempt(engine, "run", "--rm", "-v", "of-liar:/n", "busybox", "true")
    assert "the plugin at" in attempt(engine, "run", "--rm", "-v", "of-frail:/n", "busybox", "true")
    # The one that hangs is waited for once, then left alone for a while.
    assert "near" in engine.docker("volume", "ls", "-q")
    asked = len([call for call in plugins.calls("slow") if call.startswith("List")])
    assert "near" in engine.docker("volume", "ls", "-q")
    assert len([call for call in plugins.calls("slow") if call.startswith("List")]) == asked == 1
    assert engine.docker("run", "--rm", "-v", "near:/n", "busybox", "echo", "well") == "well"
    said = attempt(engine, "volume", "create", "-d", "nobody", "x2")
    assert 'create x2: error looking up volume plugin nobody: plugin "nobody" not found' in said


class _Objects(http.server.BaseHTTPRequestHandler):
    """An object store that is a dict."""

    objects: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        self._answer(200 if self.path in self.objects else 404, self.objects.get(self.path, b""))

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def do_DELETE(self) -> None:
        self._answer(204 if self.objects.pop(self.path, None) is not None else 404)

    def _answer(self, status: int, data: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def object_store() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Objects) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/volumes"
        finally:
            server.shutdown()
            thread.join()


def test_the_example_keeps_a_volume_on_a_store_and_another_machine_goes_on_with_it(
    box: tuple[EngineUnderTest, Plugins],
) -> None:
    engine, plugins = box
    with object_store() as store:
        # Two of it, with folders of their own, are two machines.
        for name in ("here", "there"):
            socket = plugins.folder / f"{name}.sock"
            command = [sys.executable, str(EXAMPLE), "--store", store, "--name", name, "--every", "0"]
            command += ["--folder", str(plugins.root / f"shelf-{name}"), "--socket", str(socket)]
            plugins.run(name, command, socket)
        engine.docker("volume", "create", "-d", "here", "notes")
        write = "echo one > /n/file && chown 1000:1000 /n/file && chmod 600 /n/file && mkdir -m 750 /n/d"
        engine.docker("run", "--rm", "-v", "notes:/n", "busybox", "sh", "-c", write)
        wait_until(lambda: b"file" in _Objects.objects.get("/volumes/notes.tar", b""), "the volume was stored")
        # The same object under another driver: this engine forgets the first, the store does not.
        plugins.end("here")
        engine.docker("volume", "rm", "-f", "notes")
        engine.docker("volume", "create", "-d", "there", "notes")
        look = "cat /n/file; stat -c '%u:%g %a' /n/file /n/d; echo two >> /n/file"
        shown = engine.docker("run", "--rm", "-v", "notes:/n", "busybox", "sh", "-c", look)
        assert shown == "one\n1000:1000 600\n0:0 750"
        wait_until(lambda: b"one\ntwo\n" in _Objects.objects["/volumes/notes.tar"], "the change was stored")
        engine.docker("volume", "rm", "notes")
        assert _Objects.objects == {}
