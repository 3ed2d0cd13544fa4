"""The real docker CLI, with and without a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

#: Seconds that one command may take; generous, because the machine may be busy.
PATIENCE = 60.0


@dataclass(frozen=True)
class Engine:
    socket: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again until *condition* is true; fail the test with *what* when it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.05)


def find_docker() -> list[str]:
    """Every docker CLI here, each once; at least one is needed."""
    candidates = ["/usr/local/bin/docker", "/usr/bin/docker", shutil.which("docker") or ""]
    found = sorted({os.path.realpath(path) for path in candidates if os.path.exists(path)})
    return found or ["docker"]  # then each test says "No such file: docker"


class Docker:
    """One docker CLI. ``__call__`` runs a command to its end."""

    def __init__(self, program: str, engine: Engine) -> None:
        self.program = program
        self.environment = {
            **{key: value for key, value in engine.environment.items() if not key.startswith("DOCKER_")},
            "DOCKER_HOST": f"unix://{engine.socket}",
            "DOCKER_BUILDKIT": "0",
            "DOCKER_CONFIG": tempfile.gettempdir() + "/no-docker-config",
        }

    def __call__(self, *args: str, stdin: str | bytes = b"", cwd: Path | None = None) -> Done:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [self.program, *args], input=data, env=self.environment, cwd=cwd, capture_output=True, timeout=PATIENCE
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def ok(self, *args: str, stdin: str | bytes = b"", cwd: Path | None = None) -> str:
        """Its output; the command must succeed."""
        done = self(*args, stdin=stdin, cwd=cwd)
        assert done.code == 0, f"docker {' '.join(args)} → {done.code}\n{done.out}\n{done.err}"
        return done.out

    def background(self, *args: str) -> subprocess.Popen[bytes]:
        """A command that goes on; read its output, end it by ``terminate`` and ``wait``."""
        return subprocess.Popen(
            [self.program, *args], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )

    def terminal(self, *args: str, rows: int = 24, columns: int = 80) -> Terminal:
        return Terminal([self.program, *args], self.environment, rows, columns)


def _take_terminal() -> None:
    """Standard input's terminal becomes the new session's own, so that its keys are signals."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command with a terminal of its own. ``seen`` is all that it wrote."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], rows: int, columns: int) -> None:
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(other)
        self.seen = ""

    def send(self, text: str) -> None:
        os.write(self._end, text.encode())

    def expect(self, pattern: str) -> None:
        """Read until *pattern* is in what was seen since the last expectation."""
        assert self.sees(pattern, PATIENCE), f"{pattern!r} did not come; seen:\n{self.seen}"

    def sees(self, pattern: str, seconds: float) -> bool:
        """Whether *pattern* comes within *seconds*; what precedes it, and it, are then taken from ``seen``."""
        deadline = time.monotonic() + seconds
        while (match := re.search(pattern, self.seen)) is None:
            if not self._read(deadline):
                return False
        self.seen = self.seen[match.end() :]
        return True

    def resize_until(self, rows: int, columns: int, pattern: str) -> None:
        """Give the terminal this size, and tell the client so until *pattern* comes.

        quirk: the docker CLI shows the prompt before it listens to SIGWINCH, so the first one may be lost on it.
        """
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        for _ in range(int(PATIENCE)):
            os.kill(self._process.pid, signal.SIGWINCH)
            if self.sees(pattern, 1):
                return
        raise AssertionError(f"{pattern!r} did not come; seen:\n{self.seen}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, seconds: float) -> int:
        """Its exit code, what it writes meanwhile read; subprocess.TimeoutExpired when it goes on."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(min(deadline, time.monotonic() + 0.02))
        return self._process.wait(0)

    def wait(self) -> int:
        """Its exit code, all output read."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(timeout=PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._end], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._end, 65536)
        except OSError:  # EIO: the command and all who had the terminal have gone
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._end)
