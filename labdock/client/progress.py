"""What long jobs say on the way: Docker's JSON progress lines, and builds as typed events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from labdock.client.failures import restore
from labdock.errors import EngineUnreachable, LabdockError
from labdock.schema import build
from labdock.schema.build import AnyBuildEvent


class Detail(msgspec.Struct, frozen=True):
    current: int = 0
    total: int = 0


class ErrorDetail(msgspec.Struct, frozen=True):
    message: str = ""
    code: int = 0
    hint: str | None = None


class JobLine(msgspec.Struct, frozen=True, rename={"detail": "progressDetail", "error_detail": "errorDetail"}):
    """One line of a pull, a load or a classic build."""

    status: str = ""
    id: str = ""
    stream: str = ""
    detail: Detail | None = None
    error: str = ""
    error_detail: ErrorDetail | None = None
    hint: str | None = None
    aux: dict[str, object] | None = None
    event: str = ""


_line = msgspec.json.Decoder(JobLine)
_event = msgspec.json.Decoder(AnyBuildEvent)


def _decode(line: bytes) -> JobLine:
    try:
        return _line.decode(line)
    except msgspec.MsgspecError as error:
        raise EngineUnreachable(f"the engine sent a line that is no progress: {line[:80]!r}") from error


def job_lines(source: Iterable[bytes]) -> Iterator[JobLine | None]:
    """Each line, None for b""; an error line is raised as the error it names."""
    for text in source:
        if not text:
            yield None
            continue
        line = _decode(text)
        if line.error or line.error_detail:
            raise _failure(line)
        yield line


#: A job's error line has no status; its words do (the first that match).
_MEANINGS = (
    (404, re.compile("no such (?!host)|does not exist|not found", re.IGNORECASE)),
    (429, re.compile("toomanyrequests|too many requests|rate limit", re.IGNORECASE)),
    (401, re.compile("unauthorized|authentication required|no basic auth credentials", re.IGNORECASE)),
)


def _failure(line: JobLine) -> LabdockError:
    message = (line.error_detail and line.error_detail.message) or line.error
    hint = line.hint or (line.error_detail and line.error_detail.hint)
    status = next((status for status, words in _MEANINGS if words.search(message)), 500)
    return restore(status, msgspec.json.encode({"message": message, "hint": hint}))


def build_events(source: Iterable[bytes]) -> Iterator[AnyBuildEvent | None]:
    """A build's events; lines in Docker's own words (another engine's) are understood too. b"" gives None."""
    classic = ClassicWords()
    for text in source:
        if not text:
            yield None
        elif b'"event"' in text and (line := _decode(text)).event:
            del line
            yield _event.decode(text)
        else:
            yield from classic.read(_decode(text))
    yield from classic.end()


class ClassicWords:
    """Understands the classic builder's lines: ``Step 1/3 : FROM busybox``, `` ---> Using cache``, …"""

    _step = re.compile(r"Step (\d+)/(\d+) : (.*)")

    def __init__(self) -> None:
        self.step = 0
        self.image = ""
        self.names: tuple[str, ...] = ()
        self.over = False

    def read(self, line: JobLine) -> Iterator[AnyBuildEvent]:
        if line.error or line.error_detail:
            detail = line.error_detail or ErrorDetail(line.error)
            self.over = True
            yield build.BuildFailed(message=detail.message or line.error, step=self.step, exit_code=detail.code)
        elif line.aux and isinstance(line.aux.get("ID"), str):
            self.image = str(line.aux["ID"])
        elif line.stream:
            yield from self._words(line.stream)

    def _words(self, text: str) -> Iterator[AnyBuildEvent]:
        words = text.rstrip("\n")
        if found := self._step.match(words):
            self.step = int(found[1])
            yield build.StepStarted(step=self.step, total=int(found[2]), text=found[3], line=0)
        elif words == " ---> Using cache":
            yield build.StepCached(step=self.step)
        elif words.startswith(" ---> Running in "):
            yield build.StepRunning(step=self.step, container=words.removeprefix(" ---> Running in "))
        elif words.startswith(" ---> "):
            yield build.StepDone(step=self.step, state=words.removeprefix(" ---> "), seconds=0.0)
        elif words.startswith("Successfully built "):
            self.image = self.image or words.removeprefix("Successfully built ")
        elif words.startswith("Successfully tagged "):
            self.names += (words.removeprefix("Successfully tagged "),)
        elif words and not words.startswith(" ---> Removed"):
            yield build.StepOutput(step=self.step, stream="stdout", text=text)

    def end(self) -> Iterator[AnyBuildEvent]:
        if self.image and not self.over:
            yield build.BuildDone(image=self.image, names=self.names)
