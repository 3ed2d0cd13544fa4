"""Images over the engine's API, and builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from labdock.client.caller import Caller, lines, path
from labdock.client.progress import JobLine, build_events, job_lines
from labdock.client.results import Image, ImageSummary, Layer, Wire, result
from labdock.schema.build import AnyBuildEvent

TAR = (("Content-Type", "application/x-tar"),)


class Images:
    """*ref* is a name (``busybox``, ``app:1``), an id or a beginning of one. NoSuchImage when there is none."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(
        self, *, all: bool = False, filters: Mapping[str, list[str]] | None = None, digests: bool = False
    ) -> list[ImageSummary]:
        query = {"all": all, "filters": filters, "digests": digests}
        return [result(ImageSummary, wire) for wire in self._caller.fetch("/images/json", query)]

    def inspect(self, ref: str) -> Image:
        return result(Image, self._caller.fetch(f"/images/{_quoted(ref)}/json"))

    def history(self, ref: str) -> Sequence[Layer]:
        return [result(Layer, wire) for wire in self._caller.fetch(f"/images/{_quoted(ref)}/history")]

    def tag(self, ref: str, repository: str, tag: str | None = None) -> None:
        self._caller.did(f"/images/{_quoted(ref)}/tag", {"repo": repository, "tag": tag})

    def remove(self, ref: str, *, force: bool = False, no_prune: bool = False) -> Sequence[tuple[str, str]]:
        """What went: ("Untagged" | "Deleted", name or id). Raises Conflict when a container uses it."""
        query = {"force": force, "noprune": no_prune}
        wire: Sequence[Wire] = self._caller.fetch(f"/images/{_quoted(ref)}", query, method="DELETE")
        return [(kind, str(text)) for entry in wire for kind, text in entry.items()]

    def pull(self, name: str, tag: str | None = None, *, platform: str | None = None) -> Iterator[JobLine]:
        """Fetch an image; iterate to the end. Raises NotFound when there is no such repository."""
        query = {"fromImage": name, "tag": tag, "platform": platform}
        yield from job_lines(lines(self._caller.open("POST", "/images/create", query)))

    def bootstrap(self, name: str) -> Iterator[JobLine]:
        """Make a base image from a distribution's packages (an endpoint of labdock's own); iterate to the end."""
        yield from job_lines(lines(self._caller.open("POST", "/labdock/images/bootstrap", {"name": name})))

    def load(self, archive: Iterator[bytes], *, quiet: bool = False) -> Iterator[JobLine]:
        """Take images from a ``docker save`` archive; iterate to the end."""
        answer = self._caller.open("POST", "/images/load", {"quiet": quiet}, archive, headers=TAR)
        yield from job_lines(lines(answer))

    def save(self, refs: Sequence[str]) -> Iterator[bytes]:
        """The images as one archive, in parts."""
        with self._caller.open("GET", "/images/get", {"names": tuple(refs)}) as answer:
            yield from answer.chunks()


class Builds:
    """Building images."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def build(
        self,
        context: Iterator[bytes],
        *,
        dockerfile: str | None = None,
        names: tuple[str, ...] = (),
        build_args: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        target: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        network: str | None = None,
        platform: str | None = None,
        cache_from: tuple[str, ...] = (),
        tick: float | None = None,
    ) -> Iterator[AnyBuildEvent | None]:
        """Send the context (a tar, in parts) and give what the build says. Closing the iterator stops the build.

        None comes whenever *tick* seconds passed without news. Raises InvalidRequest for a Dockerfile that
        can't be parsed; a build that fails later ends with a BuildFailed event.
        """
        query = {
            "labdock": True,
            "dockerfile": dockerfile,
            "t": list(names),
            "buildargs": build_args,
            "labels": labels,
            "target": target,
            "nocache": no_cache,
            "pull": pull,
            "networkmode": network,
            "platform": platform,
            "cachefrom": msgspec.json.encode(cache_from).decode() if cache_from else None,
            "rm": True,
        }
        answer = self._caller.open("POST", "/build", query, context, headers=TAR)
        yield from build_events(lines(answer, tick))


def _quoted(ref: str) -> str:
    """References keep their slashes in paths, as Docker's own client sends them."""
    return path(*ref.split("/"))[1:]
