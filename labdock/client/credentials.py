"""Registry credentials as Docker keeps them in ``config.json``. Pure: bytes in, values and bytes out.

::

    {"auths": {SERVER: {"auth": base64("user:password"), "identitytoken": "…"}},
     "credsStore": NAME,               # docker-credential-NAME keeps the secrets of every server …
     "credHelpers": {SERVER: NAME}}    # … and these those of single ones

What else is in the file is kept as it is. No ``repr`` here shows a secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from labdock.client.names import host_of
from labdock.errors import InvalidRequest

#: What a helper says, with exit code 1, when it knows nothing (docker/docker-credential-helpers).
NOT_FOUND = "credentials not found in native keychain"
#: The user name that marks a helper's secret as an identity token.
TOKEN_USER = "<token>"

Document = dict[str, Any]


class Auth(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"server": "serveraddress", "identity_token": "identitytoken", "registry_token": "registrytoken"},
):
    """Who we are to a registry (the Engine API's AuthConfig); empty: nobody."""

    username: str = ""
    password: str = ""
    server: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        kind = "a token" if self.identity_token or self.registry_token else "a password" if self.password else "nothing"
        return f"Auth(username={self.username!r}, server={self.server!r}, with {kind})"

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)


def header(auth: Auth) -> str:
    """``X-Registry-Auth``: URL-safe base64 of JSON, padding kept."""
    return base64.urlsafe_b64encode(msgspec.json.encode(auth)).decode()


def config_header(auths: Mapping[str, Auth]) -> str:
    """``X-Registry-Config``: the same of all servers' credentials, for builds."""
    return base64.urlsafe_b64encode(msgspec.json.encode(dict(auths))).decode()


class _Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


class Config:
    """A ``config.json``. Changes give a new document; ``dump`` writes it as Docker does."""

    def __init__(self, document: Document | None = None) -> None:
        self._document = document or {}

    @classmethod
    def parse(cls, data: bytes, where: str = "config.json") -> Config:
        """Raises InvalidRequest, without a word of what is in the file."""
        if not data.strip():
            return cls()
        try:
            return cls(msgspec.json.decode(data, type=dict[str, Any]))
        except msgspec.MsgspecError:
            raise InvalidRequest(
                f"{where} is no JSON object", hint="repair it, or name another folder in DOCKER_CONFIG"
            ) from None

    def dump(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self._document), indent=4).replace(b"    ", b"\t")

    @property
    def servers(self) -> tuple[str, ...]:
        """Every server that is named in it."""
        return tuple(dict.fromkeys((*self._table("auths"), *self._table("credHelpers"))))

    @property
    def store(self) -> str:
        """The helper for servers that have none of their own; "" for the file itself."""
        found = self._document.get("credsStore")
        return found if isinstance(found, str) else ""

    @property
    def is_silent(self) -> bool:
        """Nothing is said about credentials: what is found on the machine may keep them."""
        return not any(self._document.get(name) for name in ("auths", "credsStore", "credHelpers"))

    def with_store(self, name: str) -> Config:
        return Config({**self._document, "credsStore": name})

    def helper(self, server: str) -> str:
        """The helper that keeps *server*'s secret; "" for the file itself."""
        helpers = self._table("credHelpers")
        found = helpers.get(server) or next((n for s, n in helpers.items() if host_of(s) == host_of(server)), None)
        return found if isinstance(found, str) and found else self.store

    def find(self, server: str) -> Auth:
        """What the file itself has for *server*; entries with a scheme and a path are found by their host.

        Its ``server`` is the entry's own name.
        """
        table = self._table("auths")
        name = server if server in table else next((n for n in table if host_of(n) == host_of(server)), None)
        return Auth() if name is None else _auth(name, table[name])

    def with_auth(self, server: str, auth: Auth | None) -> Config:
        """*server*'s entry with *auth*; None leaves the secret to a helper and only notes the server."""
        entry: Document = {}
        if auth is not None:
            if auth.username or auth.password:
                entry["auth"] = base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
            if auth.identity_token:
                entry["identitytoken"] = auth.identity_token
            if auth.registry_token:
                entry["registrytoken"] = auth.registry_token
        return Config({**self._document, "auths": {**self._table("auths"), server: entry}})

    def without(self, server: str) -> Config:
        """No entry for *server*, however its address is written."""
        left = {name: entry for name, entry in self._table("auths").items() if host_of(name) != host_of(server)}
        return Config({**self._document, "auths": left})

    def _table(self, name: str) -> Document:
        found = self._document.get(name)
        return found if isinstance(found, dict) else {}


def _auth(server: str, entry: Any) -> Auth:
    try:
        found = msgspec.convert(entry, _Entry)
    except msgspec.ValidationError:
        return Auth()
    username, password = found.username or "", found.password or ""
    if found.auth:
        try:
            text = base64.b64decode(found.auth, validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
        username, _, password = text.partition(":")
        password = password.strip("\0")
    return Auth(username, password, server, found.identitytoken or "", found.registrytoken or "")


class _Secret(msgspec.Struct, rename="pascal"):
    username: str = ""
    secret: str = ""
    server_url: str = msgspec.field(default="", name="ServerURL")


def read_secret(server: str, answer: bytes) -> Auth:
    """What ``docker-credential-NAME get`` answered. Raises ValueError, which has none of it."""
    try:
        found = msgspec.json.decode(answer, type=_Secret)
    except msgspec.MsgspecError:
        raise ValueError("its answer is not what the protocol asks for") from None
    if found.username == TOKEN_USER:
        return Auth("", "", server, found.secret)
    return Auth(found.username, found.secret, server)


def write_secret(server: str, auth: Auth) -> bytes:
    """What ``docker-credential-NAME store`` reads."""
    token = auth.identity_token
    username, secret = (TOKEN_USER, token) if token else (auth.username, auth.password)
    return msgspec.json.encode({"ServerURL": server, "Username": username, "Secret": secret})
