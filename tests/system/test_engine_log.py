"""The engine's log, as a user turns to it when a request has failed."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder

LABDOCK = (sys.executable, "-c", "from labdock.cli import main; main()")


@pytest.mark.limit(120)
def test_a_failed_request_is_found_in_the_log_by_its_id() -> None:
    root = short_folder()
    engine = EngineUnderTest(root)

    def labdock(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*LABDOCK, "engine", *arguments]
        return subprocess.run(command, env=engine.environment, capture_output=True, text=True, timeout=60, check=False)

    try:
        assert labdock("start", "--debug").returncode == 0
        again = labdock("start", "--debug")
        assert again.returncode == 1 and "labdock engine stop" in again.stderr
        assert engine.docker("info", "--format", "{{.Debug}}") == "true"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(engine.run / "docker.sock"))
            connection.sendall(b"GET /containers/nobody/json HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 404
            request = answer.headers["X-Request-Id"]
        log = labdock("logs").stdout
        assert f"{request}: GET /containers/nobody/json → 404" in log
    finally:
        engine.stop()
        stores.remove(root)
