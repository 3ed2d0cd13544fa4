"""docker-py's volumes and mounts against a real engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.types import Mount

from tests.system.conftest import wait_until

from .clients import Engine


@pytest.fixture
def client(engine: Engine, clean: None) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto", timeout=60)
    yield found
    for container in found.containers.list(all=True):
        container.remove(force=True, v=True)
    for volume in found.volumes.list():
        # Anonymous ones go with their containers, a moment later.
        with contextlib.suppress(docker.errors.NotFound):
            volume.remove()
    found.close()


def test_mounts_are_shown_as_docker_shows_them_before_the_start(client: Any, tmp_path: Path) -> None:
    mounts = [
        Mount("/b", str(tmp_path), type="bind", read_only=True),
        Mount("/v", "named", labels={"a": "b"}),
        Mount("/t", None, type="tmpfs", tmpfs_size="1m", tmpfs_mode=0o700),
    ]
    made = client.containers.create("busybox", "true", mounts=mounts, tmpfs={"/hidden": ""}, volumes=["/anon"])
    shown = {each["Destination"]: each for each in made.attrs["Mounts"]}
    assert set(shown) == {"/b", "/v", "/t", "/anon"}
    assert shown["/b"] == {
        "Type": "bind", "Source": str(tmp_path), "Destination": "/b", "Mode": "", "RW": False,
        "Propagation": "rprivate",
    }  # fmt: skip
    volume = client.volumes.get("named")
    assert volume.attrs["Labels"] == {"a": "b"}
    assert shown["/v"] == {
        "Type": "volume", "Name": "named", "Source": volume.attrs["Mountpoint"], "Destination": "/v", "Driver": "local",
        "Mode": "z", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert shown["/t"] == {
        "Type": "tmpfs", "Source": "", "Destination": "/t", "Mode": "", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert (shown["/anon"]["Mode"], len(shown["/anon"]["Name"])) == ("", 64)
    assert made.attrs["HostConfig"]["Mounts"][0]["ReadOnly"] is True


def test_volumes_of_another_container_that_never_ran(client: Any) -> None:
    giver = client.containers.create("busybox", "true", volumes=["/data"], name="giver")
    write = "sh -c 'echo one > /data/f'"
    client.containers.run("busybox", write, volumes_from=["giver"], remove=True)
    assert client.containers.run("busybox", "cat /data/f", volumes_from=["giver:ro"], remove=True) == b"one\n"
    with pytest.raises(docker.errors.ContainerError, match="Read-only file system"):
        client.containers.run("busybox", write, volumes_from=["giver:ro"], remove=True)
    name = giver.attrs["Mounts"][0]["Name"]
    giver.remove(v=True)
    wait_until(lambda: name not in {volume.name for volume in client.volumes.list()}, "it went with its container")


def test_create_and_inspect_answer_the_same_bytes(client: Any, engine: Engine) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket)), base_url="http://docker") as http:
        options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
        body = {"Name": "same", "Labels": {"x": "y"}, "Driver": "local", "DriverOpts": options}
        made = http.post("/volumes/create", json=body)
        assert made.status_code == 201
        again = http.post("/volumes/create", json={"Name": "same"})
        assert made.content == again.content == http.get("/volumes/same").content
        anonymous = http.post("/volumes/create", json={}).json()
        assert anonymous["Labels"] == {"com.docker.volume.anonymous": ""} and len(anonymous["Name"]) == 64


def test_a_prune_takes_anonymous_volumes_alone_from_the_api_that_says_so(client: Any, engine: Engine) -> None:
    for name in ("kept", "other"):
        client.volumes.create(name)
    anonymous = client.volumes.create().name
    assert client.volumes.prune()["VolumesDeleted"] == [anonymous]
    assert client.volumes.prune({"all": True, "label": "none"})["VolumesDeleted"] == []
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket)), base_url="http://docker") as http:
        assert set(http.post("/v1.41/volumes/prune").json()["VolumesDeleted"]) == {"kept", "other"}
        refused = http.post('/volumes/prune?filters={"bogus":["1"]}')
        assert (refused.status_code, refused.json()["message"]) == (400, "invalid filter 'bogus'")


def test_lists_are_filtered(client: Any) -> None:
    client.volumes.create("used")
    client.volumes.create("idle", labels={"team": "a"})
    client.containers.create("busybox", "true", volumes={"used": {"bind": "/v", "mode": "rw"}})

    def names(**filters: Any) -> set[str]:
        return {volume.name for volume in client.volumes.list(filters=filters)}

    assert names(dangling=True) == {"idle"} and names(dangling=False) == {"used"}
    assert names(label="team=a") == {"idle"} and names(name="us") == {"used"} and names(driver="local") >= {"used"}
    assert names(driver="other") == set()
    with pytest.raises(docker.errors.APIError, match="invalid filter 'dangling="):
        names(dangling="maybe")
    usage = {each["Name"]: each["UsageData"] for each in client.df()["Volumes"]}
    assert usage["used"]["RefCount"] == 1 and usage["idle"] == {"Size": 0, "RefCount": 0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"foo": "bar"}, 'invalid option: "foo"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "/x"}, 'missing required option: "type"'),
        ({"size": "1m"}, "quota size requested but no quota support"),
        ({"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1"}, "a volume of type 'nfs' can't be had"),
    ],
)
def test_options_of_the_local_driver_that_mean_nothing_are_refused(
    client: Any, options: dict[str, str], words: str
) -> None:
    with pytest.raises(docker.errors.APIError, match=words):
        client.volumes.create("odd", driver_opts=options)
    assert client.volumes.list() == []


def test_a_folder_by_the_name_of_a_volume(client: Any, tmp_path: Path) -> None:
    options = {"type": "none", "o": "bind", "device": str(tmp_path)}
    client.volumes.create("folder", driver_opts=options)
    volumes = {"folder": {"bind": "/v", "mode": "rw"}}
    client.containers.run("busybox", "sh -c 'echo x > /v/f'", volumes=volumes, remove=True)
    assert (tmp_path / "f").read_text() == "x\n"
    client.volumes.get("folder").remove()
    assert (tmp_path / "f").read_text() == "x\n"
    options["device"] = str(tmp_path / "none")
    client.volumes.create("folder", driver_opts=options)
    with pytest.raises(docker.errors.APIError, match=r"failed to mount local volume: mount .* no such file"):
        client.containers.run("busybox", "true", volumes=volumes, remove=True)
