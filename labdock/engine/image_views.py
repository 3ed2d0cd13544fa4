"""Images in the API's words, and where their bytes are."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from labdock.engine.views import read_time
from labdock.errors import NotFound
from labdock.images import platforms, references
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.store.snapshots import Snapshotter

Wire = dict[str, Any]


class Parts:
    """How many images have each layer (by chain id: the same files on the same base)."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._users: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}
        for image in images:
            self._users.update(set(image.chain_ids))
            self.sizes.update(zip(image.chain_ids, image.sizes, strict=True))

    def shared(self, image: Image) -> int:
        """Bytes of *image*'s layers that other images have too."""
        sizes = zip(image.chain_ids, image.sizes, strict=True)
        return sum(size for chain_id, size in sizes if self._users[chain_id] > 1)


def matches(name: references.Reference, pattern: str) -> bool:
    """The ``reference`` filter: a shell pattern over the familiar name, with or without its tag."""
    return any(fnmatch.fnmatchcase(text, pattern) for text in (name.familiar, name.familiar_name))


def summarised(
    image: Image, patterns: Sequence[str] | None, users: Sequence[str], parts: Parts | None, *, manifests: bool
) -> Wire:
    """One of ``/images/json``. *patterns*: only the names that fit one of them are told (``docker images NAME``)."""
    names = [n for n in image.names if not patterns or any(matches(n, pattern) for pattern in patterns)]
    shown = {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": [name.familiar for name in names],
        "RepoDigests": [name.familiar for name in image.digests],
        "Created": read_time(image.config.created) // 10**9,
        "Size": image.size,
        "SharedSize": -1 if parts is None else parts.shared(image),
        "VirtualSize": image.size,
        "Labels": dict(image.config.config.labels) or None,
        "Containers": len(users),
        "Descriptor": _describe(image),
    }
    return {**shown, "Manifests": [_manifest(image, users)]} if manifests else shown


def _manifest(image: Image, users: Sequence[str]) -> Wire:
    content = sum({layer.digest: layer.size for layer in image.layers}.values()) + image.manifest.size
    return {
        "ID": image.manifest.digest,
        "Descriptor": _describe(image),
        "Available": True,
        "Kind": "image",
        "Size": {"Content": content, "Total": content + image.size},
        "ImageData": {
            "Platform": _platform(image),
            "Containers": list(users),
            "Size": {"Unpacked": image.size},
            # The schema says this, Docker sends the line above; each has its readers.
            "UnpackedSize": image.size,
        },
    }


def _describe(image: Image) -> Wire:
    return {
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.size,
        "platform": _platform(image),
    }


def _platform(image: Image) -> Wire:
    platform = platforms.of_config(image.config)
    shown: Wire = {"architecture": platform.architecture, "os": platform.os}
    return {**shown, "variant": platform.variant} if platform.variant else shown


def inspected(image: Image, driver: str) -> Wire:
    """``/images/NAME/json``."""
    config = image.config
    shown = {"Env": None, "Cmd": None, "Entrypoint": None, "Labels": None, "WorkingDir": "", "User": ""}
    return {
        "Id": image.id,
        "RepoTags": [name.familiar for name in image.names],
        "RepoDigests": [name.familiar for name in image.digests],
        "Parent": image.parent,
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Config": {**shown, **msgspec.to_builtins(config.config)},
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Name": driver, "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": _describe(image),
    }


def measured(images: Images) -> Wire:
    """``LayersSize`` (unpacked layers, each once), and under ``Labdock`` every byte of the store. Blocks.

    ``Blobs``: manifests, configs and layers as they travel; ``Arriving``: what cut transfers left to go on with;
    ``Snapshots``: unpacked layers and what containers changed, on the disk; ``Spare``: blobs that no image needs.
    """
    found = images.list()
    needed = images.roots()
    blobs = list(images.content.walk())
    snapshotter = images.snapshotter
    return {
        "LayersSize": sum(Parts(found).sizes.values()),
        "Labdock": {
            "Blobs": sum(size for _, size in blobs),
            "Spare": sum(size for digest, size in blobs if digest not in needed),
            "Arriving": images.content.arriving(),
            "Snapshots": sum(_weigh(snapshotter, info.key) for info in list(snapshotter.walk())),
        },
    }


def _weigh(snapshotter: Snapshotter, key: str) -> int:
    """Its bytes; 0 when it was removed meanwhile."""
    try:
        return snapshotter.usage(key).size
    except NotFound:
        return 0
