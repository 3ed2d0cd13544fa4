"""Manifests and indexes as they come from elsewhere: parsed, bounded, and refused with the reason. Pure."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from labdock.errors import Corrupt, Unsupported
from labdock.schema import oci
from labdock.schema.ids import is_digest
from labdock.schema.oci import Descriptor, Index, Manifest

_T = TypeVar("_T", Index, Manifest)
_S = TypeVar("_S")
#: What is asked of a registry, the most wanted first.
ACCEPT = (oci.INDEX, oci.DOCKER_INDEX, oci.MANIFEST, oci.DOCKER_MANIFEST)
#: Manifests, indexes and configs are read into memory; larger ones are refused. Bytes.
MOST_JSON = 8 << 20
#: An index may lead to an index, this often.
MOST_DEPTH = 3
MOST_LAYERS = 500
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_CONFIGS = (oci.CONFIG, oci.DOCKER_CONFIG)
_EMPTY = "application/vnd.oci.empty.v1+json"
_DOCKER_LAYERS = (oci.DOCKER_LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar")
_DOCKER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
LAYERS = frozenset((oci.LAYER_TAR, oci.LAYER_GZIP, oci.LAYER_ZSTD, *_DOCKER_LAYERS, _DOCKER_ZSTD))
_AS_OCI = {
    oci.DOCKER_LAYER_GZIP: oci.LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": oci.LAYER_TAR,
    _DOCKER_ZSTD: oci.LAYER_ZSTD,
}
_FOREIGN = ("application/vnd.docker.image.rootfs.foreign.", "application/vnd.oci.image.layer.nondistributable.")


def as_oci(layer: Descriptor) -> Descriptor:
    """*layer* as a manifest of OCI's kind has it: Docker's names for the same media types are another's."""
    kind = _AS_OCI.get(layer.media_type, layer.media_type)
    return Descriptor(media_type=kind, digest=layer.digest, size=layer.size)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_index(media_type: str) -> bool:
    return media_type in (oci.INDEX, oci.DOCKER_INDEX)


def describe(data: bytes, media_type: str) -> Descriptor:
    """The descriptor of a manifest or index; its own mediaType counts when the server said something else."""
    try:
        said = decode(data, _Typed)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"a manifest does not parse: {error}") from error
    kind = said.media_type or media_type.partition(";")[0].strip()
    if said.schema_version == 1 or kind.startswith(_SCHEMA_1):
        raise Unsupported(
            "the manifest is of Docker's schema 1, which is not taken any more",
            hint="push the image again with a current client, or copy it with `skopeo copy --format oci`",
        )
    if kind not in ACCEPT:
        # Some registries say application/json or nothing, and OCI manifests may leave their type out.
        kind = oci.INDEX if said.manifests is not None else oci.MANIFEST
    return Descriptor(media_type=kind, digest=digest_of(data), size=len(data))


class _Typed(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    manifests: object = None


def read_index(data: bytes) -> Index:
    """Raises Corrupt."""
    return _decode(data, Index, "index")


def read_manifest(data: bytes) -> Manifest:
    """The image manifest in *data*. Raises Corrupt; Unsupported for what is no image, or holds layers it may not."""
    manifest = _decode(data, Manifest, "manifest")
    if manifest.config.media_type not in _CONFIGS:
        what = "" if manifest.config.media_type == _EMPTY else f" ({manifest.config.media_type})"
        raise Unsupported(f"this is no container image but another kind of artifact{what}")
    if len(manifest.layers) > MOST_LAYERS:
        raise Corrupt(f"a manifest with {len(manifest.layers)} layers; at most {MOST_LAYERS} are taken")
    for descriptor in (manifest.config, *manifest.layers):
        if not is_digest(descriptor.digest) or descriptor.size < 0:
            raise Corrupt(f"a manifest names the blob {descriptor.digest[:100]!r} of {descriptor.size} bytes")
    if manifest.config.size > MOST_JSON:
        raise Corrupt(f"a manifest names a config of {manifest.config.size} bytes; at most {MOST_JSON} are taken")
    for layer in manifest.layers:
        if layer.media_type.startswith(_FOREIGN):
            raise Unsupported(
                f"layer {layer.digest} is a non-distributable (foreign) layer, which registries do not hand out",
                hint="such layers belong to Windows base images; there is nothing here that could run them",
            )
        if layer.media_type not in LAYERS:
            raise Unsupported(
                f"layer {layer.digest} has the media type {layer.media_type[:100]!r}, which is no layer's"
            )
    return manifest


def _decode(data: bytes, kind: type[_T], what: str) -> _T:
    try:
        return decode(data, kind)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"the image's {what} does not parse: {error}") from error


def decode(data: bytes, kind: type[_S]) -> _S:
    """JSON as a *kind*, where null is the same as absent. Raises msgspec.MsgspecError.

    quirk: Go programs write null for empty lists and maps ("Volumes": null).
    """
    try:
        return msgspec.convert(_drop_nulls(msgspec.json.decode(data)), kind)
    except RecursionError as error:
        raise msgspec.DecodeError("nested too deep") from error


def _drop_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _drop_nulls(found) for key, found in value.items() if found is not None}
    return [_drop_nulls(found) for found in value] if isinstance(value, list) else value
