"""Names in any case, and HostConfig's members outside it, as Docker's server takes them."""

from __future__ import annotations

from typing import Any

import pytest

from labdock.api.bodies import convert
from labdock.api.handlers.containers import gather_host_config
from labdock.api.spelling import respell
from labdock.schema.container import CreateRequest, ExecConfig


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ({"image": "a", "CMD": ["b"]}, {"Image": "a", "Cmd": ["b"]}),
        ({"hostconfig": {"utsmode": "host"}}, {"HostConfig": {"UTSMode": "host"}}),
        ({"HostConfig": {"mounts": [{"target": "/t"}]}}, {"HostConfig": {"Mounts": [{"Target": "/t"}]}}),
        (
            {"HostConfig": {"PortBindings": {"80/tcp": [{"hostport": "1"}], "81/tcp": None}}},
            {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "1"}], "81/tcp": None}}},
        ),
        ({"Labels": {"image": "x"}, "Own": {"cmd": 1}}, {"Labels": {"image": "x"}, "Own": {"cmd": 1}}),
        ({"Image": "exact", "image": "other"}, {"Image": "exact"}),
        ({"Healthcheck": {"Interval": None, "Retries": 1}, "Tty": None}, {"Healthcheck": {"Retries": 1}, "Tty": None}),
        ({"HostConfig": "no object", "NetworkingConfig": None}, {"HostConfig": "no object", "NetworkingConfig": None}),
    ],
)
def test_names_are_taken_in_any_case(sent: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert respell(sent, CreateRequest) == wanted


def test_docker_py_sends_detach_keys_with_a_small_letter() -> None:
    assert convert({"detachKeys": "ctrl-p", "Cmd": ["cat"]}, ExecConfig).detach_keys == "ctrl-p"


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        ({"Runtime": "runc"}, {"Runtime": "runc"}),
        ({"Memory": 5, "HostConfig": {"CpuShares": 2}}, {"Memory": 5, "CpuShares": 2}),
        ({"Memory": 5, "HostConfig": {"Memory": 7}}, {"Memory": 7}),
        ({"Cpuset": "0"}, {"CpusetCpus": "0"}),
        ({"Memory": 0, "HostConfig": None}, None),
    ],
)
def test_members_of_host_config_outside_it_are_taken(sent: dict[str, Any], host: Any) -> None:
    assert gather_host_config(sent).get("HostConfig") == host
