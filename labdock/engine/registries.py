"""Registries outside: clients for them, and what is asked of one without an image coming or going."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from labdock.errors import InvalidRequest
from labdock.images import manifests, platforms, references
from labdock.images.catalog import parse_config
from labdock.images.sources import RegistrySource, repository_of
from labdock.registry import Dial, Repository, hosts
from labdock.registry.credentials import Credentials, Keychain, read_auth
from labdock.registry.settings import Settings
from labdock.schema.oci import Descriptor, Manifest, Platform

if TYPE_CHECKING:
    from labdock.registry.client import RegistryClient

Wire = dict[str, Any]
#: Blobs that go from one repository to another at a time: where they are copied each takes two of a client's slots.
BROUGHT = 3

#: The credentials that a build brought along, for the pulls of its task.
build_keychain: ContextVar[Keychain] = ContextVar("build_keychain", default=Keychain())  # noqa: B039 - it is frozen


class Registries:
    """All registries, reached through *dial* in the host's network."""

    def __init__(self, dial: Dial, settings: Settings) -> None:
        self._dial = dial
        self.settings = settings

    @contextlib.asynccontextmanager
    async def client(self, keychain: Keychain) -> AsyncIterator[RegistryClient]:
        """A client with the user's *keychain*, closed at the end."""
        from labdock.registry.client import RegistryClient

        async with RegistryClient(self._dial, settings=self.settings, keychain=keychain) as client:
            yield client

    async def login(self, sent: Wire) -> Wire:
        """``POST /auth``. Raises Unauthorized."""
        fields = {name: sent.get(name) or "" for name in ("username", "password", "identitytoken", "serveraddress")}
        if not all(isinstance(value, str) for value in fields.values()):
            raise InvalidRequest("username, password, identitytoken and serveraddress must be texts")
        given = Credentials(fields["username"], fields["password"], fields["identitytoken"])
        async with self.client(Keychain()) as client:
            token = await client.check_login(fields["serveraddress"], given)
        return {"Status": "Login Succeeded", "IdentityToken": token}

    async def search(self, term: str, limit: int, filters: dict[str, list[str]], auth: str) -> list[Wire]:
        """``GET /images/search``; ``HOST/TERM`` asks that registry. Raises InvalidRequest, Unavailable."""
        if not 1 <= limit <= 100:
            raise InvalidRequest(f"limit {limit} is outside the range of [1, 100]")
        for name in filters:
            if name not in ("is-official", "is-automated", "stars"):
                raise InvalidRequest(f"invalid filter '{name}'")
        host, slash, rest = term.partition("/")
        if not slash or not (set(".:") & set(host) or host == "localhost"):
            host, rest = hosts.HUB, term
        async with self.client(read_auth(auth, host)) as client:
            found = await client.search(host, rest, limit)
        stars = max((int(text) for text in filters.get("stars", ()) if text.isdecimal()), default=0)
        official = [text.lower() in ("1", "true") for text in filters.get("is-official", ())]
        automated = [text.lower() in ("1", "true") for text in filters.get("is-automated", ())]
        return [
            {
                "name": one.name,
                "description": one.description,
                "star_count": one.stars,
                "is_official": one.official,
                "is_automated": one.automated,
            }
            for one in found
            if one.stars >= stars
            and all(one.official == wanted for wanted in official)
            and all(one.automated == wanted for wanted in automated)
        ]

    async def manifest(self, name: str, auth: str) -> tuple[bytes, str, str]:
        """The manifest or index that a registry has as *name*: bytes, media type, digest."""
        wanted = references.parse(name)
        async with self.client(read_auth(auth, wanted.domain)) as client:
            found = await client.manifest(repository_of(wanted), wanted.digest or wanted.tag, manifests.ACCEPT)
        return found.body, manifests.describe(found.body, found.media_type).media_type, found.digest

    async def put_manifest(self, name: str, source: str, body: bytes, media_type: str, auth: str) -> str:
        """Put *body*, of *media_type*, under *name* in its registry; gives its digest.

        The blobs that it names are brought first from the repository *source* of the same registry: mounted there, or
        copied where that is not done. "": they are there. Raises InvalidRequest, and what the client raises.
        """
        target = references.parse(name)
        if target.digest and target.digest != manifests.digest_of(body):
            raise InvalidRequest(f"the manifest that was sent is {manifests.digest_of(body)}, not {target.digest}")
        described = manifests.describe(body, media_type)
        home = references.parse(source) if source else target
        if home.domain != target.domain:
            raise InvalidRequest(
                "cannot use source images from a different registry than the target image:"
                f" {home.domain} != {target.domain}"
            )
        async with self.client(read_auth(auth, target.domain)) as client:
            if repository_of(home) != repository_of(target) and not manifests.is_index(described.media_type):
                await _bring(client, repository_of(home), repository_of(target), manifests.read_manifest(body))
            return await client.put_manifest(
                repository_of(target), target.digest or target.tag, body, described.media_type
            )

    async def distribution(self, name: str, auth: str) -> Wire:
        """``GET /distribution/NAME/json``: what the registry has, and for which platforms."""
        wanted = references.parse(name)
        async with self.client(read_auth(auth, wanted.domain)) as client:
            found = await client.manifest(repository_of(wanted), wanted.digest or wanted.tag, manifests.ACCEPT)
            top = manifests.describe(found.body, found.media_type)
            offered: list[Platform]
            if manifests.is_index(top.media_type):
                entries = manifests.read_index(found.body).manifests
                offered = [x.platform for x in entries if x.platform and not platforms.is_attestation(x)]
            else:
                offered = [await _read_platform(RegistrySource(client, repository_of(wanted)), found.body)]
        return {"Descriptor": show_descriptor(top), "Platforms": [_show_platform(platform) for platform in offered]}


async def _bring(client: RegistryClient, home: Repository, target: Repository, manifest: Manifest) -> None:
    """See that *target* has the blobs of *manifest*, which *home* has."""
    slots = asyncio.Semaphore(BROUGHT)

    async def bring(blob: Descriptor) -> None:
        async with slots:
            if not await client.blob_exists(target, blob):
                await client.upload_blob(target, blob, lambda: client.blob(home, blob), mount_from=home)

    parts = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    try:
        async with asyncio.TaskGroup() as group:
            for blob in parts.values():
                group.create_task(bring(blob))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _read_platform(source: RegistrySource, manifest: bytes) -> Platform:
    described = manifests.read_manifest(manifest).config
    data = b""
    async for piece in source.blob(described, 0):
        data += piece
    return platforms.of_config(parse_config(data))


def show_descriptor(descriptor: Descriptor) -> Wire:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _show_platform(platform: Platform) -> Wire:
    shown: Wire = {"architecture": platform.architecture, "os": platform.os}
    return {**shown, "variant": platform.variant} if platform.variant else shown
