"""The rarer options of ``run`` and ``create``, and the members of HostConfig they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import create_options, resource_options, run
from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace


def created(*options: str) -> dict[str, Any]:
    """The HostConfig that ``create`` with *options* sends."""
    script = Script().on("POST", "/containers/create", Reply(201, {"Id": "ab" * 32, "Warnings": []}))
    script.on("GET", "/containers/.*/json", Reply(json={"Id": "ab" * 32, "Name": "/x"}))
    run(["create", *options, "busybox"], NotebookFace(client=Client(ScriptedTransport(script))))
    sent: dict[str, Any] = script.asked[0].json
    return dict(sent["HostConfig"])


@pytest.mark.parametrize(
    ("options", "member", "value"),
    [
        ("--blkio-weight 300", "BlkioWeight", 300),
        ("--blkio-weight-device /dev/sda:200", "BlkioWeightDevice", [{"Path": "/dev/sda", "Weight": 200}]),
        ("--cgroup-parent /x", "CgroupParent", "/x"),
        ("--cpu-rt-period 5", "CpuRealtimePeriod", 5),
        ("--cpu-rt-runtime 6", "CpuRealtimeRuntime", 6),
        ("--cpuset-mems 0", "CpusetMems", "0"),
        ("--device-cgroup-rule=a", "DeviceCgroupRules", ["a"]),
        ("--device-read-bps /dev/sda:1mb", "BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1 << 20}]),
        ("--device-write-bps /dev/sda:5", "BlkioDeviceWriteBps", [{"Path": "/dev/sda", "Rate": 5}]),
        ("--device-read-iops /dev/sda:7", "BlkioDeviceReadIOps", [{"Path": "/dev/sda", "Rate": 7}]),
        ("--device-write-iops /dev/sda:8", "BlkioDeviceWriteIOps", [{"Path": "/dev/sda", "Rate": 8}]),
        ("--gpus all", "DeviceRequests", [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]),
        ("--gpus 2", "DeviceRequests", [{"Driver": "", "Count": 2, "Capabilities": [["gpu"]]}]),
        ("--isolation default", "Isolation", "default"),
        ("--memory-reservation 64m", "MemoryReservation", 64 << 20),
        ("--memory-swappiness 0", "MemorySwappiness", 0),
        ("--oom-kill-disable", "OomKillDisable", True),
        ("--runtime runc", "Runtime", "runc"),
        ("--storage-opt size=1G", "StorageOpt", {"size": "1G"}),
        ("--security-opt no-new-privileges", "SecurityOpt", ["no-new-privileges"]),
        ("--security-opt seccomp=unconfined", "SecurityOpt", ["seccomp=unconfined"]),
        ("--security-opt systempaths=unconfined", "MaskedPaths", []),
        ("--security-opt systempaths=unconfined", "ReadonlyPaths", []),
    ],
)
def test_an_option_becomes_a_member(options: str, member: str, value: object) -> None:
    assert created(*options.split())[member] == value


def test_a_seccomp_profile_is_read_from_its_file_and_sent_whole(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{ "defaultAction":\n "SCMP_ACT_ALLOW" }')
    sent = created("--security-opt", f"seccomp={profile}", "--security-opt", "label=disable")
    assert sent["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}', "label=disable"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--security-opt what", 'invalid --security-opt: "what"'),
        ("--security-opt seccomp=/nope.json", r"opening seccomp profile \(/nope.json\) failed: No such file"),
        ("--security-opt seccomp=/proc/version", r"compacting json for seccomp profile"),
        ("--device-read-bps sda:5", "bad format for device path: sda:5"),
        ("--device-read-iops /dev/sda:5mb", "invalid rate for device"),
        ("--blkio-weight-device /dev/sda:5", "invalid weight for device"),
        ("--gpus some", "invalid argument 'some' for --gpus"),
    ],
)
def test_what_makes_no_sense_is_refused(options: str, words: str) -> None:
    with pytest.raises(LabdockError, match=words):
        created(*options.split())


def test_the_options_that_load_this_module_are_those_it_knows() -> None:
    assert set(create_options._RARE) == set(resource_options.OPTIONS)


def test_without_them_nothing_of_it_is_sent() -> None:
    assert created() == {}
