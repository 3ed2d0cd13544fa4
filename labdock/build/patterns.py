"""Path patterns: Go's filepath.Match for COPY sources, and ``.dockerignore``'s (moby/patternmatcher). Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from labdock.build.dockerfile.source import SPACES


class BadPattern(ValueError):
    """A pattern that can't be read (Go: "syntax error in pattern")."""


def translate_glob(pattern: str) -> re.Pattern[str]:
    """filepath.Match's *pattern* as a regular expression for a whole path. Raises BadPattern."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if out[-1:] != ["[^/]*"]:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            found, at = _read_class(pattern, at)
            out.append(found)
        elif char == "\\":
            if at == len(pattern):
                raise BadPattern(f"syntax error in pattern: {pattern}")
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out) + r"\Z", re.DOTALL)


def _read_class(pattern: str, at: int) -> tuple[str, int]:
    negated = pattern[at : at + 1] == "^"
    at += int(negated)
    ranges: list[str] = []
    while not (pattern[at : at + 1] == "]" and ranges):
        low, at = _class_char(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _class_char(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    body = "".join(ranges)
    if not body:
        return (r"[^/]" if negated else r"(?!)"), at + 1
    # Go's class may match a slash only when it is listed, and Match never crosses one with [^…].
    return (rf"(?!/)[^{body}]" if negated else f"[{body}]"), at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in ("", "-", "]"):
        raise BadPattern(f"syntax error in pattern: {pattern}")
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
        if not char:
            raise BadPattern(f"syntax error in pattern: {pattern}")
    return char, at + 1


def has_wildcard(pattern: str) -> bool:
    """Whether *pattern* has an unescaped ``*``, ``?`` or ``[``."""
    return re.search(r"[*?\[]", re.sub(r"\\.", "", pattern, flags=re.DOTALL)) is not None


@dataclass(slots=True)
class _Pattern:
    text: str
    excepted: bool
    kind: str = "exact"
    regex: re.Pattern[str] | None = None

    def matches(self, path: str) -> bool:
        if self.kind == "exact":
            return path == self.text
        if self.kind == "prefix":
            return path.startswith(self.text[:-2])
        if self.kind == "suffix":
            suffix = self.text[2:]
            return path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
        assert self.regex is not None
        return self.regex.match(path) is not None


class PathMatcher:
    """An ordered list of patterns, ``!`` taking back. A path is matched by itself or through a folder above it."""

    def __init__(self, patterns: list[str]) -> None:
        """Raises BadPattern."""
        self._patterns: list[_Pattern] = []
        for text in patterns:
            text = text.strip(SPACES)
            if not text:
                continue
            text = posixpath.normpath(text)
            if text.startswith("//"):
                text = text[1:]
            excepted = text.startswith("!")
            if excepted and len(text) == 1:
                raise BadPattern('illegal exclusion pattern: "!"')
            text = text[1:] if excepted else text
            translate_glob(text)
            self._patterns.append(_compile(text, excepted))
        self.texts = frozenset(pattern.text for pattern in self._patterns if not pattern.excepted)
        self.has_exceptions = any(pattern.excepted for pattern in self._patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, path: str) -> bool:
        """Whether *path* (relative, clean, "/" between names) is matched in the end."""
        parts = path.split("/")
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        matched = False
        for pattern in self._patterns:
            if pattern.excepted == matched and any(pattern.matches(prefix) for prefix in reversed(prefixes)):
                matched = not pattern.excepted
        return matched

    def descend(self, path: str, above: tuple[bool, ...] = ()) -> tuple[bool, tuple[bool, ...]]:
        """As :meth:`matches`, with what was found for the folder above; gives that for *path*, too.

        patternmatcher's MatchesUsingParentResults, whose results differ from :meth:`matches` in nothing.
        """
        matched, own = False, []
        for index, pattern in enumerate(self._patterns):
            found = bool(above) and above[index]
            if not found and pattern.excepted == matched:
                found = pattern.matches(path)
            own.append(found)
            if found:
                matched = not pattern.excepted
        return matched, tuple(own)


def _compile(text: str, excepted: bool) -> _Pattern:
    regex, kind, at = "", "exact", 0
    while at < len(text):
        first = at == 0
        char = text[at]
        at += 1
        if char == "*" and text[at : at + 1] == "*":
            at += 1
            if text[at : at + 1] == "/":
                at += 1
            if at == len(text):
                kind, regex = ("prefix", regex) if kind == "exact" else ("regex", regex + ".*")
            else:
                # The same twice over is the same once, and would only cost time.
                regex, kind = (regex if regex.endswith("(?:.*/)?") else regex + "(?:.*/)?"), "regex"
            if first:
                kind = "suffix"
        elif char == "*":
            regex, kind = (regex if regex.endswith("[^/]*") else regex + "[^/]*"), "regex"
        elif char == "?":
            regex, kind = regex + "[^/]", "regex"
        elif char == "\\" and at < len(text):
            regex, kind = regex + re.escape(text[at]), "regex"
            at += 1
        elif char == "[":
            found, at = _read_class(text, at)
            regex, kind = regex + found.removeprefix("(?!/)"), "regex"
        elif char == "]":
            regex, kind = regex + r"\]", "regex"
        else:
            regex += re.escape(char)
    compiled = re.compile(regex + r"\Z", re.DOTALL) if kind == "regex" else None
    return _Pattern(text, excepted, kind, compiled)


def read_ignore_file(data: bytes) -> list[str]:
    """The patterns of a ``.dockerignore``: BOM and comment lines dropped, cleaned, no leading slash."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    found = []
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        line = line.strip(SPACES)
        if not line:
            continue
        excepted = line.startswith("!")
        if excepted:
            line = line[1:].strip(SPACES)
        if line:
            line = posixpath.normpath(line)
            line = line.lstrip("/") or "/"
        found.append("!" + line if excepted else line)
    return found
