"""The files by which a container knows names: /etc/hosts, /etc/hostname, /etc/resolv.conf."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from labdock.engine import linking
from labdock.engine.ledger import Ledger
from labdock.engine.records import ContainerRecord, EndpointRecord
from labdock.network import Endpoint, names
from labdock.network.dns.service import HOST_NAMES
from labdock.network.networks import Networks

FILES = ("hostname", "hosts", "resolv.conf")
CLOSED = (
    "the host's loopback is closed to containers, so host-gateway does not lead to it; "
    "labdock engine start --host-loopback opens it"
)


def compose(
    record: ContainerRecord, endpoints: Sequence[Endpoint | EndpointRecord], networks: Networks, ledger: Ledger
) -> dict[str, str]:
    """File name → text, for a container that is at *endpoints*. Raises InvalidRequest."""
    host = record.host
    hostname = record.config.hostname or record.id[:12]
    gateway = next((endpoint.gateway for endpoint in endpoints if endpoint.gateway), "")
    extra = [*(host.extra_hosts or ()), *linking.hosts(record, ledger)]
    return {
        "hostname": f"{hostname}\n",
        "hosts": names.hosts_file(
            hostname,
            tuple(ip for endpoint in endpoints for ip in (endpoint.ip, endpoint.ip6)),
            domainname=record.config.domainname or "",
            extra=(*extra, *host_entries(networks, extra, reachable=bool(gateway) or record.network == "host")),
            gateway=gateway,
        ),
        "resolv.conf": names.resolv_conf(
            networks.nameservers,
            networks.search,
            servers=host.dns or (),
            search_domains=host.dns_search or (),
            options=host.dns_options or (),
            named=any(endpoint.dns_names for endpoint in endpoints),
        ),
    }


def host_entries(networks: Networks, given: Iterable[str], *, reachable: bool) -> list[str]:
    """The host's own names, where its loopback can be reached, unless *given* says what they mean."""
    if not networks.host_loopback or not reachable:
        return []
    taken = {names.split_extra_host(entry)[0] for entry in given}
    return [f"{name}:{names.HOST_GATEWAY}" for name in HOST_NAMES if name not in taken]


def warn(record: ContainerRecord, networks: Networks) -> list[str]:
    """What was asked for and leads nowhere here, in words for ``Warnings``."""
    entries = [names.split_extra_host(entry) for entry in record.host.extra_hosts or ()]
    wanted = [name for name, ip in entries if ip == names.HOST_GATEWAY]
    return [] if networks.host_loopback or not wanted else [f"{', '.join(wanted)}: {CLOSED}"]


def write(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    """Write them; target in the container → file."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {f"/etc/{name}": str(folder / name) for name in texts}


def rewrite(folder: Path, before: dict[str, str], after: dict[str, str]) -> None:
    """Make in the running container's files the changes from *before* to *after*, and leave alone what it wrote."""
    for name, text in after.items():
        if text != before[name]:
            with contextlib.suppress(FileNotFoundError):
                path = folder / name
                # In place: the container has this very file mounted.
                found = path.read_text(errors="replace")
                if found == before[name] or name == "hosts":
                    path.write_text(names.change_lines(found, before[name], text))
