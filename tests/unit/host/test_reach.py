"""What the doctor says of the way out."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import pytest

from labdock.host.plan import Probe
from labdock.host.reach import probe_reach


def probes(
    tmp_path: Path, uid: int = 1000, ports: str = "1024\n", resolv: str = "nameserver 127.0.0.53\n"
) -> dict[str, Probe]:
    (tmp_path / "ports").write_text(ports)
    (tmp_path / "resolv").write_text(resolv)
    return {probe.name: probe for probe in probe_reach(uid, ports=tmp_path / "ports", resolv=tmp_path / "resolv")}


def test_a_host_that_lets_nobody_ping_says_how_it_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", refuse)
    found = probes(tmp_path)["ping outside"]
    assert not found.ok and found.errno == "EACCES"
    assert "can't ping beyond this machine" in found.cost and "ping_group_range" in found.lift


def test_low_ports_are_a_cost_for_those_who_may_not_have_them(tmp_path: Path) -> None:
    assert "below 1024 can't be published" in probes(tmp_path)["low ports"].cost
    assert not probes(tmp_path, uid=0)["low ports"].cost
    assert not probes(tmp_path, ports="0")["low ports"].cost
    assert "below 80" in probes(tmp_path, ports="80")["low ports"].cost


def test_who_is_asked_for_names_is_told(tmp_path: Path) -> None:
    assert "127.0.0.53" in probes(tmp_path)["names outside"].detail
    assert probes(tmp_path, resolv="# nothing\n")["names outside"].cost
    missing = {p.name: p for p in probe_reach(0, resolv=tmp_path / "none")}["names outside"]
    assert missing.errno == "ENOENT" and missing.cost


def test_the_way_out_says_that_it_has_no_ipv6(tmp_path: Path) -> None:
    assert "IPv4 only" in probes(tmp_path)["IPv6 outside"].cost
