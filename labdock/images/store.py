"""The images that are here: found by name or id, named, unpacked, made and removed.

An image is its config blob (whose digest is its id), a manifest and its layers. It is listed once one transaction
has written its record and names, after its blobs and its unpacked layers were there. The names are mirrored into
``index.json``, which makes the content folder an OCI layout that other tools read.
"""

from __future__ import annotations

import builtins
import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from labdock.errors import Conflict, Corrupt, NoSuchImage, NotFound
from labdock.images import references
from labdock.images.catalog import Catalog, parse_config
from labdock.images.image import HistoryEntry, Image, ImageRecord, Origin, Pruned
from labdock.images.manifests import MOST_JSON as MOST_JSON
from labdock.images.manifests import as_oci
from labdock.images.references import Reference
from labdock.images.unpacking import Unpacker
from labdock.schema import oci
from labdock.schema.ids import short_id
from labdock.schema.oci import Descriptor, ImageConfig, Manifest, RootFS
from labdock.store.content import ContentStore
from labdock.store.layers.compression import Plain
from labdock.store.leases import Collected, Hold, Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer, Snapshotter

Action = tuple[str, str]


class Images:
    """All images of one data folder."""

    def __init__(self, db: Database, content: ContentStore, snapshotter: Snapshotter, leases: Leases) -> None:
        self.content = content
        self.snapshotter = snapshotter
        self.leases = leases
        self._db = db
        self._catalog = Catalog(db, content)
        #: By diff id: the blob that a plain layer was once compressed to for a registry.
        self.compressed = db.records("compressed-layers", Descriptor)
        self.unpacker = Unpacker(content, snapshotter, leases)
        # Who writes a record holds a lease on all it names, so under this lock a blob has a root, a lease or no need.
        self._settling = threading.Lock()
        #: Each gives digests that something else than an image needs (manifests that a registry holds).
        self.keepers: list[Callable[[], Iterable[str]]] = []
        #: Called when images are pruned, to let go of what keepers keep without a name.
        self.sweepers: list[Callable[[], None]] = []

    # Finding

    def get(self, ref: str) -> Image:
        """The image that *ref* means: a name, an id or the beginning of one, with or without ``sha256:``.

        Raises NoSuchImage; InvalidRequest when an id's beginning is several images'.
        """
        return self._catalog.image(self._catalog.find(ref)[0])

    def list(self) -> tuple[Image, ...]:
        """Every image, the newest first."""
        return self._catalog.all()

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

    def assemble(
        self, config: ImageConfig, layers: Sequence[Layer], names: Sequence[str], *, parent: str = ""
    ) -> Image:
        """The image of *config* over *layers* (bottom first, their blobs here), under *names*.

        The config's rootfs is set from the layers. The same config and layers give the same id.
        """
        diff_ids = tuple(layer.diff_id for layer in layers)
        config = msgspec.structs.replace(config, rootfs=RootFS(diff_ids=diff_ids))
        return self.adopt(oci.encode_config(config), layers, names, parent=parent)

    def adopt(
        self,
        config: bytes,
        layers: Sequence[Layer],
        names: Sequence[str],
        origin: Origin | None = None,
        sizes: Mapping[str, int] | None = None,
        parent: str = "",
    ) -> Image:
        """As assemble, with the config's own bytes, which decide the id. Corrupt when they don't fit the layers.

        *origin*: the manifest that it came with, instead of one made here. *sizes*: plain bytes by diff id, as far as
        they are known; what is missing is looked up, or read from the layer.
        """
        parsed = parse_config(config)
        diff_ids = tuple(layer.diff_id for layer in layers)
        if parsed.rootfs.diff_ids != diff_ids:
            raise Corrupt(
                f"an image's config names {len(parsed.rootfs.diff_ids)} layers that are not its {len(layers)}"
            )
        targets = [references.parse(name) for name in names]
        descriptors = tuple(Descriptor(media_type=x.media_type, digest=x.digest, size=x.size) for x in layers)
        if origin is None:
            descriptors = tuple(map(as_oci, descriptors))
        chain_ids = oci.chain_ids(diff_ids)
        known = {
            **self._catalog.known_sizes(),
            **{x.diff_id: x.size for x in layers if x.digest == x.diff_id},
            **(sizes or {}),
        }
        with self.leases.hold(*(x.digest for x in layers), *chain_ids) as hold:
            digest = _digest(config)
            hold.add(digest)
            self.content.write(config)
            described = Descriptor(media_type=oci.CONFIG, digest=digest, size=len(config))
            manifest = origin.manifest if origin else self._write_manifest(described, descriptors, hold)
            hold.add(manifest.digest, *(origin.manifests if origin else ()))
            record = ImageRecord(
                id=digest,
                manifest=manifest,
                config=described,
                layers=descriptors,
                chain_ids=chain_ids,
                sizes=tuple(known[x.diff_id] if x.diff_id in known else self._plain_size(x) for x in layers),
                time_ns=time.time_ns(),
                foreign=origin is not None,
                parent=parent,
            )
            with self._settling, self._db.transaction():
                # An image that is here keeps the manifest it came with, so that its digest stays what it was.
                record = self._catalog.records.get(digest) or record
                self._catalog.records.put(digest, record)
                if origin and origin.repository:
                    self._catalog.put_digest(origin.repository, digest, origin.manifests)
                for target in targets:
                    self._catalog.put_name(target, digest)
        self._catalog.configs[digest] = parsed
        self._catalog.mirror()
        return self._catalog.image(record)

    def _write_manifest(self, config: Descriptor, layers: tuple[Descriptor, ...], hold: Hold) -> Descriptor:
        manifest = msgspec.json.encode(Manifest(config=config, layers=layers))
        hold.add(_digest(manifest))
        self.content.write(manifest)
        return Descriptor(media_type=oci.MANIFEST, digest=_digest(manifest), size=len(manifest))

    def _plain_size(self, layer: Layer) -> int:
        size = 0
        with self.content.open(layer.digest) as file:
            plain = Plain(file)
            while chunk := plain.read(1 << 20):
                size += len(chunk)
        return size

    def commit_layer(self, key: str, parent: str | None) -> tuple[Layer, str]:
        """See :meth:`Unpacker.make_layer`."""
        return self.unpacker.make_layer(key, parent)

    def unpack(self, image: Image) -> str | None:
        """See that the snapshots of *image*'s layers are there; the topmost one's key. None when it has no layer."""
        if image.top is not None and not self.snapshotter.has(image.top):
            layers = [
                Layer(x.media_type, x.digest, x.size, diff_id)
                for x, diff_id in zip(image.layers, image.config.rootfs.diff_ids, strict=True)
            ]
            self.unpack_layers(layers)
        return image.top

    def unpack_layers(self, layers: Sequence[Layer], verified: Collection[str] = ()) -> Mapping[str, int]:
        """See :meth:`Unpacker.unpack`."""
        return self.unpacker.unpack(layers, verified)

    # Naming and removing

    def tag(self, ref: str, name: str) -> Reference:
        """Give the image *ref* the name *name*, taking it from any other image."""
        record, _ = self._catalog.find(ref)
        target = references.join(name)
        with self._db.transaction():
            self._catalog.put_name(target, record.id)
        self._catalog.mirror()
        return target

    def note_digest(self, image: str, repository: Reference, manifests: Sequence[str]) -> None:
        """Write down that a repository has *image* as *repository* (``NAME@DIGEST``); *manifests* are kept for that."""
        with self._settling, self._db.transaction():
            if self._catalog.records.get(image) is not None:
                self._catalog.put_digest(repository, image, manifests)

    def name(self, image: str, names: Sequence[str], origin: Origin) -> Image:
        """Give *image*, which is here, *names*, and the repository of *origin*. Raises NoSuchImage."""
        with self._settling, self._db.transaction():
            record = self._catalog.records.get(image)
            if record is None:
                raise NoSuchImage(image)
            if origin.repository:
                self._catalog.put_digest(origin.repository, image, origin.manifests)
            for target in names:
                self._catalog.put_name(references.parse(target), image)
        self._catalog.mirror()
        return self._catalog.image(record)

    def remove(self, ref: str, *, force: bool, in_use: Mapping[str, Sequence[str]]) -> builtins.list[Action]:
        """Remove a name, or with its last name the image. *in_use*: image id → ids of its containers.

        Gives what happened, in order. Raises NoSuchImage, and Conflict with Docker's words. Forcing an image that
        has containers removes its names only: they stand on its layers.
        """
        record, reference = self._catalog.find(ref)
        names = self._catalog.names_by_image().get(record.id, [])
        users = in_use.get(record.id, ())
        short = short_id(record.id)
        if reference is not None and reference.digest and (names or users):
            known = f"{reference.name}@{reference.digest}"
            if self._catalog.digests.get(known) is not None:
                return self._untag([], [known])
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

    def _untag(self, names: Sequence[str], digests: Sequence[str] = ()) -> builtins.list[Action]:
        """Forget *names* and *digests*; with the last name of a repository its digests of that image go too."""
        gone = [*names, *digests]
        with self._db.transaction():
            for name in names:
                record = self._catalog.names.get(name)
                self._catalog.names.delete(name)
                if record is None:
                    continue
                repository = references.parse(name).name
                if not any(
                    references.parse(x).name == repository for x in self._catalog.names_by_image().get(record.image, ())
                ):
                    known = self._catalog.digests_by_image().get(record.image, ())
                    gone += [x for x in known if x.startswith(f"{repository}@")]
            for name in gone[len(names) :]:
                self._catalog.digests.delete(name)
        self._catalog.mirror()
        return [("Untagged", references.parse(name).familiar) for name in gone]

    def _delete(self, record: ImageRecord) -> builtins.list[Action]:
        """Forget the image, then free what only it had. A kill in between leaves garbage that collect removes."""
        with self._settling:
            digests = self._catalog.digests_by_image().get(record.id, [])
            spare = [blob for name in digests if (x := self._catalog.digests.get(name)) for blob in x.blobs]
            with self._db.transaction():
                self._catalog.records.delete(record.id)
                for name in digests:
                    self._catalog.digests.delete(name)
            self._catalog.configs.pop(record.id, None)
            self._catalog.mirror()
            roots = self.roots()
            actions = [("Deleted", record.id), *self._delete_snapshots(record, roots)]
            for digest in (record.manifest.digest, record.id, *spare, *(layer.digest for layer in record.layers)):
                if digest not in roots:
                    self.leases.free(digest)
                    self.compressed.delete(digest)
        return actions

    def _delete_snapshots(self, record: ImageRecord, roots: set[str]) -> builtins.list[Action]:
        actions = []
        for chain_id in reversed(record.chain_ids):
            if chain_id in roots:
                break
            try:
                if not self.leases.free_snapshot(chain_id):
                    break
            except Conflict:
                # A container or a build's cache stands on it.
                break
            except NotFound:
                continue
            actions.append(("Deleted", chain_id))
        return actions

    def prune(
        self,
        *,
        everything: bool,
        in_use: Mapping[str, Sequence[str]],
        passes: Callable[[Image], bool] = lambda image: True,
    ) -> Pruned:
        """Remove images that have no name (*everything*: or no container) and that *passes* takes."""
        actions: builtins.list[Action] = []
        before = sum(size for _, size in self.content.walk())
        for sweep in self.sweepers:
            sweep()
        for image in self.list():
            if image.id in in_use or (image.names and not everything) or not passes(image):
                continue
            actions += self._untag([str(name) for name in image.names])
            record = self._catalog.records.get(image.id)
            if record is not None:
                actions += self._delete(record)
        after = sum(size for _, size in self.content.walk())
        return Pruned(tuple(actions), before - after)

    def roots(self) -> set[str]:
        """Digests and chain ids that the images need, and what the keepers name."""
        found: set[str] = set()
        for record in self._catalog.records.all():
            found.update((record.id, record.manifest.digest), record.chain_ids, (x.digest for x in record.layers))
        for known in self._catalog.digests.all():
            found.update(known.blobs)
        for keeper in self.keepers:
            found.update(keeper())
        return found

    def collect(self, others: Iterable[str] = ()) -> Collected:
        """Remove the blobs and committed snapshots that no image, no lease and none of *others* needs."""
        with self._settling:
            return self.leases.collect(self.roots().union(others))

    def free(self, digests: Iterable[str], others: Iterable[str] = ()) -> builtins.list[str]:
        """Delete those blobs of *digests* that no image, keeper, lease or one of *others* needs; gives the deleted."""
        with self._settling:
            needed = self.roots().union(others)
            return [digest for digest in digests if digest not in needed and self.leases.free(digest)]


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
