"""What networks are in the kernel: bridges, parents, packet rules, containers' links. In netns.Corner's thread only.

Nothing that is right is ever touched; what a killed engine left behind is taken away.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from labdock.errors import LabdockError
from labdock.network import links, pacing, rules
from labdock.network.drivers import bridge, vlans
from labdock.network.endpoints import choose_gateway
from labdock.network.netlink import Netlink
from labdock.network.netns import Corner
from labdock.network.records import EndpointRecord, Network

#: Links that networks make, by the names that are nobody else's.
_OURS: Final = re.compile(r"(br|dm)-[0-9a-f]{12}\Z")
_DRIVERS: Final[dict[str, ModuleType]] = {"bridge": bridge, "macvlan": vlans, "ipvlan": vlans}

log = logging.getLogger(__name__)


class Kernel:
    """The kernel's side of all networks. Methods block for milliseconds and raise OSError. *nft* is nft(8)'s path."""

    def __init__(self, corner: Corner, nft: str) -> None:
        self._corner = corner
        self._nft = nft
        self._paced = False

    def have(self, networks: Collection[Network], default: str) -> None:
        """Have all *networks*, and nothing of others; only what the one with the id *default* lacks is an error."""
        links.raise_loopback(self._corner.home)
        # Asked of a fresh namespace: an engine before this one may have changed the sandbox's own.
        self._paced = self._corner.peek(pacing.is_paced)
        if self._paced:
            pacing.stop()
        there = self._corner.home.links()
        wanted = {network.link for network in networks}
        for name in there:
            if _OURS.match(name) and name not in wanted:
                links.delete(self._corner.home, name)
        for network in networks:
            driver_ = _DRIVERS.get(network.driver)
            if driver_ is None:
                continue
            try:
                driver_.ensure(self._corner, network)
            except (LabdockError, OSError) as error:
                if network.id == default:
                    raise
                # The way out may come up later than the engine; joining looks again.
                log.warning("network %s: %s", network.name, error)
        script = rules.repairs(rules.listed(self._nft), networks)
        if script:
            rules.run(self._nft, script)

    def build(self, network: Network) -> None:
        """Make *network*. Raises OSError, SystemFailure, InvalidRequest, Unsupported, with nothing left of it."""
        driver = _DRIVERS[network.driver]
        driver.ensure(self._corner, network)
        try:
            if network.driver == "bridge":
                rules.run(self._nft, rules.added(network))
            else:
                vlans.probe(self._corner, network)
        except BaseException:
            with contextlib.suppress(OSError):
                driver.remove(self._corner, network)
            raise

    def demolish(self, network: Network) -> None:
        """Take *network* away; no error for what is gone."""
        if network.driver == "bridge" and rules.chain_of(network) in rules.listed(self._nft):
            rules.run(self._nft, rules.removed(network))
        _DRIVERS[network.driver].remove(self._corner, network)

    def join(
        self,
        container: str,
        records: Sequence[EndpointRecord],
        now: tuple[EndpointRecord, ...],
        networks: Mapping[str, Network],
        *,
        fresh: bool,
        stale: Sequence[str],
    ) -> None:
        """Make the links of *records* in the container's namespace (*fresh*: make that too), and its default routes.

        *now*: all its endpoints, *records* among them; *networks*: theirs, by id; *stale*: links that it had before,
        to be removed first. Raises OSError (FileExistsError: it has a namespace), with nothing left.
        """
        for name in stale:
            links.delete(self._corner.home, name)
        wants6 = any(record.ip6 for record in records)

        def prepare() -> None:
            if fresh and self._paced:
                pacing.stop()
            if wants6:
                _allow_ipv6()

        before = tuple(record for record in now if record not in records)
        inside = self._corner.create(container, prepare) if fresh else self._corner.enter(container, prepare)
        with inside:
            if fresh and not records:
                links.raise_loopback(inside)
            try:
                for record in records:
                    self._join(networks[record.network_id], record, inside, now if fresh else ())
                if not fresh:
                    _route(inside, before, now)
            except BaseException:
                for record in records:
                    with contextlib.suppress(OSError):
                        self._remove_link(record, inside)
                if fresh:
                    self._corner.remove(container)
                else:
                    with contextlib.suppress(OSError):
                        _route(inside, (), before)
                raise

    def _join(
        self, network: Network, record: EndpointRecord, inside: Netlink, among: tuple[EndpointRecord, ...]
    ) -> None:
        if network.driver != "bridge":
            vlans.ensure(self._corner, network)
        routes = []
        for version in (4, 6):
            if among and choose_gateway(among, version) == record:
                routes.append(gateway_of(record, version))
        _DRIVERS[network.driver].join(self._corner, network, record, inside, tuple(routes))

    def part(self, record: EndpointRecord, others: tuple[EndpointRecord, ...]) -> None:
        """Remove the link of *record* from a running container, whose other endpoints are *others*."""
        with self._corner.enter(record.container) as inside:
            self._remove_link(record, inside)
            _route(inside, (record, *others), others)

    def _remove_link(self, record: EndpointRecord, inside: Netlink) -> None:
        if record.link:
            links.delete(self._corner.home, record.link)
        else:
            links.delete(inside, record.interface)

    def sweep(self, alive: set[str], wanted: set[str]) -> set[str]:
        """Remove the namespaces of the dead; gives the live containers whose own is not there."""
        for name in self._corner.names() - alive:
            self._corner.remove(name)
        return {container for container in wanted if not self._corner.is_mounted(container)}


def _route(inside: Netlink, before: tuple[EndpointRecord, ...], now: tuple[EndpointRecord, ...]) -> None:
    """Have the default routes go by the gateway of *now*, where that is another than *before*."""
    for version in (4, 6):
        chosen = choose_gateway(now, version)
        if chosen is not None and chosen != choose_gateway(before, version):
            links.route_by(inside, chosen.interface, gateway_of(chosen, version), version)


def gateway_of(record: EndpointRecord, version: int) -> str:
    return record.gateway if version == 4 else record.gateway6


def _allow_ipv6() -> None:
    """In a container's namespace: undo a host's default of no IPv6."""
    for name in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0", encoding="ascii")
