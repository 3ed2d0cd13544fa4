"""Debian's docker-registry on a free port of the loopback, with or without a login."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
#: "user" with the password "secret", as bcrypt.
USERS = "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


@contextmanager
def serve(folder: Path, users: str = "") -> Iterator[str]:
    """Gives its ``HOST:PORT``. *users*: an htpasswd file's text; "" lets everybody in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = _CONFIG.format(folder=folder, port=port)
    if users:
        (folder / "users").write_text(users)
        config += f"auth: {{htpasswd: {{realm: test, path: {folder}/users}}}}\n"
    (folder / "config.yml").write_text(config)
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, "docker-registry did not start"
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)
