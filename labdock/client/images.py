"""Images over the engine's API.

Where a registry is asked, *auth* is who we are to it: None takes the keyring's credentials for it (which raises
HelperFailed when a helper can't be asked), ``Auth()`` asks as nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labdock.client.caller import Caller, lines, path
from labdock.client.progress import JobLine, job_lines
from labdock.client.results import Image, ImageSummary, Layer, Result, Wire, result

if TYPE_CHECKING:
    from labdock.client.credentials import Auth
    from labdock.client.keyring import Keyring
    from labdock.schema.build import AnyBuildEvent

Headers = tuple[tuple[str, str], ...]
Filters = Mapping[str, list[str]]
TAR = (("Content-Type", "application/x-tar"),)


class Pruned(Result, frozen=True, kw_only=True):
    """What a prune removed; ``space_reclaimed`` in bytes."""

    images_deleted: tuple[dict[str, str], ...] = ()
    space_reclaimed: int = 0


class Images:
    """*ref* is a name (``busybox``, ``app:1``), an id or a beginning of one. NoSuchImage when there is none."""

    def __init__(self, caller: Caller, keyring: Keyring | None = None) -> None:
        self._caller = caller
        self._keyring = keyring

    def list(self, *, all: bool = False, filters: Filters | None = None, digests: bool = False) -> list[ImageSummary]:
        """The images here; *all*: also nameless ones that others build on. Raises InvalidRequest."""
        query = {"all": all, "filters": filters, "digests": digests}
        return [result(ImageSummary, wire) for wire in self._caller.fetch("/images/json", query)]

    def inspect(self, ref: str) -> Image:
        """Raises NoSuchImage."""
        return result(Image, self._caller.fetch(f"/images/{quoted(ref)}/json"))

    def history(self, ref: str) -> Sequence[Layer]:
        """Its layers, the newest first. Raises NoSuchImage."""
        return [result(Layer, wire) for wire in self._caller.fetch(f"/images/{quoted(ref)}/history")]

    def build(
        self,
        context: str | Path | None = None,
        *,
        dockerfile: str | None = None,
        names: Sequence[str] = (),
        build_args: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        target: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        network: str | None = None,
        platform: str | None = None,
        on_event: Callable[[AnyBuildEvent], None] | None = None,
    ) -> Image:
        """Build an image from the folder *context* and its Dockerfile, or from *dockerfile*, the text of one.

        *on_event* hears every event (:mod:`labdock.schema.build`) as it happens; ``builds.build`` is the iterator
        below this. Raises BuildError (its ``failed`` says where), DockerfileError, InvalidRequest.
        """
        from labdock.client import context as contexts
        from labdock.client.builds import Builds, finish
        from labdock.errors import InvalidRequest

        if context is None and dockerfile is None:
            raise InvalidRequest("build what?", hint='build(".") or build(dockerfile="FROM busybox")')
        text = None if dockerfile is None else dockerfile.encode()
        made = contexts.from_text(text or b"") if context is None else contexts.from_folder(Path(context), text=text)
        events = Builds(self._caller, self._keyring).build(
            iter(made),
            dockerfile=made.dockerfile,
            names=tuple(names),
            build_args=build_args,
            labels=labels,
            target=target,
            no_cache=no_cache,
            pull=pull,
            network=network,
            platform=platform,
        )
        return self.inspect(finish(events, on_event))

    def tag(self, ref: str, repository: str, tag: str | None = None) -> None:
        """Give it another name. Raises NoSuchImage, InvalidRequest."""
        self._caller.did(f"/images/{quoted(ref)}/tag", {"repo": repository, "tag": tag})

    def remove(self, ref: str, *, force: bool = False, no_prune: bool = False) -> Sequence[tuple[str, str]]:
        """What went: ("Untagged" | "Deleted", name or id). Raises Conflict when a container uses it."""
        query = {"force": force, "noprune": no_prune}
        wire: Sequence[Wire] = self._caller.fetch(f"/images/{quoted(ref)}", query, method="DELETE")
        return [(kind, str(text)) for entry in wire for kind, text in entry.items()]

    def prune(self, filters: Filters | None = None) -> Pruned:
        """Remove images that nothing uses: without a name only, unless filters have ``dangling=false``."""
        return result(Pruned, self._caller.fetch("/images/prune", {"filters": filters}, method="POST"))

    def pull(
        self,
        name: str,
        tag: str | None = None,
        *,
        platform: str | None = None,
        auth: Auth | None = None,
        tick: float | None = None,
    ) -> Iterator[JobLine | None]:
        """Fetch an image (every tag of it when *tag* is None); iterate to the end, closing earlier stops it.

        None comes whenever *tick* seconds passed without news. Raises NotFound when there is no such repository,
        Unauthorized when the registry wants other credentials.
        """
        query = {"fromImage": name, "tag": tag, "platform": platform}
        answer = self._caller.open("POST", "/images/create", query, headers=registry_auth(self._keyring, name, auth))
        yield from job_lines(lines(answer, tick))

    def push(
        self,
        name: str,
        tag: str | None = None,
        *,
        platform: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        tick: float | None = None,
    ) -> Iterator[JobLine | None]:
        """Send an image (every tag of it when *tag* is None) to the registry in its name; as :meth:`pull`.

        *platform*: ``{"os": …, "architecture": …, "variant": …}``, the only one to send of an index.
        """
        query = {"tag": tag, "platform": platform}
        target = f"/images/{quoted(name)}/push"
        answer = self._caller.open("POST", target, query, headers=registry_auth(self._keyring, name, auth))
        yield from job_lines(lines(answer, tick))

    def import_tar(
        self,
        source: Iterator[bytes] | str,
        name: str | None = None,
        *,
        message: str | None = None,
        changes: Sequence[str] = (),
        platform: str | None = None,
    ) -> Iterator[JobLine | None]:
        """An image of one layer from a tar of a root file system, in parts or at a URL that the engine fetches.

        *changes* are Dockerfile instructions for its config. The last line's status is the image's id.
        """
        query = {
            "fromSrc": source if isinstance(source, str) else "-",
            "repo": name,
            "message": message,
            "changes": list(changes),
            "platform": platform,
        }
        body = None if isinstance(source, str) else source
        yield from job_lines(lines(self._caller.open("POST", "/images/create", query, body, headers=TAR)))

    def bootstrap(self, name: str) -> Iterator[JobLine | None]:
        """Make a base image from a distribution's packages (an endpoint of labdock's own); iterate to the end."""
        yield from job_lines(lines(self._caller.open("POST", "/labdock/images/bootstrap", {"name": name})))

    def load(
        self, archive: Iterator[bytes], *, quiet: bool = False, platform: Mapping[str, str] | None = None
    ) -> Iterator[JobLine | None]:
        """Take images from a ``docker save`` archive; iterate to the end. *platform* as in :meth:`push`."""
        query = {"quiet": quiet, "platform": platform}
        answer = self._caller.open("POST", "/images/load", query, archive, headers=TAR)
        yield from job_lines(lines(answer))

    def save(self, refs: Sequence[str]) -> Iterator[bytes]:
        """The images as one archive, in parts."""
        with self._caller.open("GET", "/images/get", {"names": tuple(refs)}) as answer:
            yield from answer.chunks()


def registry_auth(keyring: Keyring | None, name: str, auth: Auth | None) -> Headers:
    """The header that says who we are to the registry of the image *name*. Raises HelperFailed."""
    if auth is None and keyring is not None:
        from labdock.client.names import parse

        auth = keyring.find(parse(name).key)
    if auth is None:
        return (("X-Registry-Auth", "e30="),)  # {}
    from labdock.client.credentials import header

    return (("X-Registry-Auth", header(auth)),)


def quoted(ref: str) -> str:
    """References keep their slashes in paths, as Docker's own client sends them."""
    return path(*ref.split("/"))[1:]
