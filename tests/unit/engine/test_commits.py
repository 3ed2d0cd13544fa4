"""What config a committed image gets: what was asked for over the container's own, as dockerd merges them."""

from __future__ import annotations

import pytest

from labdock.engine.commits import merge, to_runtime
from labdock.schema.container import ContainerConfig, HealthcheckConfig
from labdock.schema.oci import RuntimeConfig

OWN = RuntimeConfig(
    user="me",
    env=("A=1", "B=2"),
    cmd=("own",),
    entrypoint=("entry",),
    labels={"a": "1"},
    exposed_ports={"80/tcp": {}},
    volumes={"/v": {}},
    working_dir="/w",
    stop_signal="SIGINT",
    healthcheck=HealthcheckConfig(test=("CMD", "true"), retries=3),
)


def test_nothing_asked_for_is_the_containers_own() -> None:
    assert merge(RuntimeConfig(), OWN) == OWN


@pytest.mark.parametrize(
    ("wanted", "field", "found"),
    [
        (RuntimeConfig(user="you"), "user", "you"),
        (RuntimeConfig(env=("B=3", "C=4")), "env", ("B=3", "C=4", "A=1")),
        (RuntimeConfig(labels={"b": "2"}), "labels", {"a": "1", "b": "2"}),
        (RuntimeConfig(labels={"a": "2"}), "labels", {"a": "2"}),
        (RuntimeConfig(exposed_ports={"81/tcp": {}}), "exposed_ports", {"80/tcp": {}, "81/tcp": {}}),
        (RuntimeConfig(volumes={"/u": {}}), "volumes", {"/v": {}, "/u": {}}),
        (RuntimeConfig(working_dir="/x"), "working_dir", "/x"),
        (RuntimeConfig(cmd=("new",)), "cmd", ("new",)),
        (RuntimeConfig(cmd=("new",)), "entrypoint", ("entry",)),
        # Whoever sets an entrypoint does not want the old one's words.
        (RuntimeConfig(entrypoint=("new",)), "cmd", None),
        # An empty one takes the container's away.
        (RuntimeConfig(entrypoint=()), "entrypoint", ()),
        (
            RuntimeConfig(healthcheck=HealthcheckConfig(interval=5)),
            "healthcheck",
            HealthcheckConfig(test=("CMD", "true"), interval=5, retries=3),
        ),
    ],
)
def test_what_is_asked_for_goes_over_it(wanted: RuntimeConfig, field: str, found: object) -> None:
    assert getattr(merge(wanted, OWN), field) == found


def test_a_containers_config_leaves_what_is_no_images() -> None:
    config = ContainerConfig(hostname="h", tty=True, cmd="one word", env=("A",), labels={"l": ""}, mac_address="x")
    assert to_runtime(config, ("A=1",)) == RuntimeConfig(cmd=("one word",), env=("A=1",), labels={"l": ""})
