"""The words of an instruction in which the builder replaces variables, and names that are nearly right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.source import Word

_NEAR = 3
#: Longer names, and more of them, are compared with nothing: what they cost is bounded.
_LONGEST = 64
_MOST = 400


def find_words(instruction: ast.Instruction) -> Iterator[Word]:
    """The words with variables, ARG's and heredocs apart."""
    if isinstance(instruction, ast.Env | ast.Label):
        for pair in instruction.pairs:
            yield pair.name
            yield pair.value
    elif isinstance(instruction, ast.Transfer):
        checksum = instruction.checksum if isinstance(instruction, ast.Add) else None
        flags = (instruction.chown, instruction.chmod, checksum)
        yield from (word for word in flags if word is not None)
        yield from instruction.sources
        yield instruction.destination
    elif isinstance(instruction, ast.Run):
        for flag in instruction.mounts:
            yield Word(flag.text, flag.range)
    elif isinstance(instruction, ast.Workdir):
        yield instruction.path
    elif isinstance(instruction, ast.User):
        yield instruction.user
    elif isinstance(instruction, ast.Expose):
        yield from instruction.ports
    elif isinstance(instruction, ast.Volume):
        yield from instruction.paths
    elif isinstance(instruction, ast.StopSignal):
        yield instruction.signal


def find_near(name: str, known: Iterable[str]) -> str:
    """The one of *known* that is nearest to *name*, with two changed characters at most; "" when none is."""
    best, found = _NEAR, ""
    if len(name) > _LONGEST:
        return ""
    for number, other in enumerate(known):
        if other == name or number >= _MOST:
            return "" if other == name else found
        if abs(len(other) - len(name)) < best and (distance := _distance(name, other, best)) < best:
            best, found = distance, other
    return found


def _distance(one: str, other: str, limit: int) -> int:
    """Levenshtein's distance, *limit* when it is that or more."""
    row = list(range(len(other) + 1))
    for count, char in enumerate(one, 1):
        before, row[0] = row[0], count
        for index, against in enumerate(other, 1):
            before, row[index] = row[index], min(before + (char != against), row[index] + 1, row[index - 1] + 1)
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)
