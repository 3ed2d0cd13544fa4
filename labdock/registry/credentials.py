"""Who the user is at which registry, as clients say it per request. Pure; nothing here is kept or logged.

``X-Registry-Auth`` is base64url JSON ``{username, password, auth, identitytoken, registrytoken, serveraddress}``;
``X-Registry-Config`` (builds) is base64url JSON of such objects by server.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from labdock.errors import InvalidRequest
from labdock.registry import hosts

_T = TypeVar("_T")
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """``identity_token`` buys tokens instead of the password; ``registry_token`` is one already. Not shown by repr."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header, "" when there is no name and password."""
        if not self.username and not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Keychain:
    """Credentials by the host of a reference; each is used for that host only, never for a mirror of it."""

    entries: Mapping[str, Credentials] = field(default_factory=dict)

    def find(self, host: str) -> Credentials | None:
        return self.entries.get(hosts.normalize(host))


class _Entry(msgspec.Struct, frozen=True):
    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None
    serveraddress: str | None = None


def read_auth(header: str, host: str = "") -> Keychain:
    """The keychain of an ``X-Registry-Auth`` *header* ("" = nobody) sent with a request about *host*.

    quirk: clients leave serveraddress out or put something else there; what is meant is the image's own host.
    Raises InvalidRequest.
    """
    if not header:
        return Keychain()
    entry = _decode(header, _Entry, "X-Registry-Auth")
    found = _credentials(entry)
    where = host or entry.serveraddress or ""
    return Keychain({hosts.normalize(where): found}) if found is not None else Keychain()


def read_config(header: str) -> Keychain:
    """The keychain of an ``X-Registry-Config`` *header*. Raises InvalidRequest."""
    if not header:
        return Keychain()
    entries = _decode(header, dict[str, _Entry], "X-Registry-Config")
    read = {hosts.normalize(server): _credentials(entry) for server, entry in entries.items()}
    return Keychain({host: found for host, found in read.items() if found is not None})


def _decode(header: str, kind: type[_T], name: str) -> _T:
    try:
        if len(header) > _LONGEST:
            raise ValueError("too long")
        # quirk: some clients use the standard alphabet, some leave the padding out.
        plain = header.strip().rstrip("=").replace("+", "-").replace("/", "_")
        data = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
        return msgspec.json.decode(data, type=kind)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidRequest(f"invalid {name} header: {error}") from error


def _credentials(entry: _Entry) -> Credentials | None:
    username, password = entry.username or "", entry.password or ""
    if entry.auth and not username:
        try:
            decoded = base64.b64decode(entry.auth, validate=False).decode()
        except (ValueError, binascii.Error) as error:
            raise InvalidRequest(f"invalid auth in a registry's credentials: {error}") from error
        username, _, password = decoded.partition(":")
    found = Credentials(username, password.strip("\0"), entry.identitytoken or "", entry.registrytoken or "")
    return None if found == Credentials() else found
