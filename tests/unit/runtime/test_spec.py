"""The spec builder: whole specs against golden files, and the rules one by one.

Regenerate the goldens with ``LABDOCK_GOLDEN=1 pytest tests/unit/runtime/test_spec.py`` and read the diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from labdock.errors import InvalidRequest
from labdock.runtime.spec import (
    ALL,
    DEFAULT,
    Device,
    Rlimit,
    SpecMount,
    SpecRequest,
    build_process,
    build_spec,
    choose_capabilities,
)
from labdock.runtime.spec.seccomp import default_profile

GOLDEN = Path(__file__).parents[2] / "golden" / "runtime"
ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=box", "HOME=/root")


def _request(**wishes: Any) -> SpecRequest:
    return SpecRequest(**({"rootfs": "/box/rootfs/1", "args": ("sh",), "env": ENV, "machine": "x86_64"} | wishes))


FILES = {
    "/etc/hosts": "/data/containers/1/hosts",
    "/etc/hostname": "/data/containers/1/hostname",
    "/etc/resolv.conf": "/data/containers/1/resolv.conf",
}

REQUESTS = {
    "default": _request(hostname="box", files=FILES, network="/box/netns/1"),
    "user-tty": _request(
        args=("python3", "-i"), uid=1000, gid=1001, groups=(29, 44), tty=True, console_size=(40, 120), cwd="/home/alice"
    ),
    "privileged": _request(privileged=True, hostname="box"),
    "capabilities": _request(cap_add=("net_admin", "CAP_SYS_ADMIN"), cap_drop=("MKNOD",), no_new_privileges=True),
    "read-only": _request(
        readonly_rootfs=True,
        tmpfs={"/tmp": "", "/run": "size=1m,exec,mode=755"},
        mounts=(
            SpecMount("/data/deep", "/volumes/b/_data", options=("rbind", "ro")),
            SpecMount("/data", "/volumes/a/_data"),
            SpecMount("/dev/shm", "/volumes/shm/_data"),
        ),
        files=FILES,
    ),
    "limits": _request(
        rlimits=(Rlimit("nofile", 1024, 2048), Rlimit("RLIMIT_CORE", 0, -1)),
        sysctls={"net.core.somaxconn": "1024"},
        shm_size=1 << 30,
        oom_score_adj=500,
        devices=(Device("/dev/fuse", "c", 10, 229),),
        annotations={"org.example": "x"},
        init="/usr/bin/catatonit",
    ),
    "shared": _request(network="host", pid="host", ipc="host", uts="host", cgroup="host", hostname="ignored"),
    "single-id": _request(single_id=True, cgroup_mount=False, seccomp="unconfined"),
    "joined": _request(
        pid="/proc/7/ns/pid", ipc="/proc/7/ns/ipc", network="/proc/7/ns/net", masked=(), readonly=("/x",)
    ),
    "arm": _request(machine="aarch64"),
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_golden(name: str) -> None:
    text = json.dumps(build_spec(REQUESTS[name]), indent=2) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("LABDOCK_GOLDEN"):
        path.write_text(text)
    assert json.loads(path.read_text()) == json.loads(text)


def test_no_golden_without_a_request() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(REQUESTS)


def test_building_changes_no_input_and_is_repeatable() -> None:
    first = json.dumps(build_spec(REQUESTS["default"]))
    spec: Any = build_spec(REQUESTS["default"])
    spec["linux"]["seccomp"]["syscalls"].clear()
    spec["process"]["capabilities"]["bounding"].clear()
    assert json.dumps(build_spec(REQUESTS["default"])) == first


# --- capabilities ---------------------------------------------------------------------------------


def test_default_capabilities_are_dockers() -> None:
    """0xa80425fb is what /proc/self/status shows in a container of Docker's."""
    assert sum(1 << ALL.index(name) for name in DEFAULT) == 0xA80425FB
    assert len(ALL) == 41


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), DEFAULT),
        (("NET_ADMIN",), (), DEFAULT | {"CAP_NET_ADMIN"}),
        (("cap_net_admin",), ("chown",), (DEFAULT | {"CAP_NET_ADMIN"}) - {"CAP_CHOWN"}),
        ((), ("ALL",), frozenset()),
        (("CHOWN",), ("all",), frozenset({"CAP_CHOWN"})),
        (("ALL",), ("CHOWN",), frozenset(ALL) - {"CAP_CHOWN"}),
        (("CHOWN",), ("CHOWN",), DEFAULT),
    ],
)
def test_choose_capabilities(add: tuple[str, ...], drop: tuple[str, ...], expected: frozenset[str]) -> None:
    assert frozenset(choose_capabilities(add, drop)) == expected


def test_privileged_means_all_that_there_are() -> None:
    assert choose_capabilities((), ("ALL",), privileged=True) == ALL
    assert choose_capabilities(("ALL",), (), everything=ALL[:38]) == ALL[:38]


def test_unknown_capability() -> None:
    with pytest.raises(InvalidRequest, match='invalid capability: "FLY"'):
        choose_capabilities(("FLY",), ())


def test_only_root_holds_capabilities() -> None:
    process: Any = build_process(
        args=("x",), env=(), cwd="/", uid=1, gid=1, groups=(), bounding=("CAP_CHOWN",), set_groups=False
    )
    assert process["capabilities"] == {"bounding": ["CAP_CHOWN"]}
    assert "additionalGids" not in process["user"]


# --- what means nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"rlimits": (Rlimit("wings", 1, 1),)}, "invalid ulimit type: wings"),
        ({"rlimits": (Rlimit("nofile", 2, 1),)}, "soft limit must be less than or equal to hard limit"),
        ({"rlimits": (Rlimit("nofile", -1, 1),)}, "soft limit must be less than or equal to hard limit"),
        ({"mounts": (SpecMount("relative", "/x"),)}, "mount path must be absolute"),
        ({"tmpfs": {"relative": ""}}, "mount path must be absolute"),
        ({"pid": "container:x"}, "pid namespace"),
    ],
)
def test_refused(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        build_spec(_request(**wishes))


# --- mounts ---------------------------------------------------------------------------------------


def _targets(request: SpecRequest) -> list[str]:
    mounts: Any = build_spec(request)["mounts"]
    return [mount["destination"] for mount in mounts]


def test_parents_are_mounted_before_children() -> None:
    targets = _targets(REQUESTS["read-only"])
    assert targets.index("/data") < targets.index("/data/deep")
    assert targets.count("/dev/shm") == 1
    assert targets.index("/dev") < targets.index("/dev/shm")


def test_asked_mount_wins_over_default_and_file() -> None:
    request = _request(mounts=(SpecMount("/etc/hosts", "/my/hosts"), SpecMount("/proc/", "/x")), files=FILES)
    mounts: Any = build_spec(request)["mounts"]
    sources = {mount["destination"]: mount["source"] for mount in mounts}
    assert sources["/etc/hosts"] == "/my/hosts"
    assert "/proc" not in sources


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", ["noexec", "nosuid", "nodev"]),
        ("exec,size=1m,size=2m", ["nosuid", "nodev", "exec", "size=2m"]),
        ("rw,ro", ["noexec", "nosuid", "nodev", "ro"]),
    ],
)
def test_tmpfs_options(words: str, options: list[str]) -> None:
    mounts: Any = build_spec(_request(tmpfs={"/t": words}))["mounts"]
    assert mounts[-1] == {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": options}


# --- seccomp --------------------------------------------------------------------------------------


def _rules(capabilities: frozenset[str], machine: str = "x86_64") -> list[Any]:
    profile: Any = default_profile(capabilities, machine)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    return list(profile["syscalls"])


def _always(capabilities: frozenset[str], machine: str = "x86_64") -> set[str]:
    return {
        name
        for rule in _rules(capabilities, machine)
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }


@pytest.mark.parametrize(
    "name",
    (
        "add_key bpf clone3 delete_module fsopen init_module io_uring_setup kcmp kexec_load keyctl mount move_mount "
        "move_pages name_to_handle open_by_handle_at perf_event_open pivot_root process_madvise quotactl reboot "
        "request_key setdomainname sethostname setns settimeofday swapon syslog umount2 unshare userfaultfd vhangup"
    ).split(),
)
def test_refused_to_a_default_container(name: str) -> None:
    assert name not in _always(DEFAULT)


def test_size_of_the_table() -> None:
    """364 calls for everybody, 2 of x86's own, and chroot, which the default capabilities allow."""
    assert len(_always(DEFAULT)) == 364 + 2 + 1
    assert len(_always(frozenset())) == 366
    assert "arch_prctl" not in _always(DEFAULT, "aarch64")
    assert "cacheflush" in _always(DEFAULT, "aarch64")


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_ADMIN", "clone3"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_TIME", "settimeofday"),
        ("CAP_SYS_NICE", "mbind"),
        ("CAP_BPF", "bpf"),
        ("CAP_SYSLOG", "syslog"),
    ],
)
def test_allowed_with_a_capability(capability: str, name: str) -> None:
    assert name not in _always(frozenset())
    assert name in _always(frozenset({capability}))


def test_conditions() -> None:
    conditional = [rule for rule in _rules(DEFAULT) if "args" in rule]
    asked = [(rule["names"], rule["args"][0]["value"], rule["args"][0]["op"]) for rule in conditional]
    assert (["socket"], 38, "SCMP_CMP_LT") in asked
    assert (["socket"], 40, "SCMP_CMP_GT") in asked
    assert (["personality"], 0xFFFFFFFF, "SCMP_CMP_EQ") in asked
    # CLONE_NEWNS|NEWCGROUP|NEWUTS|NEWIPC|NEWUSER|NEWPID|NEWNET
    flags = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert (["clone"], flags, "SCMP_CMP_MASKED_EQ") in asked
    refused = [rule for rule in _rules(DEFAULT) if rule["action"] == "SCMP_ACT_ERRNO"]
    assert refused == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]


def test_unknown_machine_has_no_profile() -> None:
    assert default_profile(DEFAULT, "vax") is None
