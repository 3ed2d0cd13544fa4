"""Images from and to registries and bundles: pull, push, and the bases of builds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labdock.build import BaseImage
from labdock.engine.events import Events
from labdock.engine.registries import Registries, build_keychain
from labdock.errors import InvalidRequest, LabdockError, NoSuchImage, NotFound
from labdock.images import bundled, platforms, references
from labdock.images.bundles import Bundles
from labdock.images.image import Image
from labdock.images.pull import Pulled, Puller
from labdock.images.push import Pusher
from labdock.images.references import Reference
from labdock.images.sources import RegistrySource, repository_of
from labdock.images.store import Images
from labdock.registry.credentials import Keychain, read_auth
from labdock.schema.oci import Platform

Wire = dict[str, Any]
OnLine = Callable[[Wire], None]


class Transfers:
    """*busybox*: the static program that the bundled image is made from; None when the machine has none."""

    def __init__(
        self,
        images: Images,
        events: Events,
        registries: Registries,
        bundles: Bundles,
        busybox: str | None,
        scratch: Path,
    ) -> None:
        self._images = images
        self._events = events
        self._registries = registries
        self._bundles = bundles
        self._busybox = busybox
        self._puller = Puller(images)
        self._pusher = Pusher(images, scratch)

    async def find(self, name: str) -> Image | None:
        """The image *name*, from here or from what is bundled; None when there is none."""
        try:
            return self._images.get(name)
        except NoSuchImage:
            pass
        if references.parse(name).familiar != bundled.NAME or self._busybox is None:
            return None
        made = await asyncio.to_thread(bundled.ensure_busybox, self._images, Path(self._busybox))
        # It is there from now on, for all who follow what is there.
        self._events.emit("image", "load", made.id, {"name": bundled.NAME})
        return made

    async def pull(self, name: str, tag: str, platform: str | None, auth: str, on_event: OnLine) -> None:
        """``docker pull``: one name, or (no tag, no digest) every tag of it. *auth*: an X-Registry-Auth header.

        Bundles are looked into first, then the registry is asked. Raises NotFound in Docker's words and what
        :mod:`labdock.registry.client` raises.
        """
        wanted_platform = platforms.parse(platform) if platform else None
        wanted = _join(name, tag)
        keychain = read_auth(auth, wanted.domain)
        if tag or not _is_bare(name):
            await self._pull_one(wanted, wanted_platform, keychain, on_event)
            return
        for one in await self._list_tags(wanted, keychain):
            await self._pull_one(references.join(name, one), wanted_platform, keychain, on_event)

    async def _list_tags(self, wanted: Reference, keychain: Keychain) -> tuple[str, ...]:
        if await self._find_offline(wanted, None) or await self._bundles.find(wanted):
            return (wanted.tag,)
        async with self._registries.client(keychain) as client:
            return await client.tags(repository_of(wanted))

    async def _pull_one(
        self, wanted: Reference, platform: Platform | None, keychain: Keychain, on_event: OnLine
    ) -> Image:
        image = await self._find_offline(wanted, platform)
        if image is not None:
            on_event({"status": f"Pulling from {wanted.path}", "id": wanted.tag})
            on_event({"status": f"Digest: {image.manifest.digest}"})
            on_event({"status": f"Status: Image is up to date for {wanted.familiar}"})
        else:
            image = (await self._fetch(wanted, platform, keychain, on_event)).image
        self._events.emit("image", "pull", wanted.familiar, {"name": wanted.familiar_name})
        return image

    async def _find_offline(self, wanted: Reference, platform: Platform | None) -> Image | None:
        """The image that came with labdock, while that is what *wanted* is."""
        if wanted.familiar != bundled.NAME or (
            platform is not None and not platforms.fits(platforms.native(), platform)
        ):
            return None
        try:
            found = await self.find(str(wanted))
        except LabdockError:
            return None
        return found if found is not None and not found.digests else None

    async def _fetch(
        self, wanted: Reference, platform: Platform | None, keychain: Keychain, on_event: OnLine
    ) -> Pulled:
        bundle = await self._bundles.find(wanted)
        if bundle is not None:
            on_event({"status": f"Found in the bundle {bundle.place}"})
            return await self._puller.pull(bundle, wanted, platform, on_event)
        async with self._registries.client(keychain) as client:
            source = RegistrySource(client, repository_of(wanted))
            return await self._puller.pull(source, wanted, platform, on_event)

    async def push(self, name: str, tag: str, auth: str, on_event: OnLine) -> None:
        """``docker push``: one name, or (no tag) all that are here of the repository. Raises NotFound, Unauthorized."""
        wanted = _join(name, tag)
        if wanted.digest:
            raise InvalidRequest("cannot push a digest reference")
        if tag or not _is_bare(name):
            targets = [wanted]
        else:
            targets = [x for image in self._images.list() for x in image.names if x.name == wanted.name]
        chosen = []
        for target in targets:
            try:
                chosen.append((self._images.get(str(target)), target))
            except NoSuchImage:
                continue
        if not chosen:
            what = f"tag: {wanted.tag}" if targets else "tags"
            raise NotFound(f"An image does not exist locally with the {what}: {wanted.familiar_name}")
        on_event({"status": f"The push refers to repository [{wanted.name}]"})
        async with self._registries.client(read_auth(auth, wanted.domain)) as client:
            for image, target in sorted(chosen, key=lambda pair: pair[1].tag):
                await self._pusher.push(client, image, target, on_event)
                self._events.emit("image", "push", target.familiar, {"name": target.familiar_name})

    async def resolve(self, name: str, platform: str | None, *, pull: bool) -> BaseImage:
        """For FROM and COPY --from: the build room's Puller. *pull*: ask for it also when it is here."""
        wanted_platform = platforms.parse(platform) if platform else None
        image = None if pull else await self.find(name)
        if image is None or not _fits(image, wanted_platform):
            wanted = references.parse(name)
            image = await self._pull_one(wanted, wanted_platform, build_keychain.get(), lambda line: None)
        snapshot = await asyncio.to_thread(self._images.unpack, image)
        return BaseImage(id=image.id, config=image.config, snapshot=snapshot)


def _fits(image: Image, platform: Platform | None) -> bool:
    return platform is None or platforms.fits(platforms.of_config(image.config), platform)


def _join(name: str, tag: str) -> Reference:
    """*tag* may be a digest, as ``/images/create`` has it."""
    if tag.startswith("sha256:"):
        return references.parse(f"{name}@{tag}")
    return references.join(name, tag) if tag else references.parse(name)


def _is_bare(name: str) -> bool:
    """Whether *name* has neither tag nor digest."""
    return "@" not in name and ":" not in name.rpartition("/")[2]
