"""Kernels inside images as JupyterLab starts them: through its server's REST."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labdock import kernels

from .conftest import wait_until
from .kernels import IMAGE, Classroom, open_classroom

TOKEN = "a token of the tests"


class Server:
    """A Jupyter server of the tests' own, on a port that it chose itself."""

    def __init__(self, room: Classroom) -> None:
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.port=0", "--allow-root"]
        command += [f"--ServerApp.root_dir={room.notebooks}", f"--IdentityProvider.token={TOKEN}"]
        self._log = (room.root / "server.log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=dict(os.environ))
        self._info = Path(room.root) / "jr" / f"jpserver-{self._process.pid}.json"
        wait_until(self._is_up, "the server is up", 60)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        if not self._info.exists():
            return False
        try:
            self.address = str(json.loads(self._info.read_text())["url"])
            return bool(self.ask("GET", "api/status"))
        except (ValueError, OSError):
            return False

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self.address + path,
            method=method,
            headers={"Authorization": f"token {TOKEN}"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._log.close()


@pytest.fixture(scope="module")
def room() -> Iterator[Classroom]:
    with open_classroom() as found:
        yield found


def test_a_server_offers_starts_and_ends_kernels_in_images(room: Classroom) -> None:
    kernels.add(IMAGE, name="inside", display_name="Inside", network="none")
    kernels.add(IMAGE, name="gone")
    specs = room.root / "jd/kernels/gone/kernel.json"
    specs.write_text(specs.read_text().replace(f'"{IMAGE}"', '"nowhere:1"'))
    server = Server(room)
    try:
        offered = server.ask("GET", "api/kernelspecs")["kernelspecs"]
        assert offered["inside"]["spec"]["display_name"] == "Inside"
        assert "logo-svg" in offered["inside"]["resources"]
        started = server.ask("POST", "api/kernels", {"name": "inside"})
        assert len(room.containers()) == 1
        assert [found["id"] for found in server.ask("GET", "api/kernels")] == [started["id"]]
        server.ask("POST", f"api/kernels/{started['id']}/restart")
        assert len(room.containers()) == 1
        server.ask("DELETE", f"api/kernels/{started['id']}")
        wait_until(lambda: not room.left(), "nothing is left of it")
        with pytest.raises(urllib.error.HTTPError) as refused:
            # As for a notebook: what it says is the dialog's text.
            session = {"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": {"name": "gone"}}
            server.ask("POST", "api/sessions", session)
        with refused.value as answer:
            said = json.loads(answer.read())["message"]
        assert "No such image: nowhere:1: `labdock pull nowhere:1`, or build it" in said
        server.ask("POST", "api/kernels", {"name": "inside"})
        assert len(room.containers()) == 1
    finally:
        server.kill()
    wait_until(lambda: not room.containers(), "a killed server's kernels end")


def test_kernels_are_made_and_removed_through_rest(room: Classroom) -> None:
    server = Server(room)
    try:
        wish = {"image": IMAGE, "name": "rest", "display_name": "Through REST", "network": False, "memory": "512m"}
        mount = f"{room.notebooks}:/more:ro"
        made = server.ask("POST", "labdock/api/kernels", {**wish, "mounts": [mount], "api_socket": True})
        asked = {"name": "rest", "display_name": "Through REST", "image": IMAGE, "network": "none", "memory": 512 << 20}
        assert made == {**made, **asked, "mounts": [mount], "api_socket": True}
        assert made in server.ask("GET", "labdock/api/kernels")
        assert server.ask("GET", "api/kernelspecs")["kernelspecs"]["rest"]["spec"]["display_name"] == "Through REST"
        started = server.ask("POST", "api/kernels", {"name": "rest"})
        (container,) = room.containers()
        (found,) = json.loads(room.docker("inspect", container))
        assert found["HostConfig"]["NetworkMode"] == "none" and found["HostConfig"]["Memory"] == 512 << 20
        assert {"/more", "/var/run/docker.sock"} <= {mount["Destination"] for mount in found["Mounts"]}

        for method, path, body, status, words in (
            ("POST", "kernels", {"image": "busybox", "name": "rest"}, 400, "has no python3"),
            ("POST", "kernels", {"image": "nowhere:1"}, 404, "No such image: nowhere:1"),
            ("POST", "kernels", {"image": IMAGE, "memory": True}, 400, "'memory' is no number or text"),
            ("POST", "kernels", {"image": IMAGE, "memory": "much"}, 400, "invalid size: 'much'"),
            ("DELETE", "kernels/python3", None, 404, "not labdock's"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                server.ask(method, f"labdock/api/{path}", body)
            with refused.value as answer:
                assert (answer.code, words in answer.read().decode()) == (status, True), (method, path, body)

        assert server.ask("DELETE", "labdock/api/kernels/rest") == made
        assert "rest" not in server.ask("GET", "api/kernelspecs")["kernelspecs"]
        assert room.containers() == [container], "one that runs goes on"
        server.ask("DELETE", f"api/kernels/{started['id']}")
        wait_until(lambda: not room.left(), "nothing is left of it")
    finally:
        server.kill()
