"""docker-py against the engine, with Debian's docker-registry behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import errors

from . import registry
from .clients import Engine

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(engine: Engine, clean: None) -> Iterator[Any]:
    client = docker.DockerClient(base_url=f"unix://{engine.socket}", timeout=60)
    yield client
    client.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry.serve(tmp_path, registry.USERS) as found:
        yield found


def test_push_pull_and_login(client: Any, host: str) -> None:
    auth = {"username": "user", "password": "secret"}
    with pytest.raises(errors.APIError, match="unauthorized"):
        client.login("user", "wrong", registry=host, reauth=True)
    assert client.login("user", "secret", registry=host, reauth=True)["Status"] == "Login Succeeded"
    client.images.get("busybox").tag(f"{host}/py/app", "1")
    lines = list(client.images.push(f"{host}/py/app", "1", auth_config=auth, stream=True, decode=True))
    (aux,) = [line["aux"] for line in lines if "aux" in line]
    assert aux["Tag"] == "1" and aux["Digest"].startswith("sha256:") and aux["Size"] > 0
    client.images.remove(f"{host}/py/app:1")
    image = client.images.pull(f"{host}/py/app", "1", auth_config=auth)
    assert image.attrs["RepoDigests"] == [f"{host}/py/app@{aux['Digest']}"]
    data = client.images.get_registry_data(f"{host}/py/app:1", auth_config=auth)
    assert data.id == aux["Digest"] and data.has_platform("linux/amd64") != data.has_platform("linux/arm64")
    with pytest.raises(errors.NotFound, match="manifest unknown"):
        client.images.pull(f"{host}/py/none", "1", auth_config=auth)
    client.images.remove(f"{host}/py/app:1")
    every = client.images.pull(f"{host}/py/app", all_tags=True, auth_config=auth)
    assert [one.tags for one in every] == [image.tags]
    assert client.df()["LayersSize"] > 0
