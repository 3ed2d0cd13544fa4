"""Connections in the sandbox are not paced, whatever the host's choice is."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import pytest

from labdock.network import pacing
from labdock.network.endpoints import Wanted
from labdock.network.networks import Networks
from labdock.store.metadata import Database
from tests.unit.network.standins import StandinOutside, in_netns, prepare

NFT = shutil.which("nft") or "/usr/sbin/nft"
CHOICE = Path("/proc/sys/net/ipv4/tcp_congestion_control")


@pytest.mark.sandbox
def test_containers_and_the_sandbox_do_without_the_hosts_pacing(tmp_path: Path) -> None:
    hosts = CHOICE.read_text().strip()
    expected = pacing.PLAIN if hosts == "bbr" else hosts
    folder = prepare(tmp_path)

    async def main() -> None:
        database = Database(tmp_path / "db")
        # The second engine finds the sandbox changed already, and still knows the host's choice.
        for name in ("one", "two"):
            networks = Networks(database, StandinOutside(), netns_folder=folder, nft=NFT)
            await networks.start()
            await networks.enter(name, (Wanted("bridge"),))
            assert in_netns(networks.path(name), CHOICE.read_text).strip() == expected
            await networks.close()
        database.close()

    asyncio.run(main())
    assert CHOICE.read_text().strip() == expected


@pytest.mark.sandbox
def test_a_connection_can_be_told_alone() -> None:
    with socket.socket() as connection:
        pacing.stop_on(connection)
        found = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        assert found.rstrip(b"\0") == pacing.PLAIN.encode()
