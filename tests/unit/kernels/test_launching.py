"""A kernel's container as it is asked for, its folder, and what a front end's connection file becomes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.errors import InvalidRequest, NoSuchImage
from labdock.kernels import launching, places, probing, relay
from labdock.kernels.specs import Settings
from labdock.schema.container import CreateRequest, HostConfig


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"LABDOCK_RUN": str(tmp_path / "run")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", ("bind", "/a", "/b", False)),
        ("/a:/b:ro", ("bind", "/a", "/b", True)),
        ("/a:/b:rw", ("bind", "/a", "/b", False)),
        ("data:/b/../c", ("volume", "data", "/c", False)),
    ],
)
def test_mounts(text: str, expected: tuple[str, str, str, bool]) -> None:
    found = launching.read_mount(text)
    assert (found.type, found.source, found.target, found.read_only) == expected


@pytest.mark.parametrize("text", ["", "/a", "/a:", ":/b", "/a:b", "/a:/", "/a:/b/..", "/a:/b:x:y", "/a:/b:rx"])
def test_mounts_that_are_none(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid mount"):
        launching.read_mount(text)


def test_no_secret_of_the_server_goes_in() -> None:
    server = {"TOKEN": "hunter2", "PATH": "/bin", "VIRTUAL_ENV": "/v", "TZ": "UTC", "GIVEN": "1", "LANG": "de_DE.UTF-8"}
    found = launching.chosen_environment(Settings(image="app", variables=("GIVEN", "ABSENT")), server)
    assert found == {"TZ": "UTC", "GIVEN": "1", **launching.FIXED}


def test_a_kernel_that_may_use_the_engine_has_its_socket_and_is_told_where(environment: dict[str, str]) -> None:
    _, host, _ = request(environment, None, api_socket=True)
    assert "/var/run/docker.sock" in {mount.target for mount in host.mounts or ()}
    assert "/var/run/docker.sock" not in {mount.target for mount in request(environment, None)[1].mounts or ()}
    found = launching.chosen_environment(Settings(image="app", api_socket=True), {"DOCKER_HOST": "tcp://elsewhere"})
    assert found == {"DOCKER_HOST": "unix:///var/run/docker.sock", **launching.FIXED}


def request(environment: dict[str, str], folder: str | None, **settings: Any) -> tuple[CreateRequest, HostConfig, str]:
    place = places.make(environment, others=False)
    try:
        made = launching.request_for(
            Settings(image="app", **settings), place, {"A": "1"}, None if folder is None else Path(folder)
        )
        assert made.host_config is not None
        return made, made.host_config, str(place.folder)
    finally:
        place.close()


def test_the_container_of_a_kernel(environment: dict[str, str]) -> None:
    made, host, own = request(environment, "/home/me/a:b", memory=7, nano_cpus=9, network="none", mounts=("/x:/y:ro",))
    assert made.entrypoint == ("python3",)
    assert made.cmd == (f"{own}/start.py", "-f", f"{own}/kernel.json")
    assert made.user == "0:0"
    assert made.working_dir == "/home/me/a:b"
    assert made.env == ("A=1",)
    assert made.labels == {"labdock.kernel": os.path.basename(own)}
    assert (host.init, host.auto_remove, host.network_mode, host.memory, host.nano_cpus) == (True, True, "none", 7, 9)
    assert [(m.source, m.target, m.read_only) for m in host.mounts or ()] == [
        (own, own, False),
        ("/x", "/y", True),
        ("/home/me/a:b", "/home/me/a:b", False),
    ]


def test_the_root_is_not_mounted_over_the_image(environment: dict[str, str]) -> None:
    made, host, _ = request(environment, "/")
    assert len(host.mounts or ()) == 1
    assert made.working_dir == "/"


def test_a_mount_goes_before_the_notebooks_folder(environment: dict[str, str]) -> None:
    made, host, _ = request(environment, "/work", mounts=("/other:/work",))
    assert [m.source for m in host.mounts or ()][1:] == ["/other"]
    assert made.working_dir == "/work"


def test_a_kernels_folder_is_its_users_alone(environment: dict[str, str]) -> None:
    place = places.make(environment, others=False)
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.folder.parent.stat().st_mode) == 0o700
    assert places.is_alive(place.folder)
    place.close()
    assert not place.folder.exists()
    assert not places.is_alive(place.folder)
    place.close()


def test_another_user_may_make_sockets_in_it_and_nobody_gets_there(environment: dict[str, str]) -> None:
    place = places.make(environment, others=True)
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o777
    assert stat.S_IMODE(place.folder.parent.stat().st_mode) == 0o700
    place.close()


def test_a_path_too_long_for_sockets_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="too long for a kernel's sockets") as caught:
        places.make({"LABDOCK_RUN": str(tmp_path / ("x" * 90))}, others=False)
    assert "LABDOCK_RUN" in (caught.value.hint or "")


class NoContainers:
    """An engine in which no container is."""

    def __init__(self) -> None:
        self.containers = self

    def list(self, **_: object) -> list[object]:
        return []


def test_folders_of_launchers_that_ended_are_swept(environment: dict[str, str]) -> None:
    living = places.make(environment, others=False)
    left = places.make(environment, others=False)
    os.close(left._lock)  # As the kernel does at the end of a process.
    assert places.sweep(environment, NoContainers()) == 1  # type: ignore[arg-type]
    assert living.folder.exists()
    assert not left.folder.exists()
    living.close()


def test_an_error_is_one_sentence_with_the_next_step() -> None:
    error = launching.one_sentence(NoSuchImage("app", hint="`labdock pull app`,\n or build it"))
    assert str(error) == "No such image: app: `labdock pull app`, or build it"
    assert error.hint is None


def test_old_widgets_are_noted() -> None:
    assert "older than 8" in probing.Found(ipywidgets="7.6.1").notes[0]
    assert probing.Found(ipywidgets="8.1").notes == probing.Found(ipywidgets="?").notes == ()


def test_an_image_without_ipykernel_says_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match="app has no ipykernel") as caught:
        probing.check(probing.Found(), "app")
    assert caught.value.hint == "`labdock kernel add app --install` builds an image that has it"


def connection(tmp_path: Path, **changes: Any) -> str:
    wire = {"transport": "tcp", "ip": "127.0.0.1", "key": "secret", "signature_scheme": "hmac-sha256"}
    wire |= {name: 5000 + number for number, name in enumerate(relay.CHANNELS)} | changes
    file = tmp_path / "connection.json"
    file.write_bytes(msgspec.json.encode({name: value for name, value in wire.items() if value is not None}))
    return str(file)


def test_the_kernel_gets_sockets_and_the_same_key(tmp_path: Path, environment: dict[str, str]) -> None:
    place = places.make(environment, others=False)
    inner = relay.inner_connection(relay.read_connection(connection(tmp_path)), place)
    assert inner["transport"] == "ipc"
    assert inner["ip"] == f"{place.folder}/s"
    assert inner["key"] == "secret"
    assert [inner[name] for name in relay.CHANNELS] == [1, 2, 3, 4, 5]
    place.close()


@pytest.mark.parametrize("changes", [{"shell_port": None}, {"hb_port": "x"}, {"transport": "quic"}])
def test_a_file_that_is_no_connection_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="no kernel's connection file"):
        relay.read_connection(connection(tmp_path, **changes))
    with pytest.raises(InvalidRequest, match="cannot read the connection file"):
        relay.read_connection(str(tmp_path / "nowhere"))
