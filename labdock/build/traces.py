"""What steps were made of, remembered between builds: why one was not found in the cache is the difference.

Values of variables are kept as digests only, as they may be secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from labdock.build.dockerfile import instructions as ast

_MOST_FILES = 20_000
_MOST_REASONS = 8


class Trace(msgspec.Struct, frozen=True):
    """A step's inputs: ``parent`` is what it stands on; ``parts`` by their names in a sentence; ``variables`` and
    ``files`` name → digest; ``content`` is the digest of all files."""

    text: str
    parent: str
    parts: Mapping[str, Any] = {}
    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    content: str = ""
    key: str = ""


class StageTrace(msgspec.Struct, frozen=True):
    """A stage as it was last built."""

    base: str
    steps: tuple[Trace, ...] = ()


class Traces(Protocol):
    """Where they are kept (a Records[StageTrace] of the store)."""

    def get(self, id: str) -> StageTrace | None: ...

    def put(self, id: str, value: StageTrace, name: str | None = None) -> None: ...


def digest_values(env: Iterable[str]) -> dict[str, str]:
    """Each variable of *env* with a digest of its value."""
    pairs = (entry.partition("=") for entry in env)
    return {name: _digest(value) for name, _, value in pairs}


def _digest(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Memory:
    """One build's. ``wanted``: misses are to be explained; ``subject`` tells builds of one thing from others."""

    def __init__(self, traces: Traces, subject: str, wanted: bool) -> None:
        self.wanted = wanted
        self._traces = traces
        self._subject = subject
        self._stages: dict[str, StageMemory] = {}

    def stage(self, stage: ast.Stage) -> StageMemory:
        id = _digest([self._subject, stage.name or stage.index])
        memory = self._stages[id] = StageMemory(self._traces.get(id) if self.wanted else None)
        return memory

    def keep(self) -> None:
        """Remember this build, when it was asked to explain itself; the next one is compared with it."""
        if self.wanted:
            for id, memory in self._stages.items():
                self._traces.put(id, StageTrace(memory.base, tuple(memory.steps)))


class StageMemory:
    """One stage: how it was, and how it is now."""

    def __init__(self, before: StageTrace | None) -> None:
        self._before = before
        self.base = ""
        self.steps: list[Trace] = []

    def note(self, trace: Trace, key: str) -> None:
        kept = {name: _digest(value) for name, value in trace.parts.items()}
        files = trace.files if len(trace.files) <= _MOST_FILES else {}
        self.steps.append(msgspec.structs.replace(trace, parts=kept, files=files, key=key))

    def explain(self, trace: Trace) -> tuple[str, ...]:
        """Why the step was not found: at least one reason."""
        before, number = self._before, len(self.steps)
        if before is None:
            return ("there is no record of such a build: this one is the first that was asked to explain",)
        old = self._find(before, trace, number)
        if old is None:
            return ("the step was not there in the last build",)
        reasons = []
        if old.text != trace.text:
            reasons.append(f"the instruction changed; it was: {old.text}")
        reasons += self._compare_parents(before, old, trace, number)
        for name in sorted(set(old.parts) | set(trace.parts)):
            value = trace.parts.get(name)
            if old.parts.get(name) != (_digest(value) if name in trace.parts else None) and old.text == trace.text:
                reasons.append(f"{name} changed")
        reasons += _compare("variable", old.variables, trace.variables)
        if old.content != trace.content:
            changed = _compare("file", old.files, trace.files)
            reasons += changed or ["the files that are copied changed"]
        if not reasons:
            reasons.append("nothing it is made of changed: what it made was removed, or it failed the last time")
        return tuple(reasons)

    @staticmethod
    def _find(before: StageTrace, trace: Trace, number: int) -> Trace | None:
        """The step as it was: the one of the same text that is nearest, else the one in the same place."""
        same = [at for at, step in enumerate(before.steps) if step.text == trace.text]
        if same:
            return before.steps[min(same, key=lambda at: abs(at - number))]
        return before.steps[number] if number < len(before.steps) else None

    def _compare_parents(self, before: StageTrace, old: Trace, trace: Trace, number: int) -> list[str]:
        if old.parent == trace.parent:
            return []
        if self.base != before.base:
            return [f"the base image changed: it was {before.base[:19]}, it is {self.base[:19]}"]
        pairs = zip(self.steps, before.steps, strict=False)
        earlier = next((step.text for step, was in pairs if step.key != was.key), "")
        return [f"a step before it changed: {earlier}" if earlier else "a step before it made something else"]


def _compare(kind: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What differs, some of it named."""
    found = [f"{kind} {name} changed" for name in sorted(set(old) & set(new)) if old[name] != new[name]]
    found += [f"{kind} {name} is new" for name in sorted(set(new) - set(old))]
    found += [f"{kind} {name} is gone" for name in sorted(set(old) - set(new))]
    more = len(found) - _MOST_REASONS
    return found if more <= 0 else [*found[:_MOST_REASONS], f"and {more} more {kind}s"]
