"""What a HostConfig may wish: modes, devices, security options, resource limits; what is refused, what is told."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.engine import caveats, creation, devices, rlimits, security, sharing
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.errors import Conflict, InvalidRequest, SystemFailure
from labdock.runtime.spec import Rlimit
from labdock.schema.container import ContainerConfig, CreateRequest, HostConfig
from labdock.schema.oci import ImageConfig, RuntimeConfig

ALL = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "pids.max", "io.max")


def host(**sent: Any) -> HostConfig:
    return msgspec.convert(sent, HostConfig)


def record(name: str, status: Status = Status.RUNNING, pid: int = 7, **sent: Any) -> ContainerRecord:
    found = ContainerRecord(
        id=name * 64, name=name, created=1, image="i", image_id="s", config=ContainerConfig(), host=host(**sent),
        args=("sh",),
    )  # fmt: skip
    return found.evolve(status=status, pid=pid)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (host(IpcMode="odd"), "invalid IPC mode: odd"),
        (host(IpcMode="container:"), "invalid IPC mode: container:"),
        (host(PidMode="shareable"), "invalid PID mode: shareable"),
        (host(UTSMode="container:x"), "invalid UTS mode: container:x"),
        (host(UsernsMode="private"), "invalid user namespace mode: private"),
        (host(CgroupnsMode="x"), "invalid cgroup namespace mode: x"),
        (host(Sysctls={"kernel.panic": "1"}), "sysctl kernel.panic is not in a separate kernel namespace"),
        (host(Sysctls={"vm.swappiness": "1"}), "is not in a separate kernel namespace"),
        (host(Sysctls={"net.core.somaxconn": "1"}, NetworkMode="host"), "not allowed in host network namespace"),
        (host(Sysctls={"kernel/msgmax": "1"}, IpcMode="host"), "not allowed in host ipc namespace"),
        (host(Sysctls={"net.../../kernel/panic": "1"}), "invalid sysctl name"),
        (host(Sysctls={"net..x": "1"}), "invalid sysctl name"),
        (host(Sysctls={"net.a\0b": "1"}), "invalid sysctl name"),
        (host(Devices=[{"PathOnHost": "/dev/null\0x"}]), "invalid device path"),
        (host(Devices=[{"PathOnHost": "/dev/null", "PathInContainer": "hole"}]), "invalid device path: 'hole'"),
        (host(Devices=[{}]), "invalid device path: ''"),
        (host(SecurityOpt=["what"]), 'invalid --security-opt 1: "what"'),
        (host(SecurityOpt=["what=x"]), 'invalid --security-opt 2: "what=x"'),
        (host(SecurityOpt=["no-new-privileges=perhaps"]), "invalid --security-opt 2"),
        (host(SecurityOpt=["seccomp=/etc/profile.json"]), "Decoding seccomp profile failed"),
        (host(SecurityOpt=["seccomp=[]"]), "Decoding seccomp profile failed"),
        (host(CapAdd=["SYS_NOTHING"]), 'invalid capability: "SYS_NOTHING"'),
        (host(Runtime="kata"), "unknown or invalid runtime name: kata"),
        (
            host(DeviceRequests=[{"Driver": "nvidia", "Capabilities": [["gpu"]]}]),
            r'could not select device driver "nvidia" with capabilities: \[\[gpu\]\]',
        ),
    ],
)
def test_what_cannot_be_is_refused_at_create_in_dockers_words(asked: HostConfig, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        creation.check_host(asked)


def test_what_can_be_is_taken() -> None:
    modes = {"IpcMode": "container:a", "PidMode": "container:b", "UTSMode": "host", "UsernsMode": "host"}
    sysctls = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "5", "fs.mqueue.msg_max": "5"}
    options = ["no-new-privileges", "no-new-privileges:false", "seccomp=builtin", "label=disable"]
    creation.check_host(host(**modes, CgroupnsMode="host", Sysctls=sysctls, Runtime="runc", SecurityOpt=options))
    creation.check_host(host(CapAdd=["ALL"], CapDrop=["cap_net_raw", "mknod"]))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"StopSignal": "SIGWHAT"}, "Invalid signal: SIGWHAT"),
        ({"WorkingDir": "relative"}, "the working directory 'relative' is invalid, it needs to be an absolute path"),
    ],
)
def test_a_config_that_cannot_be_is_refused_at_create(config: dict[str, Any], words: str) -> None:
    body = {"Image": "i", **config}
    image = ImageConfig(config=RuntimeConfig(cmd=("sh",)))
    with pytest.raises(InvalidRequest, match=words):
        creation.build_record(
            msgspec.convert(body, CreateRequest), body, container="c" * 64, name="n", created=1, image_id="s",
            image=image,
        )  # fmt: skip


def find(*records: ContainerRecord) -> Any:
    return {r.name: r for r in records}.__getitem__


def spaces(of: ContainerRecord, *others: ContainerRecord) -> sharing.Namespaces:
    return sharing.find_namespaces(of, find(*others), lambda container: Path("/box/shm") / container[:1])


def test_a_container_has_its_own_namespaces_or_the_sandboxs_or_anothers() -> None:
    donor = record("d", pid=42, IpcMode="shareable")
    own = spaces(record("a", ShmSize=5))
    assert own == sharing.Namespaces("private", "private", "private", "private", "", 5)
    assert spaces(record("a", IpcMode="none")).shm_size == 0
    assert spaces(donor).shm == "/box/shm/d"
    assert spaces(record("a", PidMode="host", IpcMode="host", UTSMode="host", CgroupnsMode="host")) == (
        sharing.Namespaces("host", "host", "host", "host")
    )
    joined = spaces(record("a", PidMode="container:d", IpcMode="container:d"), donor)
    assert (joined.pid, joined.ipc, joined.shm) == ("/proc/42/ns/pid", "/proc/42/ns/ipc", "/box/shm/d")


@pytest.mark.parametrize(
    ("asked", "donor", "words"),
    [
        ({"PidMode": "container:d"}, record("d", Status.EXITED), "cannot join PID namespace .* is not running"),
        ({"IpcMode": "container:d"}, record("d", Status.PAUSED, IpcMode="shareable"), "cannot join IPC namespace"),
        ({"IpcMode": "container:d"}, record("d"), "non-shareable IPC \\(hint: use IpcMode:shareable"),
    ],
)
def test_only_what_runs_and_shares_can_be_joined(asked: dict[str, Any], donor: ContainerRecord, words: str) -> None:
    with pytest.raises(Conflict, match=words):
        spaces(record("a", **asked), donor)


def test_a_device_is_bound_where_it_is_wanted_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    asked = {"PathOnHost": "/dev/null", "PathInContainer": "/dev/hole", "CgroupPermissions": "rwm"}
    assert [(m.source, m.target) for m in devices.bind_devices(host(Devices=[asked]))] == [("/dev/null", "/dev/hole")]
    with pytest.raises(SystemFailure, match=r'custom device "/dev/nope": no such file or directory'):
        devices.bind_devices(host(Devices=[{"PathOnHost": "/dev/nope"}]))
    (tmp_path / "file").touch()
    with pytest.raises(SystemFailure, match="not a device node"):
        devices.bind_devices(host(Devices=[{"PathOnHost": str(tmp_path / "file")}]))
    for folder in (str(tmp_path), "/"):
        with pytest.raises(SystemFailure, match="not a device node"):
            devices.bind_devices(host(Devices=[{"PathOnHost": folder}]))
    below = devices.bind_devices(host(Devices=[{"PathOnHost": "/dev/net", "PathInContainer": "/dev/lines"}]))
    assert all(mount.source.replace("/dev/net", "/dev/lines") == mount.target for mount in below)


def test_a_privileged_container_gets_each_device_that_this_user_may_open_and_none_that_it_has_anyway() -> None:
    targets = [mount.target for mount in devices.bind_devices(host(Privileged=True))]
    assert all(os.access(target, os.R_OK) for target in targets)
    assert not {"/dev/null", "/dev/tty", "/dev/ptmx"} & set(targets)
    assert not any(target.startswith(("/dev/pts", "/dev/shm")) for target in targets)


def test_security_options_mean_what_they_say() -> None:
    parse = security.parse_security
    assert parse(host()) == security.Security()
    assert parse(host(SecurityOpt=["no-new-privileges"])).no_new_privileges
    assert parse(host(SecurityOpt=["no-new-privileges:true"])).no_new_privileges
    assert not parse(host(SecurityOpt=["no-new-privileges", "no-new-privileges=false"])).no_new_privileges
    assert parse(host(SecurityOpt=["seccomp:unconfined"])).seccomp == "unconfined"
    profile = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert parse(host(SecurityOpt=[f"seccomp={json.dumps(profile)}"])).seccomp == profile
    assert parse(host(SecurityOpt=["systempaths=unconfined"])).open_paths
    assert parse(host(SecurityOpt=["apparmor=x", "label=type:y", "apparmor=unconfined"])).unkept == (
        "apparmor=x", "label=type:y",
    )  # fmt: skip


def test_a_resource_limit_is_kept_within_what_this_user_has_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1024, 4096))
    asked = host(
        Ulimits=[
            {"Name": "nofile", "Soft": 10, "Hard": 20},
            {"Name": "RLIMIT_CORE", "Soft": 10, "Hard": 9999},
            {"Name": "memlock", "Soft": -1, "Hard": -1},
            {"Name": "odd", "Soft": 1, "Hard": 1},
        ]
    )
    found, warnings = rlimits.bound_rlimits(asked)
    assert found == (
        Rlimit("nofile", 10, 20), Rlimit("RLIMIT_CORE", 10, 4096), Rlimit("memlock", 4096, 4096), Rlimit("odd", 1, 1),
    )  # fmt: skip
    assert [warning.split()[1] for warning in warnings] == ["RLIMIT_CORE", "memlock"]
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1024, resource.RLIM_INFINITY))
    assert rlimits.bound_rlimits(asked)[1] == []


def test_an_oom_score_is_raised_and_never_lowered() -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert rlimits.bound_score(host()) == (None, False)
    assert rlimits.bound_score(host(OomScoreAdj=1000)) == (1000, False)
    assert rlimits.bound_score(host(OomScoreAdj=-1000)) == (None, own > -1000)


def test_each_wish_that_is_not_kept_is_told_and_what_is_kept_is_not() -> None:
    asked = host(
        CgroupParent="/x", DeviceCgroupRules=["c 1:3 rwm"], StorageOpt={"size": "1G"}, OomKillDisable=True,
        Devices=[{"PathOnHost": "/dev/null", "CgroupPermissions": "r"}], SecurityOpt=["apparmor=docker-default"],
    )  # fmt: skip
    warnings = caveats.warn(asked, controls=ALL)
    for words in (
        "CgroupParent", "DeviceCgroupRules", "StorageOpt", "OomKillDisable", "permissions 'r' of /dev/null", "apparmor",
    ):  # fmt: skip
        assert len([w for w in warnings if words in w]) == 1, words
    assert len(warnings) == 6
    kept = host(Memory=1 << 30, Privileged=True, SecurityOpt=["seccomp=unconfined"], Devices=[{"PathOnHost": "/dev/x"}])
    assert caveats.warn(kept, controls=ALL) == ()
