"""Archives of images: what ``docker save`` writes (old and new), OCI layouts in a tar, compressed or not.

Reading takes one pass: every file of the archive becomes a blob on the way, and what no image turned out to need
is dropped at the end. Writing gives an archive that is both: ``manifest.json`` for Docker, ``index.json`` for the rest.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import msgspec

from labdock.errors import Corrupt, InvalidRequest, LabdockError
from labdock.images import platforms, references
from labdock.images.catalog import FULL_NAME, parse_config
from labdock.images.image import Image, Origin
from labdock.images.store import MOST_JSON, Images
from labdock.schema import oci
from labdock.schema.oci import Descriptor, Index, Manifest
from labdock.store.content import ContentStore, Ingest
from labdock.store.intents import fail_at
from labdock.store.layers import headers
from labdock.store.layers.compression import Compression, Plain, detect
from labdock.store.layers.hashing import Sha256
from labdock.store.layers.headers import BLOCK, Entry
from labdock.store.layers.pack import Sink
from labdock.store.layers.reader import Reader, Source
from labdock.store.leases import Hold
from labdock.store.snapshots import Layer

OnEvent = Callable[[dict[str, object]], None]
#: An image, and the names that the archive has for it.
_Loaded = tuple[Image, Sequence[str]]
_MOST_FILES = 100_000
_MOST_DEPTH = 4
_TYPES = {
    Compression.NONE: oci.LAYER_TAR,
    Compression.GZIP: oci.LAYER_GZIP,
    Compression.ZSTD: oci.LAYER_ZSTD,
}


class _DockerEntry(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of an archive's ``manifest.json``."""

    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] = ()


@dataclass(slots=True)
class _Archive:
    """What was in it: digest by path; manifests by their config's digest; links by path; digests that are new here."""

    files: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, tuple[Descriptor, Manifest]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)

    def find(self, path: str) -> str:
        """The digest of the file at *path*. Raises Corrupt."""
        path = posixpath.normpath(path)
        for _ in range(_MOST_DEPTH):
            if path in self.files:
                return self.files[path]
            if path not in self.links:
                break
            path = self.links[path]
        raise Corrupt(f"the archive has no {path}, which its manifest names")


def load(images: Images, stream: Source, on_event: OnEvent) -> list[Image]:
    """Take every image in the archive *stream*. Blocking; for worker threads.

    *on_event* gets Docker's progress objects. Raises Corrupt or InvalidRequest for what is no such archive; then
    nothing of it stays.
    """
    archive = _Archive()
    with ExitStack() as stack:
        hold = stack.enter_context(images.leases.hold())
        try:
            _take(images.content, Plain(stream), archive, hold)
            fail_at("load:taken")
            _find_manifests(images.content, archive)
            loaded = (
                _load_docker(images, archive) if "manifest.json" in archive.files else _load_layout(images, archive)
            )
        finally:
            hold.release()
            for digest in archive.new - images.roots():
                images.leases.free(digest)
    for image, names in loaded:
        familiar = [references.parse(name).familiar for name in names]
        for text in [f"Loaded image: {name}\n" for name in familiar] or [f"Loaded image ID: {image.id}\n"]:
            on_event({"stream": text})
    return [image for image, _ in loaded]


def _take(content: ContentStore, stream: Source, archive: _Archive, hold: Hold) -> None:
    reader = Reader(stream)
    for entry in reader:
        path = posixpath.normpath(entry.name.decode(errors="surrogateescape"))
        if len(archive.files) + len(archive.links) > _MOST_FILES:
            raise Corrupt(f"the archive has more than {_MOST_FILES} files")
        if entry.type in (headers.SYMLINK, headers.LINK):
            target = entry.link.decode(errors="surrogateescape")
            # quirk: old docker save links a layer that two images share: "../ID/layer.tar".
            base = posixpath.dirname(path) if entry.type == headers.SYMLINK else ""
            archive.links[path] = posixpath.normpath(posixpath.join(base, target))
        elif entry.type == headers.FILE:
            with content.ingest(f"load-{id(archive)}-{path}") as ingest:
                digest = _ingest(reader, ingest)
                hold.add(digest)
                if not content.has(digest):
                    archive.new.add(ingest.commit_hashed(digest))
            archive.files[path] = digest


def _ingest(reader: Reader, ingest: Ingest) -> str:
    """Write the current entry's data; gives its digest."""
    with Sha256() as hasher:
        while piece := reader.take():
            hasher.update(piece)
            ingest.add(piece)
        return f"sha256:{hasher.hexdigest()}"


def _read(
    content: ContentStore, digest: str, what: str, kind: type[msgspec.Struct] | type[list[_DockerEntry]]
) -> object:
    try:
        return msgspec.json.decode(content.read(digest, MOST_JSON), type=kind)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"the archive's {what} does not parse: {error}") from error


def _load_docker(images: Images, archive: _Archive) -> list[_Loaded]:
    entries = _read(images.content, archive.files["manifest.json"], "manifest.json", list[_DockerEntry])
    assert isinstance(entries, list)
    found: list[_Loaded] = []
    for entry in entries:
        digests = [archive.find(layer) for layer in entry.layers]
        names = entry.repo_tags or ()
        found.append((_adopt(images, archive, archive.find(entry.config), digests, names), names))
    return found


def _load_layout(images: Images, archive: _Archive) -> list[_Loaded]:
    if "index.json" not in archive.files:
        raise InvalidRequest("the archive has neither manifest.json nor index.json: it holds no images")
    index = _read(images.content, archive.files["index.json"], "index.json", Index)
    assert isinstance(index, Index)
    found: list[_Loaded] = []
    for descriptor in index.manifests:
        name = descriptor.annotations.get(FULL_NAME) or descriptor.annotations.get(oci.REF_NAME, "")
        _, manifest = _resolve(images.content, archive, descriptor, 0)
        config = archive.find(_blob(manifest.config.digest))
        layers = [archive.find(_blob(layer.digest)) for layer in manifest.layers]
        names = (name,) if _is_name(name) else ()
        found.append((_adopt(images, archive, config, layers, names), names))
    return found


def _resolve(
    content: ContentStore, archive: _Archive, descriptor: Descriptor, depth: int
) -> tuple[Descriptor, Manifest]:
    """The manifest behind *descriptor*: of an index, the one for this machine."""
    digest = archive.find(_blob(descriptor.digest))
    if digest != descriptor.digest:
        raise Corrupt(f"the archive's {_blob(descriptor.digest)} is not what its digest says")
    if descriptor.media_type not in (oci.INDEX, oci.DOCKER_INDEX):
        manifest = _read(content, digest, "manifest", Manifest)
        assert isinstance(manifest, Manifest)
        kind = descriptor.media_type
        return Descriptor(media_type=kind, digest=digest, size=content.size(digest)), manifest
    index = _read(content, digest, "index", Index)
    assert isinstance(index, Index)
    if depth >= _MOST_DEPTH:
        raise Corrupt(f"the archive has an index of indexes, more than {_MOST_DEPTH} deep")
    chosen = platforms.choose(index.manifests, platforms.native(), "the archive")
    return _resolve(content, archive, chosen, depth + 1)


def _find_manifests(content: ContentStore, archive: _Archive) -> None:
    """What an archive that is an OCI layout too says of its images: their manifests, byte for byte."""
    if "index.json" not in archive.files:
        return
    with suppress(LabdockError):
        index = _read(content, archive.files["index.json"], "index.json", Index)
        assert isinstance(index, Index)
        for descriptor in index.manifests:
            with suppress(LabdockError):
                found, manifest = _resolve(content, archive, descriptor, 0)
                archive.manifests[manifest.config.digest] = found, manifest


def _adopt(images: Images, archive: _Archive, config: str, digests: Sequence[str], names: Sequence[str]) -> Image:
    data = images.content.read(config, MOST_JSON)
    diff_ids = parse_config(data).rootfs.diff_ids
    if len(diff_ids) != len(digests):
        raise Corrupt(f"the archive has {len(digests)} layers where the image's config names {len(diff_ids)}")
    layers = []
    for digest, diff_id in zip(digests, diff_ids, strict=True):
        with images.content.open(digest) as file:
            kind = detect(file.read(8))
        if kind not in _TYPES:
            raise Corrupt(f"the layer {digest} is compressed with {kind}, which image layers are not")
        if kind is Compression.NONE and digest != diff_id:
            raise Corrupt(f"the layer {digest} is not the {diff_id} of the image's config")
        layers.append(Layer(_TYPES[kind], digest, images.content.size(digest), diff_id))
    described, manifest = archive.manifests.get(config, (None, None))
    origin = None
    same = manifest is not None and [layer.digest for layer in manifest.layers] == list(digests)
    # Plain layers are compressed when they are pushed: a manifest of such ones is made anew.
    if described and manifest and same and any(layer.digest != layer.diff_id for layer in layers):
        origin = Origin(described)
        pairs = zip(layers, manifest.layers, strict=True)
        layers = [Layer(x.media_type, layer.digest, layer.size, layer.diff_id) for layer, x in pairs]
    sizes = images.unpacker.unpack(layers, archive.new)
    fail_at("load:unlisted")
    return images.adopt(data, layers, names, origin, sizes)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"


def _is_name(text: str) -> bool:
    """Whether *text* names an image in full; a bare tag, as OCI layouts have it, does not."""
    try:
        references.parse(text)
    except InvalidRequest:
        return False
    return ":" in text or "/" in text


def save(images: Images, refs: Sequence[str], out: Sink) -> None:
    """Write the images *refs* to *out*. The same images give the same bytes. Blocking; for worker threads.

    An image asked for by name has that name in the archive; by id, none. Raises NoSuchImage before the first byte.
    """
    chosen: dict[str, tuple[Image, list[str]]] = {}
    for ref in refs:
        image = images.get(ref)
        names = chosen.setdefault(image.id, (image, []))[1]
        names += [name.familiar for name in image.names if ref in _spellings(name) and name.familiar not in names]
    blobs: dict[str, None] = {}
    entries, manifests = [], []
    for image, names in chosen.values():
        for digest in (*(layer.digest for layer in image.layers), image.id, image.manifest.digest):
            blobs[digest] = None
        entries.append(
            {
                "Config": _blob(image.id),
                "RepoTags": sorted(names) or None,
                "Layers": [_blob(layer.digest) for layer in image.layers],
            }
        )
        for name in sorted(names) or [""]:
            reference = references.parse(name) if name else None
            notes = {FULL_NAME: str(reference), oci.REF_NAME: reference.tag} if reference else {}
            manifests.append(msgspec.structs.replace(image.manifest, annotations=notes))
    with images.leases.hold(*blobs):
        for digest in sorted(blobs):
            _write_blob(images.content, digest, out)
    for path, data in (
        ("index.json", msgspec.json.encode(Index(manifests=tuple(manifests)))),
        ("manifest.json", msgspec.json.encode(entries)),
        ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
    ):
        out.write(headers.encode(Entry(path.encode(), size=len(data))) + data + bytes(-len(data) % BLOCK))
    out.write(bytes(2 * BLOCK))


def _spellings(name: references.Reference) -> set[str]:
    spellings = {str(name), name.familiar}
    if name.tag == references.DEFAULT_TAG:
        spellings |= {name.name, name.familiar_name}
    return spellings


def _write_blob(content: ContentStore, digest: str, out: Sink) -> None:
    size = content.size(digest)
    out.write(headers.encode(Entry(_blob(digest).encode(), size=size)))
    hasher = hashlib.sha256()
    with content.open(digest) as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
            out.write(chunk)
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise Corrupt(f"blob {digest} does not hold what its digest says")
    out.write(bytes(-size % BLOCK))
