"""Patterns with many wildcards, matched in linear time: an automaton whose states are the bits of a number. Pure.

A backtracking matcher needs n^k steps for k stars. With one or two that is less than building the automaton;
with more, this one takes as many steps as the text has characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

#: More wildcards than this and the automaton is used.
FEW = 2
#: What a single token of a pattern is: a test of one character, or one of these.
STAR, ANYTHING, GAP = "*", "**", "**/"
Token = Callable[[str], bool] | str


class Matcher(Protocol):
    """Matches whole texts: a compiled regular expression, or an automaton."""

    def match(self, text: str, /) -> object:
        """None: it does not match."""


@dataclass(slots=True)
class Automaton:
    """``**/`` (GAP) takes two bits: before it, and inside of it, where only a slash leads out."""

    tests: list[tuple[int, Callable[[str], bool]]]
    stars: int
    everything: int
    gaps: int
    final: int
    _accepting: dict[str, int]

    def match(self, text: str, /) -> object:
        states = self._skip(1)
        for char in text:
            states = self._skip(self._step(states, char))
            if not states:
                return None
        return True if states & self.final else None

    def _skip(self, states: int) -> int:
        """*states* with those that are reached by taking nothing."""
        while True:
            more = (states & (self.stars | self.everything)) << 1 | (states & self.gaps) << 2
            if not more & ~states:
                return states
            states |= more

    def _step(self, states: int, char: str) -> int:
        accepting = self._accepting.get(char)
        if accepting is None:
            accepting = sum(bit for bit, test in self.tests if test(char))
            self._accepting[char] = accepting
        inside = states & self.gaps << 1 | (states & self.gaps) << 1
        following = (states & accepting) << 1 | states & self.everything | inside
        if char == "/":
            return following | inside << 1
        return following | states & self.stars


def build(tokens: Sequence[Token]) -> Automaton:
    """The automaton for *tokens*."""
    found = Automaton([], 0, 0, 0, 0, {})
    bit = 1
    for token in tokens:
        if token == STAR:
            found.stars |= bit
        elif token == ANYTHING:
            found.everything |= bit
        elif token == GAP:
            found.gaps |= bit
            bit <<= 1
        elif not isinstance(token, str):
            found.tests.append((bit, token))
        bit <<= 1
    found.final = bit
    return found


def same(char: str) -> Token:
    """The test for exactly *char*."""
    return char.__eq__


def one_of(expression: str) -> Token:
    """The test of a class, given as a regular expression for one character."""
    compiled = re.compile(expression, re.DOTALL)
    return lambda char: compiled.match(char) is not None


_REGEX = {STAR: "[^/]*", ANYTHING: ".*", GAP: "(?:.*/)?"}


def make(parts: Sequence[tuple[str, str]]) -> Matcher:
    """The matcher for *parts*: (kind, value), kind ``char``, ``class`` (an expression) or a wildcard."""
    if sum(kind in _REGEX for kind, _ in parts) <= FEW:
        text = "".join(_REGEX.get(kind) or (value if kind == "class" else re.escape(value)) for kind, value in parts)
        return re.compile(text + r"\Z", re.DOTALL)
    return build([kind if kind in _REGEX else _token(kind, value) for kind, value in parts])


def _token(kind: str, value: str) -> Token:
    return one_of(value) if kind == "class" else same(value)
