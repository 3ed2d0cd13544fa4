"""Files in and out of containers, over the engine's API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labdock.client.caller import Caller, Query, decode, path
from labdock.client.transport import Answer
from labdock.errors import EngineUnreachable, InvalidRequest, NotFound
from labdock.schema import files
from labdock.schema.files import PathStat

TAR = (("Content-Type", "application/x-tar"),)
Change = tuple[str, str]
_KINDS = "CAD"


class Files:
    """*ref* is a name, an id or an unambiguous beginning of one; *place* is a path inside the container."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def stat(self, ref: str, place: str) -> PathStat | None:
        """What *place* is; None when it, or the container, is not there (Docker's client looks no closer)."""
        try:
            with self._caller.open("HEAD", path("containers", ref, "archive"), {"path": place}) as answer:
                return _stat_of(answer)
        except (NotFound, InvalidRequest):
            return None

    def archive(self, ref: str, place: str) -> tuple[PathStat, Iterator[bytes]]:
        """What *place* is, and a tar of it. NotFound when it is not there."""
        answer = self._caller.open("GET", path("containers", ref, "archive"), {"path": place})
        try:
            return _stat_of(answer), _pieces(answer)
        except BaseException:
            answer.close()
            raise

    def extract(self, ref: str, place: str, tar: Iterator[bytes], *, replace: bool = True, own: bool = False) -> None:
        """Unpack *tar* into the folder *place*. *replace* false: folders and other things don't replace each other.
        *own*: the container's user gets it all. Raises NotFound, InvalidRequest, Forbidden."""
        query: Query = {"path": place, "noOverwriteDirNonDir": not replace, "copyUIDGID": own}
        self._caller.call("PUT", path("containers", ref, "archive"), query, tar, headers=TAR)

    def export(self, ref: str) -> Iterator[bytes]:
        """All of the container's own files as a tar."""
        return _pieces(self._caller.open("GET", path("containers", ref, "export")))

    def changes(self, ref: str) -> list[Change]:
        """(kind, path) of what it changed in its image's files; kind is C, A or D as ``docker diff`` shows it."""
        found = self._caller.fetch(path("containers", ref, "changes")) or []
        return [(_KINDS[entry["Kind"]], entry["Path"]) for entry in found]

    def commit(
        self,
        ref: str,
        name: str = "",
        *,
        comment: str = "",
        author: str = "",
        pause: bool = True,
        changes: Sequence[str] = (),
    ) -> str:
        """Make an image of it, called *name*; the image's id. *changes* are Dockerfile instructions."""
        query: Query = {
            "container": ref,
            "repo": name,
            "comment": comment,
            "author": author,
            "pause": "1" if pause else "0",
            "changes": list(changes),
        }
        return str(decode(self._caller.call("POST", "/commit", query), "commit")["Id"])


def _stat_of(answer: Answer) -> PathStat:
    try:
        return files.decode(answer.head.headers[files.HEADER.lower()])
    except (KeyError, ValueError) as error:
        raise EngineUnreachable("the engine did not say what the path is") from error


def _pieces(answer: Answer) -> Iterator[bytes]:
    with answer:
        yield from answer.chunks()
