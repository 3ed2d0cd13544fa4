"""A JupyterLab server of a test's own: nothing of the user's settings is read, nothing is left."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

#: Seconds until the server must answer; a busy machine takes 20.
DEADLINE = 90.0
#: Seconds that it gets to end by itself. quirk: a failed kernel start makes jupyter_server's shutdown hang.
GRACE = 10.0
SETTINGS = {
    # No window that asks whether news are wanted, and nothing fetched from anywhere.
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}


class LabServer:
    """``jupyter lab`` in *root*, which gets the folders ``work`` (what the file browser shows) and ``jupyter``.

    *environment* is what its process has besides its own folders; *python* is that of another environment
    (or the variable LABDOCK_TEST_PYTHON is).
    """

    def __init__(
        self,
        root: Path,
        environment: dict[str, str],
        *,
        base_url: str = "/",
        python: str = "",
        flags: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self.work = root / "work"
        self.base_url = base_url
        self.token = secrets.token_hex(16)
        self.port = 0
        self._python = python or os.environ.get("LABDOCK_TEST_PYTHON") or sys.executable
        self._flags = flags
        self._jupyter = root / "jupyter"
        self._process: subprocess.Popen[bytes] | None = None
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "run",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        self.environment = {
            **environment,
            **{name: str(self._jupyter / folder) for name, folder in folders.items()},
            "HOME": str(root),
            "JUPYTER_PLATFORM_DIRS": "1",
        }

    @property
    def url(self) -> str:
        """Where it answers, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.base_url}"

    @property
    def log(self) -> str:
        return (self.root / "lab.log").read_text(errors="replace")

    def settings(self, plugin: str, values: dict[str, Any]) -> None:
        """Write a plugin's settings before the start."""
        path = self._jupyter / "settings" / plugin
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def start(self) -> None:
        """Start it and wait until it answers; at its own port again when it ran before."""
        self.work.mkdir(parents=True, exist_ok=True)
        for plugin, values in SETTINGS.items():
            self.settings(plugin, values)
        self.port = self.port or _free_port()
        command = [
            self._python,
            *("-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={self.port}"),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.work}", "--LabApp.extension_manager=readonly"),
            *(f"--ServerApp.base_url={self.base_url}", "--LabApp.expose_app_in_browser=True"),
            *self._flags,
        ]
        with (self.root / "lab.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                # Not on the command line, which everybody on the machine can read.
                env={**self.environment, "JUPYTER_TOKEN": self.token},
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + DEADLINE
        while not self._answers():
            assert self._process.poll() is None, f"jupyter lab ended:\n{self.log[-3000:]}"
            assert time.monotonic() < end, f"jupyter lab does not answer:\n{self.log[-3000:]}"
            time.sleep(0.1)

    def fetch(self, path: str, timeout: float = 30) -> Any:
        """The JSON that a GET of *path* (below the base URL) answers."""
        asked = urllib.request.Request(self.url + path, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        """A DELETE of *path*."""
        headers = {"Authorization": f"token {self.token}"}
        urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers, method="DELETE"), timeout=30)

    def forget_trust(self) -> None:
        """As if no image had been trusted."""
        (self._jupyter / "data" / "labdock" / "trusted-images.json").unlink()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it; after `GRACE` seconds without asking."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        try:
            self.fetch("api/status", timeout=5)
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what leads Jupyter or labdock to the user's own folders, and with *more*."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "LABDOCK", "DOCKER"))}
    return {**kept, **more}
