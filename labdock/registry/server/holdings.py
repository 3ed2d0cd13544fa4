"""What a registry serves, as its server sees it. The engine's images are one of these; a dict of the tests another.

Every method may be called in a worker thread. What is refused is raised as Refusal; labdock.errors pass too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from labdock.registry.server.manifests import Parsed
from labdock.registry.server.uploads import Arriving


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest that is here, with the type it came with."""

    digest: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that holds a blob, and its bytes."""

    path: Path
    size: int


class Referrer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The descriptor of a manifest whose subject is another."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] = {}


class Holdings(Protocol):
    def repositories(self) -> Iterable[str]: ...

    def tags(self, name: str) -> Iterable[str]:
        """Raises Refusal (NAME_UNKNOWN) when there is no such repository."""

    def manifest(self, name: str, reference: str) -> Held:
        """By tag or digest. Raises Refusal (MANIFEST_UNKNOWN)."""

    def blob(self, digest: str, *, keep: bool = False) -> Blob:
        """Raises Refusal (BLOB_UNKNOWN). *keep*: it stays a while, for the manifest that will name it."""

    def begin(self) -> Arriving:
        """A blob that will arrive. Once committed it stays a while, for the manifest that will name it."""

    def put(self, name: str, tag: str, parsed: Parsed, data: bytes) -> None:
        """Keep a manifest, under *tag* unless that is "". Its blobs were found here before."""

    def delete_manifest(self, name: str, reference: str) -> None:
        """A tag is taken away; a digest with all its tags in this repository. Raises Refusal (MANIFEST_UNKNOWN)."""

    def delete_blob(self, digest: str) -> None:
        """Raises Refusal: BLOB_UNKNOWN, UNSUPPORTED when something needs it."""

    def referrers(self, name: str, digest: str) -> Iterable[Referrer]: ...
