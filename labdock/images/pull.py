"""Pulling: a name to a manifest, to the one for the platform, to its config and layers; the image is listed last.

What a cut or killed pull leaves are ingests that the next one goes on with, and blobs and snapshots that nothing names.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from labdock.errors import Corrupt, NoSuchImage, NotFound
from labdock.images import manifests, platforms
from labdock.images.catalog import parse_config
from labdock.images.image import Image, Origin
from labdock.images.incoming import Incoming, Turns
from labdock.images.progress import Bar, Tell
from labdock.images.references import Reference
from labdock.images.sources import Source
from labdock.images.store import Images
from labdock.schema.oci import Descriptor, ImageConfig, Manifest, Platform, chain_ids
from labdock.store.intents import fail_at
from labdock.store.leases import Hold
from labdock.store.snapshots import Layer


@dataclass(frozen=True, slots=True)
class Pulled:
    """``digest``: of what the name led to, an index or a manifest. ``changed``: the name did not mean this before."""

    image: Image
    digest: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """An image's manifest; ``top``: what the name led to; ``bodies``: the bytes of every manifest on the way."""

    top: Descriptor
    descriptor: Descriptor
    manifest: Manifest
    bodies: tuple[bytes, ...]

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(manifests.digest_of(body) for body in self.bodies)


class Puller:
    """Pulls into *images*; one for the whole engine, so that two pulls fetch a shared layer once."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._turns = Turns()

    async def pull(self, source: Source, wanted: Reference, platform: Platform | None, tell: Tell) -> Pulled:
        """The image *wanted*, for *platform* (None: this machine's), from *source*; *tell* hears Docker's lines.

        Cancelling stops it. Raises what the source raises, NotFound for a platform that is not offered, Unsupported
        for what is no image that could run, Corrupt, StorageFull.
        """
        found = await resolve(source, wanted, platform or platforms.native())
        tell({"status": f"Pulling from {wanted.path}", "id": wanted.digest or wanted.tag})
        with self._images.leases.hold(*found.digests) as hold:
            hold.add(found.manifest.config.digest, *(layer.digest for layer in found.manifest.layers))
            pulled = await self._take(source, wanted, found, platform, tell, hold)
        tell({"status": f"Digest: {pulled.digest}"})
        status = "Downloaded newer image for" if pulled.changed else "Image is up to date for"
        tell({"status": f"Status: {status} {wanted.familiar}"})
        return pulled

    async def _take(
        self, source: Source, wanted: Reference, found: Resolved, platform: Platform | None, tell: Tell, hold: Hold
    ) -> Pulled:
        repository = Reference(wanted.domain, wanted.path, "", found.top.digest)
        origin = Origin(found.descriptor, repository, found.digests)
        names = [] if wanted.digest else [str(wanted)]
        data = await self._fetch_config(source, found.manifest.config)
        config = parse_config(data)
        if platform is not None:
            _check_platform(config, platform, wanted)
        with suppress(NoSuchImage):
            before = self._find(str(repository if wanted.digest else wanted))
            image = self._images.get(found.manifest.config.digest)
            for layer in found.manifest.layers:
                Bar(layer.digest, tell).say("Already exists")
            await self._keep(found)
            image = await asyncio.to_thread(self._images.name, image.id, names, origin)
            return Pulled(image, found.top.digest, before != image.id)
        layers = layers_of(found.manifest, config)
        hold.add(*chain_ids(config.rootfs.diff_ids))
        sizes = await Incoming(self._images, self._turns, source, layers, tell).run()
        await self._keep(found)
        fail_at("pull:unlisted")
        image = await asyncio.to_thread(self._images.adopt, data, layers, names, origin, sizes)
        fail_at("pull:listed")
        return Pulled(image, found.top.digest, True)

    def _find(self, name: str) -> str | None:
        try:
            return self._images.get(name).id
        except NoSuchImage:
            return None

    async def _keep(self, found: Resolved) -> None:
        for body in found.bodies:
            await asyncio.to_thread(self._images.content.write, body)

    async def _fetch_config(self, source: Source, descriptor: Descriptor) -> bytes:
        content = self._images.content
        if content.has(descriptor.digest):
            return await asyncio.to_thread(content.read, descriptor.digest, manifests.MOST_JSON)
        data = b""
        async for piece in source.blob(descriptor, 0):
            data += piece
            if len(data) > descriptor.size:
                break
        if len(data) != descriptor.size or manifests.digest_of(data) != descriptor.digest:
            raise Corrupt(f"the image's config {descriptor.digest} arrived damaged")
        return data


async def resolve(source: Source, wanted: Reference, platform: Platform) -> Resolved:
    """The manifest that *wanted* has for *platform*. Raises what *source* raises, NotFound, Unsupported, Corrupt."""
    bodies = []
    data, media_type = await fetch_manifest(source, wanted.digest or wanted.tag, wanted)
    top = descriptor = manifests.describe(data, media_type)
    bodies.append(data)
    while manifests.is_index(descriptor.media_type):
        if len(bodies) > manifests.MOST_DEPTH:
            raise Corrupt(f"{wanted.familiar} is an index of indexes, more than {manifests.MOST_DEPTH} deep")
        chosen = platforms.choose(manifests.read_index(data).manifests, platform, wanted.familiar)
        data, media_type = await fetch_manifest(source, chosen.digest, wanted)
        descriptor = manifests.describe(data, media_type)
        if len(data) != chosen.size:
            raise Corrupt(f"manifest {chosen.digest} has {len(data)} bytes; its index says {chosen.size}")
        bodies.append(data)
    return Resolved(top, descriptor, manifests.read_manifest(data), tuple(bodies))


async def fetch_manifest(source: Source, name: str, wanted: Reference) -> tuple[bytes, str]:
    """The manifest or index *name* (a tag or a digest), held against the digest. Raises Corrupt and the source's."""
    data, media_type = await source.manifest(name)
    if len(data) > manifests.MOST_JSON:
        raise Corrupt(
            f"the manifest of {wanted.familiar} has {len(data)} bytes; at most {manifests.MOST_JSON} are taken"
        )
    if ":" in name and manifests.digest_of(data) != name:
        raise Corrupt(f"manifest {name} of {wanted.familiar} arrived as {manifests.digest_of(data)}")
    return data, media_type


def layers_of(manifest: Manifest, config: ImageConfig) -> list[Layer]:
    """*manifest*'s layers with the diff ids of its *config*. Raises Corrupt when their numbers differ."""
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise Corrupt(f"the manifest has {len(manifest.layers)} layers where the image's config names {len(diff_ids)}")
    return [
        Layer(x.media_type, x.digest, x.size, diff_id) for x, diff_id in zip(manifest.layers, diff_ids, strict=True)
    ]


def _check_platform(config: ImageConfig, wanted: Platform, reference: Reference) -> None:
    actual = platforms.of_config(config)
    if not platforms.fits(actual, wanted):
        raise NotFound(
            f"image with reference {reference.familiar} was found but its platform "
            f"({platforms.show(actual)}) does not match the specified platform ({platforms.show(wanted)})"
        )
