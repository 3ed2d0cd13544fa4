"""Registries: logging in, searching, looking at what they have, and the engine's own registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from labdock.client.caller import Caller, decode
from labdock.client.images import quoted, registry_auth
from labdock.client.results import Result, Wire, result

if TYPE_CHECKING:
    from labdock.client.credentials import Auth
    from labdock.client.keyring import Keyring


class Distribution(Result, frozen=True, kw_only=True):
    """What a registry has under a name: ``descriptor`` (mediaType, digest, size) and platforms, as on the wire."""

    descriptor: dict[str, Any] = msgspec.field(default_factory=dict)
    platforms: tuple[dict[str, Any], ...] = ()


class Found(Result, frozen=True, kw_only=True):
    """A hit of a search in a registry."""

    name: str = msgspec.field(default="", name="name")
    description: str = msgspec.field(default="", name="description")
    star_count: int = msgspec.field(default=0, name="star_count")
    is_official: bool = msgspec.field(default=False, name="is_official")


class Serving(Result, frozen=True, kw_only=True):
    """The engine's own registry. ``error`` says why one that should be served is not at the moment."""

    running: bool = False
    address: str = ""
    port: int = 0
    user: str = ""
    read_only: bool = False
    error: str = ""

    @property
    def host(self) -> str:
        """What names of images in it begin with: ``127.0.0.1:5000``."""
        wide = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - nothing is bound here
        address = wide.get(self.address, f"[{self.address}]" if ":" in self.address else self.address)
        return f"{address}:{self.port}"


class Registries:
    """*auth* is as in :mod:`labdock.client.images`."""

    def __init__(self, caller: Caller, keyring: Keyring | None = None) -> None:
        self._caller = caller
        self._keyring = keyring

    def login(self, auth: Auth) -> tuple[str, str]:
        """Have the engine try *auth* on its server: (what it says, the identity token that replaces the password).

        Nothing is kept: :meth:`labdock.client.keyring.Keyring.store` does. Raises Unauthorized.
        """
        found: Wire = self._caller.fetch("/auth", method="POST", body=auth)
        return str(found.get("Status") or ""), str(found.get("IdentityToken") or "")

    def search(
        self,
        term: str,
        *,
        limit: int | None = None,
        filters: Mapping[str, list[str]] | None = None,
        auth: Auth | None = None,
    ) -> list[Found]:
        """Images whose names or descriptions have *term*; ``HOST/TERM`` asks that registry."""
        query = {"term": term, "limit": limit or None, "filters": filters}
        headers = registry_auth(self._keyring, term, auth)
        return [result(Found, wire) for wire in self._caller.fetch("/images/search", query, headers=headers)]

    def distribution(self, name: str, *, auth: Auth | None = None) -> Distribution:
        """What its registry has under *name* now, without pulling it."""
        headers = registry_auth(self._keyring, name, auth)
        return result(Distribution, self._caller.fetch(f"/distribution/{quoted(name)}/json", headers=headers))

    def manifest(self, name: str, *, auth: Auth | None = None) -> tuple[bytes, str, str]:
        """Its manifest as the registry sends it, its media type and its digest (an endpoint of labdock's own)."""
        headers = registry_auth(self._keyring, name, auth)
        with self._caller.open("GET", "/labdock/manifest", {"name": name}, headers=headers) as answer:
            head = answer.head.headers
            return answer.read(), head.get("content-type", ""), head.get("docker-content-digest", "")

    def put_manifest(
        self, name: str, data: bytes, media_type: str, *, source: str = "", auth: Auth | None = None
    ) -> str:
        """Put *data* under *name* in its registry; gives its digest (an endpoint of labdock's own).

        Its blobs come from the repository *source* of the same registry, when that is another than *name*'s.
        """
        headers = (("Content-Type", media_type), *registry_auth(self._keyring, name, auth))
        query = {"name": name, "from": source}
        put = decode(self._caller.call("PUT", "/labdock/manifest", query, data, headers=headers), name)
        return str(put["Digest"])

    def serve(
        self,
        *,
        address: str = "127.0.0.1",
        port: int = 5000,
        user: str | None = None,
        password: str | None = None,
        read_only: bool = False,
    ) -> Serving:
        """Serve the engine's images as a registry at *address*; *port* 0 takes any free one.

        Endpoints of labdock's own, these three. Raises Conflict when it is served already or the port is taken.
        """
        body = {"Address": address, "Port": port, "ReadOnly": read_only}
        if user is not None:
            body |= {"User": user, "Password": password or ""}
        return result(Serving, self._caller.fetch("/labdock/registry", method="POST", body=body))

    def serving(self) -> Serving:
        """Whether and where it is served."""
        return result(Serving, self._caller.fetch("/labdock/registry"))

    def stop(self) -> None:
        """Serve it no longer; the images stay. Raises NotFound when it was not served."""
        self._caller.call("DELETE", "/labdock/registry")
