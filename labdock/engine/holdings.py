"""The engine's images as a registry holds them: repositories, tags, manifests, blobs.

A repository is called what the image is called: ``debian:bookworm`` of this engine is ``debian`` with the tag
``bookworm``, ``ghcr.io/a/b:1`` is ``ghcr.io/a/b``; a name with a port in it can't be a repository's. What is pushed as
``HOST:PORT/team/app:1`` is the image ``team/app:1`` here, with the manifest and the layers that came.

What no image can be (an index, a signature, an image of foreign layers) is kept as a manifest alone:

- A tag's record says which manifest was pushed under it, and which image had the name then. It counts as long as that
  is so: who names another image so, or removes the name, has changed the tag.
- A manifest pushed by digest alone, or whose tag went to another, is *pinned* until it is deleted or images are pruned.
- A manifest stays while a tag, an index or a subject that stays needs it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from labdock.engine.arrivals import Arrived, ArrivingBlob, Kept, examine
from labdock.errors import InvalidRequest, NoSuchImage, NotFound
from labdock.images import references
from labdock.images.image import Image, Origin
from labdock.images.manifests import MOST_JSON
from labdock.images.references import Reference
from labdock.images.store import Images
from labdock.registry.server.holdings import Blob, Held, Referrer
from labdock.registry.server.manifests import Parsed, referrer_type
from labdock.registry.server.refusals import Code, Refusal
from labdock.registry.server.routes import is_name
from labdock.store.intents import fail_at
from labdock.store.metadata import Database

#: A pinned manifest is left alone by prune for so long: its tag or its index may be on its way. Seconds.
YOUNG = 3600.0

log = logging.getLogger("labdock.registry")


class TagRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Kept by full reference. ``image``: the id of the image that had this name when it was pushed, "" for none."""

    manifest: str
    image: str = ""


class ManifestRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Kept by digest. ``repositories``: full names. ``time_ns``: when it was pushed last."""

    digest: str
    media_type: str
    size: int
    repositories: tuple[str, ...]
    blobs: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    subject: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] = {}
    pinned: bool = False
    time_ns: int = 0


class ImageHoldings:
    """labdock.registry.server.holdings.Holdings over *images*.

    *untag*: removes an image's name as ``docker rmi -f`` does; *tell*: hears of each name that a push gave (id, name);
    *others*: digests that something else in the engine needs (the build cache). All are called in worker threads.
    """

    def __init__(
        self,
        db: Database,
        images: Images,
        *,
        untag: Callable[[str], None],
        tell: Callable[[str, str], None],
        others: Callable[[], Iterable[str]],
    ) -> None:
        self._db = db
        self._images = images
        self._content = images.content
        self._untag = untag
        self._tell = tell
        self._others = others
        self._tags = db.records("registry-tags", TagRecord)
        self._manifests = db.records("registry-manifests", ManifestRecord)
        self._kept = Kept(images, others)
        # Tags and the names of images change together under it. Never held while a layer is read.
        self._changing = threading.Lock()
        images.keepers.append(self.needed)
        images.sweepers.append(self.sweep)

    # -- looking

    def repositories(self) -> set[str]:
        found = {name.familiar_name for image in self._images.list() for name in image.names}
        for text, _ in self._valid_tags():
            found.add(references.parse(text).familiar_name)
        for record in self._manifests.all():
            if record.pinned:
                found.update(references.parse(name).familiar_name for name in record.repositories)
        return {name for name in found if is_name(name)}

    def tags(self, name: str) -> set[str]:
        repository = _reference(name).name
        found = {x.tag for image in self._images.list() for x in image.names if x.name == repository and x.tag}
        found |= {x.tag for text, _ in self._valid_tags() if (x := references.parse(text)).name == repository}
        if not found and not any(repository in record.repositories for record in self._manifests.all()):
            raise Refusal(Code.NAME_UNKNOWN, f"there is no repository {name}")
        return found

    def manifest(self, name: str, reference: str) -> Held:
        if ":" in reference:
            return self._by_digest(name, reference)
        found = self._by_tag(_reference(name, reference))
        if found is None:
            raise Refusal(Code.MANIFEST_UNKNOWN, f"there is no {name}:{reference}")
        return found

    def _by_tag(self, reference: Reference) -> Held | None:
        image = self._named(reference)
        tag = self._tags.get(str(reference))
        if tag is not None and tag.image == (image.id if image else ""):
            record = self._manifests.get(tag.manifest)
            if record is not None and self._content.has(record.digest):
                return self._held(record.digest, record.media_type)
        return self._held(image.manifest.digest, image.manifest.media_type) if image else None

    def _by_digest(self, name: str, digest: str) -> Held:
        repository = _reference(name).name
        record = self._manifests.get(digest)
        if record is not None and repository in record.repositories and self._content.has(digest):
            return self._held(digest, record.media_type)
        for image in self._images.list():
            if image.manifest.digest == digest and any(x.name == repository for x in (*image.names, *image.digests)):
                return self._held(digest, image.manifest.media_type)
        raise Refusal(Code.MANIFEST_UNKNOWN, f"there is no {name}@{digest}")

    def _held(self, digest: str, media_type: str) -> Held:
        try:
            return Held(digest, media_type, self._content.read(digest, MOST_JSON))
        except NotFound as error:
            raise Refusal(Code.MANIFEST_UNKNOWN, f"the manifest {digest} is not here any more") from error

    def _named(self, reference: Reference) -> Image | None:
        try:
            return self._images.get(str(reference))
        except NoSuchImage:
            return None

    def blob(self, digest: str, *, keep: bool = False) -> Blob:
        if keep:
            self._kept.keep(digest)
        try:
            return Blob(self._content.path(digest), self._content.size(digest))
        except NotFound as error:
            raise Refusal(Code.BLOB_UNKNOWN, f"there is no blob {digest}") from error

    def referrers(self, name: str, digest: str) -> Iterator[Referrer]:
        repository = _reference(name).name
        for record in self._manifests.all():
            if record.subject == digest and repository in record.repositories and self._content.has(record.digest):
                yield Referrer(
                    media_type=record.media_type,
                    digest=record.digest,
                    size=record.size,
                    artifact_type=record.artifact_type,
                    annotations=record.annotations,
                )

    # -- arriving

    def begin(self) -> ArrivingBlob:
        return ArrivingBlob(self._content.ingest(f"registry-{os.urandom(16).hex()}"), self._kept)

    def put(self, name: str, tag: str, parsed: Parsed, data: bytes) -> None:
        reference = _reference(name, tag)
        blobs = tuple(part.digest for part in parsed.blobs)
        with self._images.leases.hold(parsed.digest, *blobs):
            self._content.write(data)
            self._remember(reference.name, parsed, blobs)
            fail_at("registry:remembered")
            if not tag:
                return
            arrived = examine(self._images, reference.familiar, parsed, data)
            hold = () if arrived is None else (arrived.manifest.digest, *(layer.digest for layer in arrived.layers))
            with self._images.leases.hold(*hold), self._changing:
                self._give_tag(reference, parsed, arrived)

    def _remember(self, repository: str, parsed: Parsed, blobs: tuple[str, ...]) -> None:
        with self._db.transaction():
            old = self._manifests.get(parsed.digest)
            record = ManifestRecord(
                digest=parsed.digest,
                media_type=parsed.media_type,
                size=parsed.size,
                repositories=tuple(sorted({repository, *(old.repositories if old else ())})),
                blobs=blobs,
                children=tuple(part.digest for part in parsed.children),
                subject=parsed.subject,
                artifact_type=referrer_type(parsed),
                annotations=parsed.annotations,
                pinned=True,
                time_ns=time.time_ns(),
            )
            self._manifests.put(parsed.digest, record)

    def _give_tag(self, reference: Reference, parsed: Parsed, arrived: Arrived | None) -> None:
        if arrived is None:
            image = self._named(reference)
        else:
            origin = Origin(manifest=arrived.manifest)
            image = self._images.adopt(arrived.config, arrived.layers, [str(reference)], origin, arrived.sizes)
            fail_at("registry:listed")
            self._tell(image.id, reference.familiar)
        with self._db.transaction():
            before = self._tags.get(str(reference))
            if before is not None and before.manifest != parsed.digest:
                self._pin(before.manifest, True)
            self._tags.put(str(reference), TagRecord(manifest=parsed.digest, image=image.id if image else ""))
            for digest in (parsed.digest, *(part.digest for part in parsed.children)):
                self._pin(digest, False)

    def _pin(self, digest: str, pinned: bool) -> None:
        record = self._manifests.get(digest)
        if record is not None and record.pinned != pinned:
            self._manifests.put(digest, msgspec.structs.replace(record, pinned=pinned))

    # -- going

    def delete_manifest(self, name: str, reference: str) -> None:
        with self._changing:
            if ":" in reference:
                self._delete_digest(name, reference)
            else:
                self._delete_tag(_reference(name, reference))

    def _delete_tag(self, reference: Reference) -> None:
        held = self._by_tag(reference)
        if held is None:
            raise Refusal(Code.MANIFEST_UNKNOWN, f"there is no {reference.familiar}")
        # The name first: while a container runs on the image this is refused, and nothing has changed.
        if self._named(reference) is not None:
            self._untag(str(reference))
        self._tags.delete(str(reference))
        self._drop(held.digest)

    def _delete_digest(self, name: str, digest: str) -> None:
        self._by_digest(name, digest)
        repository = _reference(name).name
        for tag in self.tags(name):
            reference = references.join(repository, tag)
            held = self._by_tag(reference)
            if held is not None and held.digest == digest:
                self._delete_tag(reference)
        record = self._manifests.get(digest)
        if record is not None:
            left = tuple(x for x in record.repositories if x != repository)
            if left:
                self._manifests.put(digest, msgspec.structs.replace(record, repositories=left))
                return
            self._manifests.delete(digest)
            self._free([record])

    def _drop(self, digest: str) -> None:
        """Forget a manifest whose tag went, when nothing keeps it."""
        record = self._manifests.get(digest)
        if record is not None and digest not in self.needed():
            self._manifests.delete(digest)
            self._free([record])

    def delete_blob(self, digest: str) -> None:
        if not self._content.has(digest):
            raise Refusal(Code.BLOB_UNKNOWN, f"there is no blob {digest}")
        self._kept.let_go(digest)
        if not self._images.free([digest], self._others()):
            raise Refusal(Code.UNSUPPORTED, f"the blob {digest} is part of something that is here")

    def _free(self, records: Iterable[ManifestRecord]) -> None:
        gone = {digest for record in records for digest in (record.digest, *record.blobs)}
        self._images.free(sorted(gone), self._others())

    def sweep(self) -> None:
        """Let go of the manifests that only their pin keeps, but for young ones, and of tags that do not count."""
        with self._changing:
            valid = {text for text, _ in self._valid_tags()}
            young = time.time_ns() - int(YOUNG * 1e9)
            with self._db.transaction():
                for text, _ in self._tags.items():
                    if text not in valid:
                        self._tags.delete(text)
                for record in self._manifests.all():
                    if record.time_ns < young:
                        self._pin(record.digest, False)
            needed = self.needed()
            gone = [record for record in self._manifests.all() if record.digest not in needed]
            for record in gone:
                self._manifests.delete(record.digest)
            self._free(gone)

    # -- staying

    def _valid_tags(self) -> Iterator[tuple[str, TagRecord]]:
        """The tags whose name means in the engine what it did when they were pushed."""
        names = {str(name): image.id for image in self._images.list() for name in image.names}
        for text, tag in self._tags.items():
            if tag.image == names.get(text, ""):
                yield text, tag

    def needed(self) -> set[str]:
        """Digests of the manifests that stay, and of their blobs."""
        records = {record.digest: record for record in self._manifests.all()}
        if not records:
            return set()
        referrers: dict[str, list[str]] = {}
        for record in records.values():
            if record.subject:
                referrers.setdefault(record.subject, []).append(record.digest)
        waiting = [tag.manifest for _, tag in self._valid_tags()]
        waiting += [record.digest for record in records.values() if record.pinned]
        waiting += [image.manifest.digest for image in self._images.list()]
        seen: set[str] = set()
        found: set[str] = set()
        while waiting:
            digest = waiting.pop()
            if digest in seen:
                continue
            seen.add(digest)
            waiting += referrers.get(digest, ())
            if digest in records:
                found.update((digest, *records[digest].blobs))
                waiting += records[digest].children
        return found

    def close(self) -> None:
        """Let go of the blobs that were kept for a manifest."""
        self._kept.close()


def _reference(name: str, tag: str = "") -> Reference:
    """The image reference of a repository and a tag. Raises Refusal (NAME_INVALID)."""
    try:
        return references.join(name, tag)
    except InvalidRequest as error:
        raise Refusal(Code.NAME_INVALID, f"{name}: {error}") from error
