"""What a build says: its events, with the step they belong to. On the event loop."""

from __future__ import annotations

import codecs
import time
from collections import deque

from labdock.build import BuildStepFailed, OnEvent
from labdock.build.dockerfile.instructions import Instruction
from labdock.build.dockerfile.source import Range
from labdock.errors import DockerfileError, LabdockError
from labdock.schema import build as events

_TAIL = 20
_LONGEST_TAIL_LINE = 2000


class Progress:
    """Emits the events of one build. Stages that are built side by side have a :class:`StageProgress` each."""

    def __init__(self, emit: OnEvent, total: int) -> None:
        self.emit = emit
        self.total = total
        self._began = time.monotonic()
        self._failing: StageProgress | None = None

    def stage(self, before: int, name: str = "") -> StageProgress:
        """The progress of a stage that has *before* steps in front of it."""
        return StageProgress(self, before, name)

    def blame(self, stage: StageProgress) -> None:
        """*stage* failed; the first one counts."""
        self._failing = self._failing or stage

    def notice(self, text: str, line: int = 0) -> None:
        self.emit(events.BuildNotice(text=text, line=line))

    def exported(self, number: int, kind: str, token: str) -> None:
        self.emit(events.BuildExported(number=number, kind=kind, token=token))

    def built(self, image: str, names: tuple[str, ...]) -> None:
        self.emit(events.BuildDone(image=image, names=names, seconds=time.monotonic() - self._began))

    def failed(self, error: LabdockError, debug: str = "") -> None:
        """Say that the build failed, and at which instruction. ``debug``: an image of the state before the step."""
        stage = self._failing
        where = stage.where if stage else None
        if isinstance(error, DockerfileError) and error.line:
            line, end_line, column, end_column = error.line, error.end_line, error.column, error.end_column
        elif where is not None:
            line, end_line, column, end_column = where.line, where.end_line, where.column, where.end_column
        else:
            line, end_line, column, end_column = 0, 0, -1, -1
        code = error.exit_code if isinstance(error, BuildStepFailed) else 0
        self.emit(
            events.BuildFailed(
                message=error.message,
                hint=error.hint,
                step=stage.step if stage else 0,
                line=line,
                end_line=end_line,
                column=column,
                end_column=end_column,
                exit_code=code,
                tail=stage.tail if code and stage else (),
                debug=debug,
            )
        )


class StageProgress:
    """The steps of one stage, one after the other."""

    def __init__(self, build: Progress, before: int, name: str) -> None:
        self._build = build
        self._name = name
        self._step_began = time.monotonic()
        self._instruction: Instruction | None = None
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._partial: dict[str, str] = {}
        self.step = before

    @property
    def where(self) -> Range | None:
        return self._instruction.range if self._instruction else None

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of the step's output."""
        rest = tuple(text for text in self._partial.values() if text)
        return (*self._tail, *rest)[-_TAIL:]

    def start(self, instruction: Instruction) -> None:
        self.step += 1
        self._step_began = time.monotonic()
        self._instruction = instruction
        self._tail.clear()
        self._partial.clear()
        total = self._build.total = max(self._build.total, self.step)
        line = instruction.range.line
        self._build.emit(
            events.StepStarted(step=self.step, total=total, text=instruction.text, line=line, stage=self._name)
        )

    def cached(self) -> None:
        self._build.emit(events.StepCached(step=self.step))

    def explained(self, reasons: tuple[str, ...]) -> None:
        self._build.emit(events.StepExplained(step=self.step, reasons=reasons))

    def running(self, container: str) -> None:
        self._decoders = {}
        self._build.emit(events.StepRunning(step=self.step, container=container))

    def output(self, stream: str, data: bytes) -> None:
        """Bytes of a RUN step; a character cut in two is put together again."""
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        self._say(stream, decoder.decode(data))

    def output_ended(self) -> None:
        """The step's streams are at their ends."""
        for stream, decoder in self._decoders.items():
            self._say(stream, decoder.decode(b"", True))
        self._decoders = {}

    def _say(self, stream: str, text: str) -> None:
        if not text:
            return
        self._build.emit(events.StepOutput(step=self.step, stream=stream, text=text))
        *lines, rest = (self._partial.get(stream, "") + text).split("\n")
        self._tail.extend(line[:_LONGEST_TAIL_LINE] for line in lines[-_TAIL:])
        self._partial[stream] = rest[-_LONGEST_TAIL_LINE:]

    def done(self, state: str, size: int = 0) -> None:
        seconds = time.monotonic() - self._step_began
        self._build.emit(events.StepDone(step=self.step, state=state, seconds=seconds, size=size))

    def notice(self, text: str, line: int = 0) -> None:
        self._build.notice(text, line)
