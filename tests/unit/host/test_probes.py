"""Tools by name, and the sandbox's own probes: tried for real, refused for real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labdock.host import inside, tools
from labdock.sys import mounts


def test_a_path_of_labdocks_own_is_taken_alone(tmp_path: Path) -> None:
    program = tmp_path / "crun"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = tools.find_tools({"LABDOCK_PATH": str(tmp_path), "PATH": "/usr/bin"})
    assert found == {"crun": str(program)}
    names, packages = tools.missing_packages(found, 1000)
    assert names == ["conmon", "nft", "slirp4netns", "newuidmap", "newgidmap"]
    assert packages == ["conmon", "nftables", "slirp4netns", "uidmap"]
    assert tools.missing_packages(found, 0)[0] == ["conmon", "nft", "slirp4netns"]


def test_administrators_folders_are_looked_at_too() -> None:
    assert tools.find_tools({"PATH": "/nowhere"})["nft"].endswith("/nft")


def test_a_missing_program_says_what_it_costs() -> None:
    probe = next(p for p in tools.probe_tools({}, 1000) if p.name == "newuidmap")
    assert not probe.ok and probe.lift == "sudo apt-get install uidmap" and "one user id" in probe.cost


@pytest.mark.sandbox
def test_a_fresh_sandbox_settles(tmp_path: Path) -> None:
    seen = inside.settle(tmp_path, None, networked=True)
    assert (seen.snapshotter, seen.proc, seen.cgroups) == ("overlay", "fresh", "v2")
    assert [probe.name for probe in seen.probes if not probe.ok] == []
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sandbox
def test_overlay_on_overlay_is_refused_with_its_errno_and_leaves_nothing(tmp_path: Path) -> None:
    parts = [tmp_path / name for name in ("lower", "upper", "work", "data")]
    for part in parts:
        part.mkdir()
    lower, upper, work, data = parts
    mounts.mount("overlay", str(data), "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work},userxattr")
    probe = inside.try_overlay(data)
    assert (probe.ok, probe.errno, probe.who) == (False, "EINVAL", "you")
    assert "LABDOCK_DATA" in probe.lift and "overlay" in probe.lift
    assert list(data.iterdir()) == []


@pytest.mark.sandbox
def test_fuse_overlayfs_is_tried_where_overlay_is_not(tmp_path: Path) -> None:
    program = tools.find_tools({"PATH": ""}).get("fuse-overlayfs")
    assert program is not None
    assert inside.try_fuse_overlay(tmp_path, program).ok
    missing = inside.try_fuse_overlay(tmp_path, None)
    assert not missing.ok and missing.lift == "sudo apt-get install fuse-overlayfs"
    broken = inside.try_fuse_overlay(tmp_path, "/bin/false")
    assert (broken.ok, broken.errno) == (False, "EIO")


@pytest.mark.sandbox
def test_namespaces_that_are_switched_off_are_told_from_a_full_disk() -> None:
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    done = subprocess.run([sys.executable, "-m", "labdock.host.doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no user namespaces ENOSPC: starting a sandbox: " in " ".join(done.stdout.split())
    assert "hint: user namespaces are switched off or used up here: sysctl user.max_user_namespaces" in done.stdout


def test_the_doctor_speaks_json() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "labdock.host.doctor", "--json"], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["fit"] is True and told["rung"] == "R0"
    assert {"crun", "overlay", "user namespaces"} <= {probe["name"] for probe in told["probes"]}
    assert all(probe["lift"] for probe in told["probes"] if not probe["ok"])
