"""Where images come from, a registry or a bundle on the disk: manifests by name, and blobs from an offset on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from labdock.images.manifests import ACCEPT
from labdock.images.references import Reference
from labdock.registry import Repository
from labdock.schema.oci import Descriptor

if TYPE_CHECKING:
    from labdock.registry.client import RegistryClient


class Source(Protocol):
    """One repository's images. Raises NotFound for what it has not, Corrupt for bytes that don't hold."""

    async def manifest(self, name: str) -> tuple[bytes, str]:
        """The bytes and media type of the manifest or index called *name*, a tag or a digest."""

    def blob(self, descriptor: Descriptor, offset: int) -> AsyncIterator[bytes]:
        """The bytes of a blob from *offset* on. The taker verifies them, and says when they were wrong."""

    def reject(self, descriptor: Descriptor) -> None:
        """The bytes that :meth:`blob` gave were not the blob's."""


class RegistrySource:
    """A repository on a registry, through *client*."""

    def __init__(self, client: RegistryClient, repository: Repository) -> None:
        self._client = client
        self._repository = repository

    async def manifest(self, name: str) -> tuple[bytes, str]:
        found = await self._client.manifest(self._repository, name, ACCEPT)
        return found.body, found.media_type

    def blob(self, descriptor: Descriptor, offset: int) -> AsyncIterator[bytes]:
        return self._client.blob(self._repository, descriptor, offset, verify=False)

    def reject(self, descriptor: Descriptor) -> None:
        self._client.reject(descriptor)


def repository_of(reference: Reference) -> Repository:
    return Repository(reference.domain, reference.path)
