"""Images over the engine's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from labdock.client.caller import Caller, lines, path
from labdock.client.progress import JobLine, job_lines
from labdock.client.results import Image, ImageSummary, Layer, Wire, result

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


def _quoted(ref: str) -> str:
    """References keep their slashes in paths, as Docker's own client sends them."""
    return path(*ref.split("/"))[1:]
