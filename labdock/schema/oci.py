"""OCI image values: descriptors, manifests, indexes, configs. OCI image-spec v1.1; Docker image manifest v2.2."""

from __future__ import annotations

import hashlib

import msgspec

from labdock.schema.container import HealthcheckConfig

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
REF_NAME = "org.opencontainers.image.ref.name"


class Platform(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A typed, verified pointer to a blob: size in bytes, digest ``sha256:…``."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int = 2
    media_type: str = MANIFEST
    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int = 2
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...] = ()
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The ``config`` object of an image: what a container of it starts with."""

    user: str = ""
    exposed_ports: dict[str, dict[str, str]] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, dict[str, str]] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    healthcheck: HealthcheckConfig | None = None
    on_build: tuple[str, ...] = ()


class RootFS(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "layers"
    diff_ids: tuple[str, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step: ``created`` is RFC 3339."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image's config blob; its digest is the image id. ``created`` is RFC 3339."""

    created: str = ""
    author: str = ""
    architecture: str = "amd64"
    os: str = "linux"
    variant: str = ""
    config: RuntimeConfig = RuntimeConfig()
    rootfs: RootFS = RootFS()
    history: tuple[History, ...] = ()


def encode_config(config: ImageConfig) -> bytes:
    """The config as a blob: what the specification requires is there even where it is the default.

    (image-spec config.md: architecture, os and rootfs are REQUIRED.)
    """
    required = {"architecture": config.architecture, "os": config.os, "rootfs": msgspec.to_builtins(config.rootfs)}
    return msgspec.json.encode({**msgspec.to_builtins(config), **required})


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain id of each prefix of *diff_ids*, bottom first (image-spec config.md, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        if chain:
            diff_id = "sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest()
        chain.append(diff_id)
    return tuple(chain)
