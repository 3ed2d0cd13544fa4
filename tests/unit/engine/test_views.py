"""What clients are shown of containers."""

from __future__ import annotations

import pytest

from labdock.engine import names, network_views, views
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord, EndpointRecord, State
from labdock.errors import InvalidRequest
from labdock.schema.container import ContainerConfig, HostConfig, PortBinding

SECOND = 10**9


def record(**changes: object) -> ContainerRecord:
    fields: dict[str, object] = {
        "id": "ab" * 32, "name": "web", "created": 0, "image": "nginx", "image_id": "sha256:1",
        "config": ContainerConfig(exposed_ports={"80/tcp": {}, "9/udp": {}}), "host": HostConfig(), "args": ("sh",),
    }  # fmt: skip
    return ContainerRecord(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (3000, "50 minutes"),
     (3600, "About an hour"), (7200, "2 hours"), (172800, "2 days"), (1209600, "2 weeks"), (7776000, "3 months"),
     (63072000, "2 years")],
)  # fmt: skip
def test_spans_are_told_in_dockers_words(seconds: int, words: str) -> None:
    assert views.describe_span(seconds * SECOND) == words


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(status=Status.RUNNING, started=1), "Up 5 seconds"),
        (State(status=Status.PAUSED, started=1), "Up 5 seconds (Paused)"),
        (State(status=Status.EXITED, exit_code=3, finished=1), "Exited (3) 5 seconds ago"),
        (State(status=Status.CREATED), "Created"),
    ],
)
def test_the_status_column(state: State, words: str) -> None:
    assert views.describe_status(state, 5 * SECOND + 1) == words


def test_exposed_ports_show_bindings_only_while_published() -> None:
    shown = views.show_ports(record(ports={"80/tcp": (PortBinding(host_port="8080"),)}))
    assert shown == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "9/udp": None}  # noqa: S104


def test_host_config_comes_back_as_sent_over_dockers_defaults() -> None:
    shown = views.show_host_config({"Isolation": "hyperv", "LogConfig": {"Type": ""}, "CpuShares": 7}, "bridge")
    assert shown["Isolation"] == "hyperv"
    assert shown["CpuShares"] == 7
    assert shown["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert shown["NetworkMode"] == "bridge"


def test_inspect_has_the_network_address_at_the_top_and_under_its_network() -> None:
    endpoint = EndpointRecord(
        network="bridge", network_id="n1", endpoint_id="e1", ip="172.17.0.2", prefix=16, gateway="172.17.0.1", mac="02:"
    )
    shown = network_views.show_network_settings(record(endpoints=(endpoint,)), "/netns", {})
    assert shown["IPAddress"] == shown["Networks"]["bridge"]["IPAddress"] == "172.17.0.2"


def test_times_are_rfc3339_with_nanoseconds() -> None:
    assert views.show_time(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
    assert views.show_time(0) == views.ZERO_TIME


@pytest.mark.parametrize("name", ["a", "-a", "a b", "a/b", "", ".ab", "ä1"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid container name"):
        names.check_name(name)


def test_picked_names_are_free_and_valid() -> None:
    taken: set[str] = set()
    for _ in range(500):
        name = names.pick_name(taken.__contains__)
        assert name not in taken
        taken.add(names.check_name(name))
