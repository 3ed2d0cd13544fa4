"""Debian's docker-registry on a free port of the loopback, empty at first: images are pulled from and pushed to it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.engines import EngineMissing

_CONFIG = """version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:0"}}
"""
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Gives its port; *folder* is made, and gone afterwards. Raises EngineMissing."""
    if shutil.which("docker-registry") is None:
        raise EngineMissing("docker-registry is not installed")
    folder.mkdir()
    (folder / "config.yml").write_text(_CONFIG.format(folder=folder))
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        yield _wait(running, folder / "log")
    finally:
        running.terminate()
        running.wait(10)
        shutil.rmtree(folder)


def _wait(running: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + 20
    while (found := _LISTENING.search(log.read_text())) is None:
        if running.poll() is not None or time.monotonic() > deadline:
            raise EngineMissing(f"docker-registry does not listen: {log.read_text()[-300:]}")
        time.sleep(0.02)
    return int(found[1])
