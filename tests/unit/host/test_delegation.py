"""Which part of the cgroup tree is taken, on folders that stand in for it, and what is said where there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from labdock.host import delegation, inside
from labdock.host.delegation import Machine, obtain
from labdock.host.identity import Identity
from labdock.host.ids import IdMaps
from labdock.sys.cgroups import Group, locate

ME = str(os.getpid())


class Tree:
    """A cgroup file system at ``root`` in which the process is in *path*."""

    def __init__(self, folder: Path, path: str, *, systemd: bool = False) -> None:
        self.root, self.process, self.systemd = folder / "tree", folder / "process", folder / "systemd"
        self.process.mkdir()
        if systemd:
            self.systemd.mkdir()
        self.be_in(path)

    def be_in(self, path: str) -> Path:
        folder = self.root / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            (folder / name).touch()
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
        (self.process / "cgroup").write_text(f"3:cpu:/v1\n0::{path}\n")
        (self.process / "mountinfo").write_text(f"31 23 0:29 / {self.root} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
        return folder

    @property
    def machine(self) -> Machine:
        return Machine(self.process, self.systemd)


def unasked(environment: Mapping[str, str], uid: int, machine: Machine) -> str:
    raise AssertionError("nobody is to be asked")


def test_a_group_is_found_below_what_of_the_tree_is_mounted() -> None:
    mounts = (
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 /part /sys/fs/cgroup/unified rw - cgroup2 c rw\n"
    )
    assert locate(mounts, "0::/part/mine\n") == Group(Path("/sys/fs/cgroup/unified/mine"))
    assert locate(mounts, "0::/part\n") == Group(Path("/sys/fs/cgroup/unified"))
    assert locate(mounts, "0::/other\n") is None
    assert locate(mounts, "4:memory:/part\n") is None
    assert locate("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", "0::/\n") is None


def test_the_root_of_a_containers_own_tree_is_taken_when_it_is_writable(tmp_path: Path) -> None:
    found = obtain({}, 1000, Tree(tmp_path, "/").machine, unasked)
    assert found.base == Group(tmp_path / "tree")
    assert found.probe.ok and found.probe.detail.startswith("the group it was started in: ")
    assert (tmp_path / "tree/labdock-rest").is_dir()
    # (A file keeps what of the earlier writes the last one, "+pids", does not cover.)
    assert (tmp_path / "tree/cgroup.subtree_control").read_text() == "+pidsry"


def test_a_group_of_somebody_elses_is_left_alone_and_it_is_said(tmp_path: Path) -> None:
    found = obtain({}, 0, Tree(tmp_path, "/system.slice/shop").machine, unasked)
    assert (found.base, found.probe.ok) == (None, False)
    assert "is not delegated to this user, and there is no systemd to ask" in found.probe.detail
    assert "kept by watching" in found.probe.cost
    assert found.notices == (f"{found.probe.cost} ({found.probe.detail})",)
    assert [path.name for path in (tmp_path / "tree/system.slice/shop").iterdir() if path.is_dir()] == []


def test_systemd_is_asked_and_its_scope_taken(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "/user.slice/session-1.scope", systemd=True)

    def ask(environment: Mapping[str, str], uid: int, machine: Machine) -> str:
        tree.be_in("/user.slice/labdock.scope")
        return ""

    found = obtain({}, 1000, tree.machine, ask)
    assert found.base == Group(tree.root / "user.slice/labdock.scope")
    assert found.probe.detail.startswith("a scope of systemd's")
    assert "cpuset io" in found.probe.cost and "Delegate=cpu cpuset io memory pids" in found.probe.lift


def test_a_systemd_that_refuses_is_quoted_with_what_to_do(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "/user.slice/session-1.scope", systemd=True)
    found = obtain({}, 1000, tree.machine, lambda *_: "systemd gives no scope: Access denied")
    assert (found.base, found.probe.detail) == (None, "systemd gives no scope: Access denied")
    assert "systemd-run --user --scope -p Delegate=yes labdock engine start" in found.probe.lift


def test_what_systemd_marked_as_delegated_is_taken_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path, "/user.slice/mine.scope", systemd=True)
    monkeypatch.setattr(os, "getxattr", lambda path, name: b"1")
    assert obtain({}, 1000, tree.machine, unasked).base == Group(tree.root / "user.slice/mine.scope")


def test_the_next_engine_beside_an_earlier_one_uses_the_same_part(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "/mine/labdock-rest")
    tree.be_in("/mine")
    tree.be_in("/mine/labdock-rest")
    assert obtain({}, 1000, tree.machine, unasked).base == Group(tree.root / "mine")


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    found = obtain({"LABDOCK_CGROUPS": "off"}, 1000, Tree(tmp_path, "/").machine, unasked)
    assert (found.base, found.probe.detail) == (None, "switched off by LABDOCK_CGROUPS")


def test_without_cgroup_v2_the_boot_option_is_named(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "/")
    (tree.process / "mountinfo").write_text("")
    assert "systemd.unified_cgroup_hierarchy=1" in obtain({}, 1000, tree.machine, unasked).probe.lift


def test_the_sandbox_begins_in_a_group_of_its_own_and_outer_stays_beside_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "/")
    found = obtain({}, 1000, tree.machine, unasked)
    found.box.folder.mkdir()
    for folder in (found.box.folder, tree.root / "labdock-rest"):
        (folder / "cgroup.procs").touch()
    with found.enclose(Identity("user", IdMaps((), ()))):
        assert found.box.read("cgroup.procs") == ME
    assert (tree.root / "labdock-rest/cgroup.procs").read_text() == ME
    (found.box.folder / "cgroup.procs").unlink()
    found.clear()
    assert not found.box.exists


def test_the_sandbox_divides_its_group_before_anything_runs_in_it(tmp_path: Path) -> None:
    for name in ("engine", "containers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.subtree_control").write_text("")
    for name, text in (("cgroup.procs", ""), ("cgroup.subtree_control", ""), ("cgroup.controllers", "memory\n")):
        (tmp_path / name).write_text(text)
    assert inside.divide(Group(tmp_path)) == ("++memory",)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"


def test_systemd_is_told_of_no_more_than_this_process(tmp_path: Path) -> None:
    program = tmp_path / "busctl"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "$XDG_RUNTIME_DIR" >{tmp_path}/asked\necho no >&2\nexit 1\n')
    program.chmod(0o755)
    said = delegation.ask_systemd({"PATH": str(tmp_path)}, 1000, Machine())
    assert said == "systemd gives no scope: no"
    words = (tmp_path / "asked").read_text().split("\n")
    assert words[:3] == ["--user", "--quiet", "call"]
    assert words[-2] == "/run/user/1000"
    assert words[words.index("PIDs") :][:4] == ["PIDs", "au", "1", ME]
