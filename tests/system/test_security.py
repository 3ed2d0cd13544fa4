"""What a container may not: calls, capabilities, paths, other containers, the engine. Against a real engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.system.conftest import EngineUnderTest, wait_until

#: The machine's own Python, seen from inside: busybox can't make arbitrary calls.
PYTHON = tuple(
    word for folder in ("/usr", "/lib", "/lib64") if os.path.exists(folder) for word in ("-v", f"{folder}:{folder}:ro")
)

#: Calls with arguments that do no harm where they are allowed: name → number on x86_64, on aarch64, arguments.
CALLS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "unshare(CLONE_NEWUSER)": (272, 97, (0x10000000,)),
    "unshare(CLONE_NEWNS)": (272, 97, (0x00020000,)),
    "setns": (308, 268, (-1, 0)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "umount2": (166, 39, (0, 0)),
    "pivot_root": (155, 41, (0, 0)),
    "open_tree": (428, 428, (-1, 0, 0)),
    "fsopen": (430, 430, (0, 0)),
    "add_key": (248, 217, (0, 0, 0, 0, 0)),
    "request_key": (249, 218, (0, 0, 0, 0)),
    "keyctl": (250, 219, (0, 0, 0, 0, 0)),
    "bpf": (321, 280, (0, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (1 << 20,)),
    "io_uring_setup": (425, 425, (0, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "init_module": (175, 105, (0, 0, 0)),
    "finit_module": (313, 273, (-1, 0, 0)),
    "delete_module": (176, 106, (0, 0)),
    "swapon": (167, 224, (0, 0)),
    "reboot": (169, 142, (0, 0, 0, 0)),
    "settimeofday": (164, 170, (0, 1)),
    "clock_settime": (227, 112, (-1, 0)),
    "acct": (163, 89, (1,)),
    "quotactl": (179, 60, (-1, 0, 0, 0)),
    "open_by_handle_at": (304, 265, (-1, 0, 0)),
    "kcmp": (312, 272, (0, 0, -1, 0, 0)),
    "move_pages": (279, 239, (0, 0, 0, 0, 0, -1)),
    "lookup_dcookie": (212, 18, (0, 0, 0)),
    "personality(0x1234)": (135, 92, (0x1234,)),
    "socket(AF_ALG)": (41, 198, (38, 5, 0)),
    "socket(AF_VSOCK)": (41, 198, (40, 1, 0)),
}
PROBE = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
found = {}
for name, call in json.loads(sys.argv[1]).items():
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(call[column]), *(ctypes.c_long(word) for word in call[2]))
    found[name] = errno.errorcode.get(ctypes.get_errno(), "") if result == -1 else "done"
print(json.dumps(found))
"""


@pytest.fixture
def busy(engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """An engine with the image, and with a neighbour to be protected from."""
    engine.docker("pull", "-q", "busybox")
    command = ("sh", "-c", "echo treasure > /tmp/mine; exec sleep 4242")
    engine.docker(
        "run", "-d", "--name", "neighbour", "-e", "SECRET=treasure", "-v", "vault:/vault", "busybox", *command
    )
    yield engine


def probe(engine: EngineUnderTest, *options: str) -> dict[str, str]:
    words = ("/usr/bin/python3", "-c", PROBE, json.dumps(CALLS))
    found: dict[str, str] = json.loads(engine.docker("run", "--rm", *PYTHON, *options, "busybox", *words))
    return found


def test_calls_that_dockers_default_profile_blocks_are_blocked_for_root_and_for_others(busy: EngineUnderTest) -> None:
    for user in ("0", "1000"):
        found = probe(busy, "--user", user)
        assert found == dict.fromkeys(CALLS, "EPERM")
    # Without the filter it is not so: the probe sees what it says it sees.
    free = probe(busy, "--security-opt", "seccomp=unconfined")
    assert free["personality(0x1234)"] == "done"
    assert len([name for name in CALLS if free[name] != "EPERM"]) > 5
    # A capability opens only its own calls.
    opened = probe(busy, "--cap-add", "SYS_ADMIN")
    assert opened["setns"] != "EPERM"
    assert {opened[name] for name in ("add_key", "kexec_load", "io_uring_setup", "init_module")} == {"EPERM"}


def test_a_capability_dropped_or_added_is_that_in_the_process_and_no_new_privileges_holds_for_execs(
    busy: EngineUnderTest,
) -> None:
    def bounding(*options: str) -> int:
        shown = busy.docker("run", "--rm", *options, "busybox", "grep", "CapBnd", "/proc/self/status")
        return int(shown.split()[1], 16)

    assert bounding() == 0xA80425FB, "Docker's fourteen"
    assert bounding("--cap-drop", "ALL") == 0
    assert bounding("--cap-drop", "all", "--cap-add", "net_admin") == 1 << 12
    assert bounding("--cap-add", "ALL", "--cap-drop", "SYS_ADMIN") & 1 << 21 == 0
    assert bounding("--privileged") == (1 << 41) - 1
    busy.docker("run", "-d", "--name", "tight", "--security-opt", "no-new-privileges", "busybox", "sleep", "1000")
    for status in (("exec", "tight"), ("exec", "--privileged", "tight")):
        assert busy.docker(*status, "grep", "NoNewPrivs", "/proc/self/status").split()[1] == "1"


def test_masked_paths_say_nothing_and_readonly_ones_take_nothing(busy: EngineUnderTest) -> None:
    script = """
    for path in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/interrupts; do
        [ -e $path ] && [ "$(head -c 1 $path | wc -c)" != 0 ] && echo "read $path"
    done
    for path in /sys/firmware /proc/acpi /proc/scsi /proc/asound; do
        [ -d $path ] && [ "$(ls -A $path | wc -l)" != 0 ] && echo "listed $path"
    done
    for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/profiling /proc/sys/vm/drop_caches; do
        [ -e $path ] && (echo 1 > $path) 2>/dev/null && echo "wrote $path"
    done
    mkdir /sys/fs/cgroup/x 2>/dev/null && echo "made a cgroup"
    mount -o remount,rw /proc/sys 2>/dev/null && echo "remounted"
    true
    """
    assert busy.docker("run", "--rm", "busybox", "sh", "-c", script) == ""
    opened = busy.docker(
        "run", "--rm", "--security-opt", "systempaths=unconfined", "busybox", "sh", "-c", "mount | grep -c ' /proc/'",
        check=False,
    )  # fmt: skip
    assert opened == "0"


def test_a_container_sees_no_other_process_no_other_file_and_no_engine(busy: EngineUnderTest) -> None:
    script = f"""
    ps | grep -c '[s]leep 4242'
    cat /proc/*/environ 2>/dev/null | grep -c treasure
    cat /tmp/mine /vault/* 2>/dev/null
    ls -d {busy.data} {busy.run} {busy.root} /var/lib/labdock 2>/dev/null
    find / -xdev -name '*.sock' -type s 2>/dev/null
    kill -9 -1 2>/dev/null
    true
    """
    found = busy.docker("run", "--rm", "busybox", "sh", "-c", script).split()
    assert found == ["0", "0"]
    assert busy.docker("exec", "neighbour", "cat", "/tmp/mine") == "treasure"
    assert busy.docker("inspect", "-f", "{{.State.Running}}", "neighbour") == "true"


def test_what_shares_a_pid_namespace_sees_that_one_container_and_ending_it_harms_nobody(busy: EngineUnderTest) -> None:
    busy.docker("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "1111")
    busy.docker("exec", "donor", "sh", "-c", "echo handed > /dev/shm/over")
    shared = ("--pid", "container:donor", "--ipc", "container:donor")
    busy.docker("run", "-d", "--name", "joiner", *shared, "busybox", "sleep", "2222")
    shown = busy.docker("exec", "joiner", "sh", "-c", "cat /dev/shm/over; ps")
    assert "handed" in shown and "1111" in shown and "4242" not in shown
    busy.docker("pause", "joiner")
    assert busy.docker("exec", "donor", "echo", "alive") == "alive"
    busy.docker("unpause", "joiner")
    busy.docker("stop", "-t", "0", "joiner")
    assert busy.docker("exec", "donor", "echo", "alive") == "alive"
    busy.docker("start", "joiner")
    busy.kill("engine")
    busy.docker("kill", "joiner")
    assert busy.docker("exec", "donor", "cat", "/dev/shm/over") == "handed"
    busy.docker("start", "joiner")
    busy.docker("kill", "donor")
    wait_until(
        lambda: busy.docker("inspect", "-f", "{{.State.Running}}", "joiner") == "false", "it ends with its pid 1"
    )
    refused = busy.docker("start", "joiner", check=False)
    assert refused == ""
    assert "is not running" in busy.docker("inspect", "-f", "{{.State.Error}}", "joiner")
