"""RUN steps under the limits that a client asks for, and what is said of those that can't be had."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Iterator

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder
from tests.system.test_slow_readers import Reader, context_of


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineUnderTest]:
    root = short_folder()
    found = EngineUnderTest(root, LABDOCK_CGROUPS="off")
    found.start()
    found.docker("pull", "busybox")
    yield found
    found.stop()
    stores.remove(root)


def ask(engine: EngineUnderTest, method: str, path: str, body: bytes = b"", **query: str) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    asked = Reader(engine, method, f"{path}?{urllib.parse.urlencode(query)}", body, Content_Type="application/x-tar")
    found = b""
    while data := asked.socket.recv(1 << 16):
        found += data
    asked.close()
    head, _, rest = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


def build(engine: EngineUnderTest, run: str, **query: str) -> tuple[int, str]:
    status, body = ask(engine, "POST", "/v1.41/build", context_of(f"FROM busybox\nRUN {run}\n"), nocache="1", **query)
    return status, body.decode()


def test_ulimits_hold_in_a_step(engine: EngineUnderTest) -> None:
    limits = json.dumps([{"Name": "nofile", "Soft": 77, "Hard": 88}])
    _, said = build(engine, "echo limits $(ulimit -n) $(ulimit -Hn)", ulimits=limits)
    assert "limits 77 88" in said


def test_a_step_is_held_to_its_processors(engine: EngineUnderTest) -> None:
    one = min(os.sched_getaffinity(0))
    _, said = build(engine, "grep Cpus_allowed_list /proc/self/status", cpusetcpus=str(one))
    assert f"Cpus_allowed_list:\\t{one}\\n" in said
    assert "CPU limits are kept by affinity" in said


def test_a_step_that_takes_too_much_memory_is_killed(engine: EngineUnderTest) -> None:
    _, said = build(engine, "tail -c 200m /dev/zero; sleep 30", memory=str(32 << 20))
    assert "the memory limit is watched" in said or '"code":137' in said
    assert '"code":137' in said


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("memory", str(1 << 20), "Minimum memory limit allowed is 6MB"),
        ("cpusetcpus", "4000", "Requested CPUs are not available"),
        ("ulimits", "{}x", "invalid ulimits"),
        ("ulimits", '[{"Name":"nofile","Soft":9,"Hard":8}]', "ulimit soft limit must be less than or equal"),
    ],
)
def test_a_limit_that_can_not_be_is_refused(engine: EngineUnderTest, parameter: str, value: str, words: str) -> None:
    _, said = build(engine, "true", **{parameter: value})
    assert words in said


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("memory", str(64 << 20), "the memory limit is watched"),
        ("cpushares", "10", "CPU limits are kept by affinity to whole processors and by niceness"),
        ("cgroupparent", "/x", "CgroupParent is not kept by this engine"),
        ("securityopt", '["x"]', "The build's parameter securityopt is not kept by this engine"),
    ],
)
def test_what_is_not_wholly_kept_is_said(engine: EngineUnderTest, parameter: str, value: str, words: str) -> None:
    status, said = build(engine, "true", **{parameter: value})
    assert status == 200
    assert f"[Warning] {words}" in said or words in said
    assert "Successfully built" in said


def test_a_build_without_limits_has_no_warnings(engine: EngineUnderTest) -> None:
    _, said = build(engine, "true", memory="0", cpushares="0", ulimits="null", securityopt="null", isolation="")
    assert "[Warning]" not in said


@pytest.mark.parametrize("path", ["/images/busybox/history", "/images/busybox/get", "/images/get"])
def test_another_platform_of_an_image_is_not_there(engine: EngineUnderTest, path: str) -> None:
    names = {"names": "busybox"} if path == "/images/get" else {}
    own = json.loads(engine.docker("image", "inspect", "busybox"))[0]["Architecture"]
    for architecture, status in ((own, 200), ("s390x", 404)):
        platform = json.dumps({"os": "linux", "architecture": architecture})
        found, body = ask(engine, "GET", path, b"", platform=platform, **names)
        assert found == status
        assert (b"does not provide the specified platform (linux/s390x)" in body) == (status == 404)
