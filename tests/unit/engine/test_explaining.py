"""What ``explain`` reads from /proc, of this process and of a /proc made of files."""

from __future__ import annotations

import os
from pathlib import Path

from labdock.engine.explaining import read_mounts, read_namespaces, read_parents, read_process

PROC = Path("/proc")


def test_a_process_is_read() -> None:
    found = read_process(PROC / str(os.getpid()))
    assert found is not None
    assert (found["Pid"], found["Uid"], found["Gid"]) == (os.getpid(), os.geteuid(), os.getegid())


def test_a_process_that_ended_is_none(tmp_path: Path) -> None:
    assert read_process(tmp_path / "1") is None
    assert read_parents(tmp_path, 5) == []
    assert read_namespaces(tmp_path, 5) == []
    assert read_mounts(tmp_path / "mountinfo") == []


def test_rights_are_named(tmp_path: Path) -> None:
    lines = ["Name:\tx", "Pid:\t12", "NSpid:\t40\t12\t1", "Uid:\t5\t6\t5\t5", "Gid:\t7\t8\t7\t7"]
    lines += ["CapEff:\t0000000000000021", "NoNewPrivs:\t1", "Seccomp:\t2"]
    (tmp_path / "status").write_text("\n".join(lines))
    assert read_process(tmp_path) == {
        "Pid": 12,
        "PidInside": 1,
        "Uid": 6,
        "Gid": 8,
        "Capabilities": ["CHOWN", "KILL"],
        "Seccomp": "filter",
        "NoNewPrivileges": True,
    }


def test_parents_are_followed_to_the_first(tmp_path: Path) -> None:
    for pid, parent in ((9, 4), (4, 1), (1, 0)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tp{pid}\nPPid:\t{parent}\n")
    assert [(each["Pid"], each["Name"]) for each in read_parents(tmp_path, 9)] == [(9, "p9"), (4, "p4"), (1, "p1")]


def test_our_namespaces_are_not_our_own() -> None:
    found = {each["Kind"]: each["Own"] for each in read_namespaces(PROC, os.getpid())}
    assert found["mnt"] is False
    assert found["user"] is False


def test_mounts_are_read_with_their_layers_and_strange_names(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(
        "1 0 0:1 / / rw,relatime - overlay overlay rw,lowerdir=/a\\:x:/b:/c,upperdir=/u\n"
        "2 1 8:1 /home/a\\040b /data ro - ext4 /dev/sda rw\n"
        "broken\n"
    )
    assert read_mounts(file) == [
        {"Target": "/", "Type": "overlay", "Source": "overlay", "ReadOnly": False, "Lower": 3},
        {"Target": "/data", "Type": "ext4", "Source": "/home/a b", "ReadOnly": True, "Lower": 0},
    ]
