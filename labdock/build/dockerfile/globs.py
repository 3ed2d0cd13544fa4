"""The patterns of ``${x#p}``, ``${x%p}`` and ``${x/p/w}``: ``*`` and ``?``, no classes. Linear for any pattern.

A pattern is cut at its stars into segments of fixed length. Searching each segment once, in order, finds
what a backtracking matcher would, since an earlier find leaves only more room for the rest.
"""

from __future__ import annotations

import re


class BadGlob(ValueError):
    """A pattern that can't be read."""


def _segments(pattern: str) -> list[re.Pattern[str]]:
    segments = [""]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            segments.append("")
            continue
        if char == "?":
            segments[-1] += "."
            continue
        if char == "\\":
            char = pattern[at : at + 1]
            at += 1
            if char not in ("}", "/", "*", "?", "\\"):
                raise BadGlob(f"invalid escape '\\{char}'")
        segments[-1] += re.escape(char)
    return [re.compile(segment, re.DOTALL) for segment in segments]


def _end(segments: list[re.Pattern[str]], value: str, at: int, greedy: bool) -> int | None:
    """Where a match whose first segment ended at *at* ends; None when a later segment is not there."""
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if last and greedy:
            return _last_end(segment, value, at)
        found = segment.search(value, at)
        if found is None:
            return None
        at = found.end()
    return at


def _last_end(segment: re.Pattern[str], value: str, at: int) -> int | None:
    if not segment.pattern:
        return len(value)
    for start in range(len(value), at - 1, -1):
        found = segment.match(value, start)
        if found is not None:
            return found.end()
    return None


def strip_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """*value* without the shortest (*greedy*: longest) prefix that matches. Raises BadGlob."""
    first, *rest = _segments(pattern)
    found = first.match(value)
    if found is None:
        return value
    end = _end(rest, value, found.end(), greedy)
    return value if end is None else value[end:]


def _reverse(pattern: str) -> str:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(reversed(parts))


def strip_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """*value* without the shortest (*greedy*: longest) suffix that matches. Raises BadGlob."""
    return strip_prefix(_reverse(pattern), value[::-1], greedy=greedy)[::-1]


def replace(pattern: str, new: str, value: str, *, everywhere: bool, limit: int) -> str:
    """*value* with the first match (*everywhere*: all) replaced by *new*. Raises BadGlob.

    Growth stops with BadGlob at *limit* characters.
    """
    first, *rest = _segments(pattern)
    result: list[str] = []
    size = 0
    at = 0
    while True:
        found = first.search(value, at)
        end = None if found is None else _end(rest, value, found.end(), True)
        if found is None or end is None:
            break
        result += [value[at : found.start()], new]
        size += found.start() - at + len(new)
        if size > limit:
            raise BadGlob(f"the result is longer than {limit} characters")
        at = max(end, found.start())
        if not everywhere or end == len(value):
            break
        if end == found.start():
            result.append(value[at : at + 1])
            at += 1
    return "".join(result) + value[at:]
