"""Create requests: how they merge with the image, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from labdock.engine import creation
from labdock.engine.records import ContainerRecord
from labdock.errors import InvalidRequest
from labdock.schema.container import CreateRequest, PortBinding
from labdock.schema.oci import ImageConfig, RuntimeConfig

IMAGE = ImageConfig(
    config=RuntimeConfig(
        env=("PATH=/bin", "A=1"),
        entrypoint=("/entry",),
        cmd=("serve",),
        working_dir="/srv",
        labels={"from": "image"},
        exposed_ports={"80/tcp": {}},
        volumes={"/data": {}},
    )
)


def build(body: dict[str, Any], image: ImageConfig = IMAGE) -> ContainerRecord:
    request = msgspec.convert(body, CreateRequest)
    return creation.build_record(
        request, body, container="c" * 64, name="n", created=1, image_id="sha256:1", image=image
    )


def test_a_variable_without_a_value_is_shown_and_taken_from_the_program() -> None:
    record = build({"Env": ["A", "B=2", "C"]})
    assert record.config.env == ("A", "B=2", "C", "PATH=/bin")
    assert record.env == ("B=2", "PATH=/bin")


@pytest.mark.parametrize(
    ("body", "args"),
    [
        ({}, ("/entry", "serve")),
        ({"Cmd": ["other"]}, ("/entry", "other")),
        ({"Entrypoint": ["/mine"]}, ("/mine",)),
        ({"Entrypoint": ["/mine"], "Cmd": ["x"]}, ("/mine", "x")),
        ({"Entrypoint": [""], "Cmd": ["x"]}, ("x",)),
        ({"Entrypoint": [], "Cmd": ["x"]}, ("x",)),
        ({"Cmd": "one"}, ("/entry", "one")),
    ],
)
def test_entrypoint_and_command_merge_as_dockerd_merges_them(body: dict[str, Any], args: tuple[str, ...]) -> None:
    assert build(body).args == args


def test_a_container_without_any_command_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no command specified"):
        build({}, ImageConfig())


def test_the_requests_environment_wins_and_a_bare_name_removes() -> None:
    assert build({"Env": ["A=2", "B=3", "PATH"]}).env == ("A=2", "B=3")


def test_the_program_gets_path_hostname_and_home_unless_they_are_set() -> None:
    record = build({"Env": ["PATH"], "Hostname": "web"})
    env = creation.process_env(record, "/root")
    assert env == (creation.DEFAULT_PATH, "HOSTNAME=web", "A=1", "HOME=/root")
    assert "HOME=/h" in creation.process_env(build({"Env": ["HOME=/h"]}), "/root")


def test_labels_ports_and_volumes_of_image_and_request_add_up() -> None:
    record = build({"Labels": {"mine": "1"}, "ExposedPorts": {"90/udp": {}}, "Volumes": {"/more": {}}})
    assert record.config.labels == {"from": "image", "mine": "1"}
    assert set(record.config.exposed_ports or {}) == {"80/tcp", "90/udp"}
    assert {mount.target for mount in record.mounts} == {"/data", "/more"}


def test_what_was_sent_is_kept_word_for_word() -> None:
    body = {"Cmd": ["x"], "Strange": {"kept": True}, "HostConfig": {"Isolation": "default", "Init": None}}
    record = build(body)
    assert record.sent == {"Cmd": ["x"], "Strange": {"kept": True}}
    assert record.host_sent == {"Isolation": "default", "Init": None}


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"LogConfig": {"Type": "syslog"}}, "logger: no log driver named 'syslog' is registered"),
        ({"RestartPolicy": {"Name": "sometimes"}}, "unknown policy 'sometimes'; use one of 'no', 'always'"),
        (
            {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}},
            "maximum retry count can only be used with 'on-failure'$",
        ),
        ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, "AutoRemove"),
        ({"RestartPolicy": {"Name": "no", "MaximumRetryCount": -1}}, "'on-failure' and cannot be negative"),
        ({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}}, "retry count cannot be negative"),
        ({"Memory": -1}, "Minimum memory limit allowed is 6MB"),
        ({"Binds": ["/a:/b", "/c:/b"]}, "Duplicate mount point: /b"),
        ({"Binds": ["rel/ative:/b"]}, "includes invalid characters for a local volume name"),
        ({"Binds": ["/a:b"]}, "mount path must be absolute"),
        ({"Binds": ["/a:/b:wrong"]}, "invalid mode: wrong"),
        ({"Binds": ["/a:/"]}, "destination can't be '/'"),
        ({"Mounts": [{"Type": "bind", "Source": "rel", "Target": "/b"}]}, "mount path must be absolute"),
        ({"Mounts": [{"Type": "npipe", "Target": "/b"}]}, "mount type unknown"),
    ],
)
def test_a_host_config_that_cannot_work_is_refused_with_the_word_that_is_wrong(
    host: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        build({"HostConfig": host})


@pytest.mark.parametrize("port", ["0/tcp", "70000", "80/icmp", "90-80/tcp", "x", ""])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid port specification"):
        creation.parse_port(port)


def test_published_ports_default_to_any_host_port_and_sctp_is_refused() -> None:
    record = build({"HostConfig": {"PortBindings": {"80/tcp": None}}})
    assert creation.bindings_of(record) == {"80/tcp": (PortBinding(),)}
    with pytest.raises(InvalidRequest, match="SCTP"):
        creation.bindings_of(build({"HostConfig": {"PortBindings": {"80/sctp": []}}}))


def test_mounts_are_ordered_so_that_outer_targets_come_first() -> None:
    record = build({"HostConfig": {"Binds": ["/x:/a/b/c", "/y:/a"], "Tmpfs": {"/a/b": "size=1m,noexec"}}}, IMAGE)
    assert [m.target for m in record.mounts] == ["/a", "/data", "/a/b", "/a/b/c"]
    assert record.mounts[2].options == ("size=1m", "noexec")
