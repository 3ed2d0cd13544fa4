"""What a manifest or an index that was pushed refers to; its bytes are kept as they are. Pure.

OCI image-spec v1.1 (manifest.md, image-index.md), Docker image manifest v2, schema 2.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from labdock.registry.server.refusals import Code, Refusal
from labdock.schema import oci
from labdock.schema.ids import is_digest

#: The largest manifest taken, in bytes (distribution-spec: registries should take 4 MiB).
LARGEST = 4 << 20
_IMAGES = frozenset({oci.MANIFEST, oci.DOCKER_MANIFEST})
_INDEXES = frozenset({oci.INDEX, oci.DOCKER_INDEX})
_OLD = "application/vnd.docker.distribution.manifest.v1"
_CONFIGS = frozenset({oci.CONFIG, oci.DOCKER_CONFIG})


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A descriptor as it came."""

    media_type: str = ""
    digest: str
    size: int
    urls: tuple[str, ...] | None = None
    platform: oci.Platform | None = None


class _Sent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    config: Part | None = None
    layers: tuple[Part, ...] | None = None
    manifests: tuple[Part, ...] | None = None
    subject: Part | None = None
    annotations: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """``config`` and ``layers`` of an image's manifest, or ``children`` of an index."""

    media_type: str
    digest: str
    size: int
    config: Part | None
    layers: tuple[Part, ...]
    children: tuple[Part, ...]
    subject: str
    artifact_type: str
    annotations: dict[str, str]

    @property
    def blobs(self) -> tuple[Part, ...]:
        """The blobs that must be here: layers that are fetched elsewhere (``urls``) need not."""
        own = tuple(layer for layer in self.layers if not layer.urls)
        return (self.config, *own) if self.config else own

    @property
    def is_runnable(self) -> bool:
        """Whether it is an image that a container can be made of, by its words."""
        return (
            self.config is not None
            and self.config.media_type in _CONFIGS
            and not self.artifact_type
            and all("tar" in layer.media_type and not layer.urls for layer in self.layers)
        )


_DECODER = msgspec.json.Decoder(_Sent)


def read(data: bytes, content_type: str) -> Parsed:
    """What *data*, sent with the header *content_type* ("" when there was none), says.

    Raises Refusal: MANIFEST_INVALID, DIGEST_INVALID.
    """
    try:
        sent = _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refusal(Code.MANIFEST_INVALID, f"the manifest does not parse: {str(error)[:200]}") from error
    announced = content_type.partition(";")[0].strip().lower()
    kind = _settle_type(sent, announced)
    parts = (*filter(None, (sent.config, sent.subject)), *(sent.layers or ()), *(sent.manifests or ()))
    for part in parts:
        if not is_digest(part.digest):
            raise Refusal(Code.DIGEST_INVALID, f"the manifest names {part.digest[:100]!r}, which is no sha256 digest")
        if part.size < 0:
            raise Refusal(Code.MANIFEST_INVALID, f"the manifest gives {part.digest} {part.size} bytes")
    if kind in _IMAGES and sent.config is None:
        raise Refusal(Code.MANIFEST_INVALID, "an image's manifest has no config")
    config = sent.config if kind in _IMAGES else None
    return Parsed(
        media_type=kind,
        digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
        size=len(data),
        config=config,
        layers=(sent.layers or ()) if kind in _IMAGES else (),
        children=(sent.manifests or ()) if kind in _INDEXES else (),
        subject=sent.subject.digest if sent.subject else "",
        artifact_type=sent.artifact_type,
        annotations=sent.annotations or {},
    )


def _settle_type(sent: _Sent, announced: str) -> str:
    if announced.startswith(_OLD) or sent.schema_version == 1:
        raise Refusal(
            Code.MANIFEST_INVALID,
            "manifests of Docker's schema 1 are not taken",
            hint="push with a client of the last ten years: it writes schema 2 or OCI",
        )
    if sent.schema_version != 2:
        raise Refusal(Code.MANIFEST_INVALID, f"schemaVersion is {sent.schema_version}, not 2")
    if announced in ("", "application/json", "application/octet-stream"):
        announced = sent.media_type or (oci.INDEX if sent.manifests is not None else oci.MANIFEST)
    if sent.media_type and sent.media_type != announced:
        raise Refusal(
            Code.MANIFEST_INVALID,
            f"the manifest was sent as {announced[:100]} and calls itself {sent.media_type[:100]}",
        )
    if announced not in _IMAGES | _INDEXES:
        raise Refusal(Code.MANIFEST_INVALID, f"manifests of the type {announced[:100]!r} are not taken")
    return announced


def referrer_type(parsed: Parsed) -> str:
    """The ``artifactType`` that its referrer's descriptor carries: its own, else its config's media type."""
    return parsed.artifact_type or (parsed.config.media_type if parsed.config else "")
