"""The images that are here: found by name or id, named, unpacked, made and removed.

An image is its config blob (whose digest is its id), a manifest and its layers. It is listed once one transaction
has written its record and names, after its blobs and its unpacked layers were there. The names are mirrored into
``index.json``, which makes the content folder an OCI layout that other tools read.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from labdock.errors import Conflict, Corrupt, InvalidRequest, NoSuchImage, NotFound
from labdock.images import references
from labdock.images.image import HistoryEntry, Image, ImageRecord, NameRecord, Pruned
from labdock.images.references import Reference
from labdock.schema import oci
from labdock.schema.ids import is_digest, is_hex, short_id
from labdock.schema.oci import Descriptor, ImageConfig, Index, Manifest, RootFS
from labdock.store.content import ContentStore
from labdock.store.layers.compression import Plain
from labdock.store.leases import Collected, Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer, Snapshotter

#: Configs and manifests are read into memory; larger ones are refused.
MOST_JSON = 8 << 20
FULL_NAME = "io.containerd.image.name"
Action = tuple[str, str]


class Images:
    """All images of one data folder."""

    def __init__(self, db: Database, content: ContentStore, snapshotter: Snapshotter, leases: Leases) -> None:
        self.content = content
        self.snapshotter = snapshotter
        self.leases = leases
        self._db = db
        self._records = db.records("images", ImageRecord)
        self._names = db.records("image-names", NameRecord)
        self._configs: dict[str, ImageConfig] = {}
        self._unpacking = threading.Lock()
        #: Each gives digests that something else than an image needs (manifests that a registry holds).
        self.keepers: list[Callable[[], Iterable[str]]] = []

    # Finding

    def get(self, ref: str) -> Image:
        """The image that *ref* means: a name, an id or the beginning of one, with or without ``sha256:``.

        Raises NoSuchImage; InvalidRequest when an id's beginning is several images'.
        """
        return self._image(self._find(ref)[0])

    def _find(self, ref: str) -> tuple[ImageRecord, Reference | None]:
        """The record, and the name when *ref* was one."""
        digits = ref.removeprefix("sha256:")
        if is_hex(digits) and len(digits) == 64:
            record = self._records.get(f"sha256:{digits}")
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
            found = self._records.find_prefix(f"sha256:{digits}")
            if len(found) > 1:
                raise InvalidRequest(f"ambiguous image id {ref}: it is the beginning of {len(found)} ids")
            if found:
                return found[0], None
        raise NoSuchImage(ref)

    def _find_name(self, reference: Reference) -> ImageRecord | None:
        if reference.digest:
            for record in self._records.all():
                if reference.digest in (record.manifest.digest, record.id):
                    return record
            return None
        name = self._names.get(str(reference))
        return self._records.get(name.image) if name else None

    def list(self) -> tuple[Image, ...]:
        """Every image, the newest first."""
        names = self._names_by_image()
        images = [self._image(record, names.get(record.id, ())) for record in self._records.all()]
        return tuple(sorted(images, key=lambda image: (image.config.created, image.id), reverse=True))

    def _image(self, record: ImageRecord, names: Iterable[str] | None = None) -> Image:
        if names is None:
            names = self._names_by_image().get(record.id, ())
        return Image(
            record.id,
            self._config(record),
            record.manifest,
            record.layers,
            record.chain_ids,
            record.sizes,
            tuple(references.parse(name) for name in sorted(names)),
        )

    def _config(self, record: ImageRecord) -> ImageConfig:
        config = self._configs.get(record.id)
        if config is None:
            config = parse_config(self.content.read(record.id, MOST_JSON))
            self._configs[record.id] = config
        return config

    def _names_by_image(self) -> dict[str, builtins.list[str]]:
        found: dict[str, builtins.list[str]] = {}
        for name, record in self._names.items():
            found.setdefault(record.image, []).append(name)
        return found

    def history(self, ref: str) -> tuple[HistoryEntry, ...]:
        """The steps that made it, the newest first."""
        image = self.get(ref)
        sizes = list(image.sizes)
        steps = image.config.history or (oci.History(created=image.config.created),)
        entries: builtins.list[HistoryEntry] = []
        for number, step in enumerate(steps, 1):
            size = 0 if step.empty_layer or not sizes else sizes.pop(0)
            last = number == len(steps)
            names = tuple(name.familiar for name in image.names) if last else ()
            entries.append(
                HistoryEntry(image.id if last else "", step.created, step.created_by, step.comment, size, names)
            )
        return tuple(reversed(entries))

    # Making

    def assemble(self, config: ImageConfig, layers: Sequence[Layer], names: Sequence[str]) -> Image:
        """The image of *config* over *layers* (bottom first, their blobs here), under *names*.

        The config's rootfs is set from the layers. The same config and layers give the same id.
        """
        diff_ids = tuple(layer.diff_id for layer in layers)
        config = msgspec.structs.replace(config, rootfs=RootFS(diff_ids=diff_ids))
        return self.adopt(msgspec.json.encode(config), layers, names)

    def adopt(self, config: bytes, layers: Sequence[Layer], names: Sequence[str]) -> Image:
        """As assemble, with the config's own bytes, which decide the id. Corrupt when they don't fit the layers."""
        parsed = parse_config(config)
        diff_ids = tuple(layer.diff_id for layer in layers)
        if parsed.rootfs.diff_ids != diff_ids:
            raise Corrupt(
                f"an image's config names {len(parsed.rootfs.diff_ids)} layers that are not its {len(layers)}"
            )
        targets = [references.parse(name) for name in names]
        descriptors = tuple(Descriptor(media_type=x.media_type, digest=x.digest, size=x.size) for x in layers)
        with self.leases.hold(*(x.digest for x in layers), *oci.chain_ids(diff_ids)) as hold:
            digest = _digest(config)
            hold.add(digest)
            self.content.write(config)
            described = Descriptor(media_type=oci.CONFIG, digest=digest, size=len(config))
            manifest = msgspec.json.encode(Manifest(config=described, layers=descriptors))
            hold.add(_digest(manifest))
            self.content.write(manifest)
            record = ImageRecord(
                id=digest,
                manifest=Descriptor(media_type=oci.MANIFEST, digest=_digest(manifest), size=len(manifest)),
                config=described,
                layers=descriptors,
                chain_ids=oci.chain_ids(diff_ids),
                sizes=tuple(self._plain_size(layer) for layer in layers),
                time_ns=time.time_ns(),
            )
            return self.enter(record, targets)

    def enter(self, record: ImageRecord, names: Sequence[Reference]) -> Image:
        """List the image *record*, whose blobs are all here and leased by the caller, under *names*.

        An image that is here keeps the manifest it came with, so that its digest stays what it was.
        """
        with self._db.transaction():
            record = self._records.get(record.id) or record
            self._records.put(record.id, record)
            for name in names:
                self._put_name(name, record.id)
        self._mirror()
        return self._image(record)

    def _plain_size(self, layer: Layer) -> int:
        if layer.digest == layer.diff_id:
            return layer.size
        size = 0
        with self.content.open(layer.digest) as file:
            plain = Plain(file)
            while chunk := plain.read(1 << 20):
                size += len(chunk)
        return size

    def commit_layer(self, key: str, parent: str | None) -> tuple[Layer, str]:
        """Make a layer of what the active snapshot *key* changed on the chain id *parent*, and its chain id.

        The snapshot is committed under the chain id (or dropped, when there is such a one); *key* is gone.
        """
        with self.content.ingest(f"layer-{key}-{os.urandom(4).hex()}") as ingest:
            diff_id = self.snapshotter.diff(key, ingest.file)
            ingest.commit_hashed(diff_id)
            size = ingest.tell()
        chain_id = chain(parent, diff_id)
        self._settle(key, chain_id)
        return Layer(oci.LAYER_TAR, diff_id, size, diff_id), chain_id

    def _settle(self, key: str, chain_id: str) -> None:
        if not self.snapshotter.has(chain_id):
            try:
                self.snapshotter.commit(chain_id, key)
                return
            except Conflict:
                # Made by another meanwhile: the same chain id is the same tree.
                if not self.snapshotter.has(chain_id):
                    raise
        self.snapshotter.remove(key)

    def unpack(self, image: Image) -> str | None:
        """See that the snapshots of *image*'s layers are there; the topmost one's key. None when it has no layer."""
        if image.top is not None and not self.snapshotter.has(image.top):
            layers = [
                Layer(x.media_type, x.digest, x.size, diff_id)
                for x, diff_id in zip(image.layers, image.config.rootfs.diff_ids, strict=True)
            ]
            self.unpack_layers(layers)
        return image.top

    def unpack_layers(self, layers: Sequence[Layer]) -> None:
        """Unpack *layers*, bottom first, where their chain ids are no snapshots yet. Blocking; for worker threads.

        Raises Corrupt when a layer is not its diff id or can't be taken.
        """
        parent: str | None = None
        chain_ids = oci.chain_ids(tuple(layer.diff_id for layer in layers))
        with self._unpacking, self.leases.hold(*chain_ids):
            for layer, chain_id in zip(layers, chain_ids, strict=True):
                if not self.snapshotter.has(chain_id):
                    self._unpack_one(layer, chain_id, parent)
                parent = chain_id

    def _unpack_one(self, layer: Layer, chain_id: str, parent: str | None) -> None:
        key = f"unpack-{os.urandom(8).hex()}"
        self.snapshotter.prepare(key, parent)
        try:
            with self.content.open(layer.digest) as file:
                found = self.snapshotter.apply(key, Plain(file))  # type: ignore[arg-type]
            if found != layer.diff_id:
                raise Corrupt(f"the layer {layer.digest} unpacks to {found}; its image says {layer.diff_id}")
            self._settle(key, chain_id)
        except BaseException:
            with contextlib.suppress(NotFound, Conflict):
                self.snapshotter.remove(key)
            raise

    # Naming and removing

    def tag(self, ref: str, name: str) -> Reference:
        """Give the image *ref* the name *name*, taking it from any other image."""
        record, _ = self._find(ref)
        target = references.join(name)
        with self._db.transaction():
            self._put_name(target, record.id)
        self._mirror()
        return target

    def _put_name(self, target: Reference, image: str) -> None:
        self._names.put(str(target), NameRecord(image=image, time_ns=time.time_ns()))

    def remove(self, ref: str, *, force: bool, in_use: Mapping[str, Sequence[str]]) -> builtins.list[Action]:
        """Remove a name, or with its last name the image. *in_use*: image id → ids of its containers.

        Gives what happened, in order. Raises NoSuchImage, and Conflict with Docker's words. Forcing an image that
        has containers removes its names only: they stand on its layers.
        """
        record, reference = self._find(ref)
        names = self._names_by_image().get(record.id, [])
        users = in_use.get(record.id, ())
        short = short_id(record.id)
        if reference is not None and not reference.digest:
            name = str(reference)
            if names == [name] and users and not force:
                raise Conflict(
                    f'conflict: unable to remove repository reference "{ref}" (must force) - container '
                    f"{short_id(users[0])} is using its referenced image {short}"
                )
            if len(names) > 1 or users:
                return self._untag([name])
        else:
            if len({references.parse(name).name for name in names}) > 1 and not force:
                raise Conflict(
                    f"conflict: unable to delete {short} (must be forced) - "
                    "image is referenced in multiple repositories"
                )
            if users and not force:
                raise Conflict(
                    f"conflict: unable to delete {short} (must be forced) - image is being used by stopped container "
                    f"{short_id(users[0])}"
                )
            if users:
                return self._untag(names)
        return self._untag(names) + self._delete(record)

    def _untag(self, names: Sequence[str]) -> builtins.list[Action]:
        with self._db.transaction():
            for name in names:
                self._names.delete(name)
        self._mirror()
        return [("Untagged", references.parse(name).familiar) for name in names]

    def _delete(self, record: ImageRecord) -> builtins.list[Action]:
        """Forget the image, then free what only it had. A kill in between leaves garbage that collect removes."""
        self._records.delete(record.id)
        self._configs.pop(record.id, None)
        self._mirror()
        roots = self.roots() | self.leases.held()
        actions = [("Deleted", record.id)]
        for chain_id in reversed(record.chain_ids):
            if chain_id in roots:
                break
            try:
                self.snapshotter.remove(chain_id)
            except Conflict:
                # A container or a build's cache stands on it.
                break
            except NotFound:
                continue
            actions.append(("Deleted", chain_id))
        for digest in (record.manifest.digest, record.id, *(layer.digest for layer in record.layers)):
            if digest not in roots:
                self.content.delete(digest)
        return actions

    def prune(self, *, everything: bool, in_use: Mapping[str, Sequence[str]]) -> Pruned:
        """Remove images that have no name (*everything*: or no container), and what nothing refers to."""
        actions: builtins.list[Action] = []
        before = sum(size for _, size in self.content.walk())
        for image in self.list():
            if image.id in in_use or (image.names and not everything):
                continue
            actions += self._untag([str(name) for name in image.names])
            record = self._records.get(image.id)
            if record is not None:
                actions += self._delete(record)
        after = sum(size for _, size in self.content.walk())
        return Pruned(tuple(actions), before - after)

    def roots(self) -> set[str]:
        """Digests and chain ids that the images need, and what the keepers name."""
        found: set[str] = set()
        for record in self._records.all():
            found.update((record.id, record.manifest.digest), record.chain_ids, (x.digest for x in record.layers))
        for keeper in self.keepers:
            found.update(keeper())
        return found

    def collect(self, others: Iterable[str] = ()) -> Collected:
        """Remove the blobs and committed snapshots that no image, no lease and none of *others* needs."""
        return self.leases.collect(self.roots().union(others))

    def _mirror(self) -> None:
        """Write index.json from the records."""
        names = self._names_by_image()
        manifests: builtins.list[Descriptor] = []
        for record in self._records.all():
            config = self._config(record)
            platform = oci.Platform(os=config.os, architecture=config.architecture, variant=config.variant)
            for name in sorted(names.get(record.id, ())) or [""]:
                notes = {FULL_NAME: name, oci.REF_NAME: references.parse(name).tag or name} if name else {}
                manifests.append(msgspec.structs.replace(record.manifest, platform=platform, annotations=notes))
        self.content.replace("index.json", msgspec.json.encode(Index(manifests=tuple(manifests))))


def parse_config(data: bytes) -> ImageConfig:
    """The image config in *data*. Raises Corrupt."""
    try:
        config = _CONFIG.decode(data)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"an image's config does not parse: {error}") from error
    bad = next((diff_id for diff_id in config.rootfs.diff_ids if not is_digest(diff_id)), None)
    if bad is not None:
        raise Corrupt(f"an image's config has the diff id {bad[:100]!r}")
    return config


def chain(parent: str | None, diff_id: str) -> str:
    """The chain id of a layer on the chain id *parent*."""
    return diff_id if parent is None else _digest(f"{parent} {diff_id}".encode())


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


_CONFIG = msgspec.json.Decoder(ImageConfig)
