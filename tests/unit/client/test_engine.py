"""Which engine is spoken to, and what a start that failed says."""

from __future__ import annotations

from pathlib import Path

import pytest

from labdock.client.engine import diagnosis, find_socket
from labdock.errors import Unsupported

OWN = {"LABDOCK_RUN": "/r"}


@pytest.mark.parametrize(
    ("environment", "path", "own"),
    [
        (OWN, "/r/docker.sock", True),
        (OWN | {"DOCKER_HOST": "unix:///r/docker.sock"}, "/r/docker.sock", True),
        (OWN | {"DOCKER_HOST": "unix:///var/run/docker.sock"}, "/var/run/docker.sock", False),
        (OWN | {"LABDOCK_HOST": "unix:///a", "DOCKER_HOST": "unix:///b"}, "/a", False),
        (OWN | {"DOCKER_HOST": ""}, "/r/docker.sock", True),
    ],
)
def test_where(environment: dict[str, str], path: str, own: bool) -> None:
    assert find_socket(environment) == (Path(path), own)


def test_other_addresses_say_so() -> None:
    with pytest.raises(Unsupported, match="tcp://h:2375") as caught:
        find_socket({"DOCKER_HOST": "tcp://h:2375"})
    assert "unset DOCKER_HOST" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("no newuidmap\n\nhint: apt install uidmap\n", "no newuidmap", "apt install uidmap"),
        ("only a message", "only a message", None),
        ("", "the engine's start ended with 1 and said nothing", None),
    ],
)
def test_diagnosis(text: str, message: str, hint: str | None) -> None:
    error = diagnosis(text, 1)
    assert error.message == message
    assert hint is None or error.hint == hint
    assert error.hint
