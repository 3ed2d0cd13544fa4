"""How registries are reached on this machine.

=================  =====================================================================================
LABDOCK_MIRRORS    ``docker.io=mirror.example:5000, docker.io=https://other/hub`` tried in this order before
                   the registry itself; ``/path`` of a file with such entries, one a line, ``#`` begins a remark
LABDOCK_INSECURE   hosts (``name``, ``name:port``, networks) whose certificate is not asked for and which may
                   be plain http; loopback always may
LABDOCK_CERTS      a folder in docker's layout, ``HOST/*.crt`` (own CAs), ``HOST/NAME.cert`` + ``NAME.key``; beside
                   ``~/.docker/certs.d`` and ``/etc/docker/certs.d``
HTTPS_PROXY        a proxy that takes CONNECT, unless NO_PROXY lists the host
=================  =====================================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labdock.errors import InvalidRequest
from labdock.registry import hosts


@dataclass(frozen=True, slots=True)
class Mirror:
    """A place that has a registry's images: ``prefix`` goes before their path, ``scheme`` "" = as for any host."""

    host: str
    prefix: str = ""
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    mirrors: Mapping[str, tuple[Mirror, ...]] = field(default_factory=dict)
    insecure: tuple[str, ...] = ()
    ca_folders: tuple[Path, ...] = ()
    proxy: str = ""
    direct: tuple[str, ...] = ()

    def may_be_plain(self, host: str) -> bool:
        """Whether *host* may be spoken to without a certificate that holds, and without TLS."""
        return hosts.is_loopback(host) or hosts.matches(host, self.insecure)

    def proxy_for(self, host: str) -> str:
        """The proxy's URL for *host* (``name[:port]``), "" when it is reached directly."""
        name = hosts.split(host, 1)[0]
        own = hosts.is_loopback(host) or hosts.matches(host, self.direct)
        suffixed = any(name.endswith(f".{entry.lstrip('.')}") for entry in self.direct if entry)
        return "" if own or suffixed or "*" in self.direct else self.proxy


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that *environment* has. Raises InvalidRequest for what can't be understood."""
    mirrors: dict[str, tuple[Mirror, ...]] = {}
    for host, mirror in _read_mirrors(environment.get("LABDOCK_MIRRORS", "")):
        mirrors[host] = (*mirrors.get(host, ()), mirror)
    home = environment.get("HOME", "")
    folders = [environment.get("LABDOCK_CERTS", ""), f"{home}/.docker/certs.d" if home else "", "/etc/docker/certs.d"]
    return Settings(
        mirrors,
        tuple(entry.lower() for entry in _words(environment.get("LABDOCK_INSECURE", ""))),
        tuple(Path(folder) for folder in folders if folder),
        environment.get("HTTPS_PROXY") or environment.get("https_proxy") or "",
        tuple(_words(environment.get("NO_PROXY") or environment.get("no_proxy") or "")),
    )


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def _read_mirrors(text: str, *, nested: bool = False) -> Iterator[tuple[str, Mirror]]:
    for entry in _words(text):
        if os.path.isabs(entry) and not nested:
            try:
                lines = Path(entry).read_text().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidRequest(f"LABDOCK_MIRRORS: reading {entry}: {error}") from error
            for line in lines:
                yield from _read_mirrors(re.sub(r"\s*=\s*", "=", line.partition("#")[0]), nested=True)
            continue
        host, equals, place = entry.partition("=")
        scheme, separator, rest = place.partition("://")
        bare, _, prefix = (rest if separator else place).partition("/")
        try:
            hosts.split(bare, 443)
        except ValueError:
            bare = ""
        if not host or not equals or not bare or (separator and scheme not in ("http", "https")):
            raise InvalidRequest(
                f"LABDOCK_MIRRORS: {entry!r} is not HOST=MIRROR",
                hint="for example LABDOCK_MIRRORS=docker.io=mirror.example:5000,quay.io=https://other.example/quay",
            )
        yield hosts.normalize(host), Mirror(bare.lower(), prefix.strip("/"), scheme if separator else "")
