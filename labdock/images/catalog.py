"""What is written down of the images: their records, names and digests, and how one is found by any of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from labdock.errors import Corrupt, InvalidRequest, NoSuchImage
from labdock.images import references
from labdock.images.image import DigestRecord, Image, ImageRecord, NameRecord
from labdock.images.manifests import MOST_JSON, decode
from labdock.images.references import Reference
from labdock.schema import oci
from labdock.schema.ids import is_digest, is_hex
from labdock.schema.oci import Descriptor, ImageConfig, Index
from labdock.store.content import ContentStore
from labdock.store.metadata import Database

FULL_NAME = "io.containerd.image.name"


class Catalog:
    """The images' records. Whoever puts more than one at a time does so in a transaction of the same database."""

    def __init__(self, db: Database, content: ContentStore) -> None:
        self._content = content
        self.records = db.records("images", ImageRecord)
        self.names = db.records("image-names", NameRecord)
        self.digests = db.records("image-digests", DigestRecord)
        #: By image id, what has been parsed already.
        self.configs: dict[str, ImageConfig] = {}

    def all(self) -> tuple[Image, ...]:
        """Every image, the newest first."""
        names, digests = self.names_by_image(), self.digests_by_image()
        images = [
            self.image(record, names.get(record.id, ()), digests.get(record.id, ())) for record in self.records.all()
        ]
        return tuple(sorted(images, key=lambda image: (image.config.created, image.id), reverse=True))

    def image(
        self, record: ImageRecord, names: Iterable[str] | None = None, digests: Iterable[str] | None = None
    ) -> Image:
        """The image of *record*, with its *names* and *digests* where the caller has looked them up already."""
        if names is None:
            names = self.names_by_image().get(record.id, ())
        if digests is None:
            digests = self.digests_by_image().get(record.id, ())
        return Image(
            record.id,
            self.config(record),
            record.manifest,
            record.layers,
            record.chain_ids,
            record.sizes,
            tuple(references.parse(name) for name in sorted(names)),
            tuple(references.parse(name) for name in sorted(digests)),
            record.foreign,
            record.parent,
        )

    def config(self, record: ImageRecord) -> ImageConfig:
        """Its parsed config. Raises Corrupt."""
        config = self.configs.get(record.id)
        if config is None:
            config = parse_config(self._content.read(record.id, MOST_JSON))
            self.configs[record.id] = config
        return config

    def names_by_image(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, record in self.names.items():
            found.setdefault(record.image, []).append(name)
        return found

    def digests_by_image(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, record in self.digests.items():
            found.setdefault(record.image, []).append(name)
        return found

    def find(self, ref: str) -> tuple[ImageRecord, Reference | None]:
        """The record that *ref* means (see :meth:`Images.get`), and the name when *ref* was one."""
        digits = ref.removeprefix("sha256:")
        if is_hex(digits) and len(digits) == 64:
            record = self.records.get(f"sha256:{digits}")
            if record is None:
                raise NoSuchImage(ref)
            return record, None
        if not ref.startswith("sha256:"):
            try:
                reference = references.parse(ref)
            except InvalidRequest as error:
                raise NoSuchImage(ref) from error
            record = self._find_name(reference)
            if record is not None:
                return record, reference
        if is_hex(digits):
            found = self.records.find_prefix(f"sha256:{digits}")
            if len(found) > 1:
                raise InvalidRequest(f"ambiguous image id {ref}: it is the beginning of {len(found)} ids")
            if found:
                return found[0], None
        raise NoSuchImage(ref)

    def _find_name(self, reference: Reference) -> ImageRecord | None:
        if reference.digest:
            known = self.digests.get(f"{reference.name}@{reference.digest}")
            if known is not None:
                return self.records.get(known.image)
            for record in self.records.all():
                if reference.digest in (record.manifest.digest, record.id):
                    return record
            return None
        name = self.names.get(str(reference))
        return self.records.get(name.image) if name else None

    def known_sizes(self) -> dict[str, int]:
        """Plain bytes of the layers that images here have, by diff id."""
        return {
            diff_id: size
            for record in self.records.all()
            for diff_id, size in zip(self.config(record).rootfs.diff_ids, record.sizes, strict=True)
        }

    def put_digest(self, repository: Reference, image: str, manifests: Sequence[str]) -> None:
        name = f"{repository.name}@{repository.digest}"
        self.digests.put(name, DigestRecord(image=image, blobs=tuple(manifests)))

    def put_name(self, target: Reference, image: str) -> None:
        self.names.put(str(target), NameRecord(image=image, time_ns=time.time_ns()))

    def mirror(self) -> None:
        """Write index.json from the records."""
        names = self.names_by_image()
        manifests: list[Descriptor] = []
        for record in self.records.all():
            config = self.config(record)
            platform = oci.Platform(os=config.os, architecture=config.architecture, variant=config.variant)
            for name in sorted(names.get(record.id, ())) or [""]:
                notes = {FULL_NAME: name, oci.REF_NAME: references.parse(name).tag or name} if name else {}
                manifests.append(msgspec.structs.replace(record.manifest, platform=platform, annotations=notes))
        self._content.replace("index.json", msgspec.json.encode(Index(manifests=tuple(manifests))))


def parse_config(data: bytes) -> ImageConfig:
    """The image config in *data*. Raises Corrupt."""
    try:
        config = decode(data, ImageConfig)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"an image's config does not parse: {error}") from error
    bad = next((diff_id for diff_id in config.rootfs.diff_ids if not is_digest(diff_id)), None)
    if bad is not None:
        raise Corrupt(f"an image's config has the diff id {bad[:100]!r}")
    return config
