"""What an image is, as a value, and the record of it that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from labdock.images.references import Reference
from labdock.schema.oci import Descriptor, ImageConfig


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Kept by image id. ``sizes``: bytes of each layer's plain tar, bottom first; ``time_ns`` when it came.

    ``foreign``: the manifest came with the image, so its bytes and those of the layers are to stay as they are.
    ``parent``: the id of the image whose container it was made of.
    """

    id: str
    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]
    chain_ids: tuple[str, ...]
    sizes: tuple[int, ...]
    time_ns: int
    foreign: bool = False
    parent: str = ""


class NameRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Kept by full reference: the image it names."""

    image: str
    time_ns: int


class DigestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Kept by ``NAME@DIGEST``: the image that a repository has under a digest, and the manifests that say so."""

    image: str
    blobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """The manifest that an image came with, its blob here already.

    ``repository``: where from, as ``NAME@DIGEST`` (None: from an archive), with the digests of the ``manifests`` (an
    index and what it led to) that are kept for that.
    """

    manifest: Descriptor
    repository: Reference | None = None
    manifests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here. ``size``: bytes of all its plain layers; ``names`` and ``digests`` sorted.

    ``digests``: as ``NAME@DIGEST``, what repositories are known to have it as. ``foreign``: see ImageRecord.
    """

    id: str
    config: ImageConfig
    manifest: Descriptor
    layers: tuple[Descriptor, ...]
    chain_ids: tuple[str, ...]
    sizes: tuple[int, ...]
    names: tuple[Reference, ...]
    digests: tuple[Reference, ...] = ()
    foreign: bool = False
    parent: str = ""

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def blobs(self) -> tuple[str, ...]:
        """Digests of its manifest, config and layers."""
        return (self.manifest.digest, self.id, *(layer.digest for layer in self.layers))

    @property
    def top(self) -> str | None:
        """The chain id of the topmost layer; None when it has none."""
        return self.chain_ids[-1] if self.chain_ids else None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step, as ``docker history`` shows it; ``created`` RFC 3339, ``size`` bytes, ``id`` empty when not known."""

    id: str
    created: str
    created_by: str
    comment: str
    size: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did: ("Untagged" | "Deleted", text) in order, and the bytes of blobs that are gone."""

    actions: tuple[tuple[str, str], ...]
    size: int
