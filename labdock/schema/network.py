"""Networks on the wire: what ``/networks/create``, ``connect`` and ``disconnect`` take (Engine API v1.51)."""

from __future__ import annotations

from typing import Any

import msgspec

from labdock.schema.container import EndpointConfig


class _Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Base: Docker's PascalCase, absent when default."""


class PoolConfig(_Wire, frozen=True, kw_only=True):
    """One entry of IPAM.Config: ``subnet`` and ``ip_range`` are "ip/prefix"."""

    subnet: str | None = None
    ip_range: str | None = msgspec.field(default=None, name="IPRange")
    gateway: str | None = None
    auxiliary_addresses: dict[str, str] | None = None


class IpamConfig(_Wire, frozen=True, kw_only=True):
    driver: str | None = None
    config: tuple[PoolConfig, ...] | None = None
    options: dict[str, str] | None = None


class NetworkCreate(_Wire, frozen=True, kw_only=True):
    """The body of ``POST /networks/create``."""

    name: str = ""
    driver: str | None = ""
    scope: str | None = ""
    internal: bool | None = False
    attachable: bool | None = False
    ingress: bool | None = False
    config_only: bool | None = False
    config_from: dict[str, Any] | None = None
    ipam: IpamConfig | None = msgspec.field(default=None, name="IPAM")
    enable_ipv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkConnect(_Wire, frozen=True, kw_only=True):
    """The body of ``POST /networks/ID/connect``."""

    container: str = ""
    endpoint_config: EndpointConfig | None = None


class NetworkDisconnect(_Wire, frozen=True, kw_only=True):
    container: str = ""
    force: bool | None = False
