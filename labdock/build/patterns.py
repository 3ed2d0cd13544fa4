"""Path patterns: Go's filepath.Match for COPY sources, and ``.dockerignore``'s (moby/patternmatcher). Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from labdock.build.dockerfile.source import SPACES
from labdock.build.wildcards import ANYTHING, GAP, STAR, Matcher, make

_ANY = ("class", "[^/]")
#: So many regular expressions are put into one.
_TOGETHER = 100


class BadPattern(ValueError):
    """A pattern that can't be read (Go: "syntax error in pattern")."""


def translate_glob(pattern: str) -> Matcher:
    """filepath.Match's *pattern* as a matcher of a whole path. Raises BadPattern."""
    parts: list[tuple[str, str]] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if parts[-1:] != [(STAR, "")]:
                parts.append((STAR, ""))
        elif char == "?":
            parts.append(_ANY)
        elif char == "[":
            found, at = _read_class(pattern, at)
            parts.append(("class", found))
        elif char == "\\":
            if at == len(pattern):
                raise BadPattern(f"syntax error in pattern: {pattern}")
            parts.append(("char", pattern[at]))
            at += 1
        else:
            parts.append(("char", char))
    return make(parts)


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
    matcher: Matcher | None = None


class _Group:
    """Patterns in a row that all leave out, or all take back: which of them matches does not matter.

    However many there are without wildcards, they cost one look into a set.
    """

    def __init__(self, patterns: list[_Pattern]) -> None:
        self.excepted = patterns[0].excepted
        self._exact = {one.text for one in patterns if one.kind == "exact"}
        self._prefixes = tuple(one.text[:-2] for one in patterns if one.kind == "prefix")
        suffixes = [one.text[2:] for one in patterns if one.kind == "suffix"]
        self._suffixes = tuple(suffixes)
        self._exact |= {suffix[1:] for suffix in suffixes if suffix.startswith("/")}
        matchers = [one.matcher for one in patterns if one.matcher is not None]
        simple = [one for one in matchers if isinstance(one, re.Pattern)]
        self._matchers: list[Matcher] = [one for one in matchers if not isinstance(one, re.Pattern)]
        for at in range(0, len(simple), _TOGETHER):
            expressions = [f"(?:{one.pattern})" for one in simple[at : at + _TOGETHER]]
            self._matchers.append(re.compile("|".join(expressions), re.DOTALL))

    def matches(self, path: str) -> bool:
        if path in self._exact or path.startswith(self._prefixes) or path.endswith(self._suffixes):
            return True
        return any(matcher.match(path) is not None for matcher in self._matchers)


def _group(patterns: list[_Pattern]) -> list[_Group]:
    runs: list[list[_Pattern]] = []
    for pattern in patterns:
        if runs and runs[-1][0].excepted == pattern.excepted:
            runs[-1].append(pattern)
        else:
            runs.append([pattern])
    return [_Group(run) for run in runs]


class PathMatcher:
    """An ordered list of patterns, ``!`` taking back. A path is matched by itself or through a folder above it."""

    def __init__(self, patterns: list[str]) -> None:
        """Raises BadPattern."""
        compiled: list[_Pattern] = []
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
            compiled.append(_compile(text, excepted))
        self.texts = frozenset(pattern.text for pattern in compiled if not pattern.excepted)
        self.has_exceptions = any(pattern.excepted for pattern in compiled)
        self._groups = _group(compiled)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def matches(self, path: str) -> bool:
        """Whether *path* (relative, clean, "/" between names) is matched in the end (MatchesOrParentMatches)."""
        parts = path.split("/")
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        matched = False
        for group in self._groups:
            if group.excepted == matched and any(group.matches(prefix) for prefix in reversed(prefixes)):
                matched = not group.excepted
        return matched

    def descend(self, path: str, above: tuple[bool, ...] = ()) -> tuple[bool, tuple[bool, ...]]:
        """Whether *path* is matched, with what was found for the folder above; gives that for *path*, too.

        quirk: patternmatcher's MatchesUsingParentResults, which walks of a context use. A pattern that had nothing to
        change for the folder was not looked at, so ``["a/b", "!a"]`` leaves ``a/b/c`` out here and keeps it in
        :meth:`matches`.
        """
        matched, own = False, []
        for index, group in enumerate(self._groups):
            found = bool(above) and above[index]
            if not found and group.excepted == matched:
                found = group.matches(path)
            own.append(found)
            if found:
                matched = not group.excepted
        return matched, tuple(own)


def _compile(text: str, excepted: bool) -> _Pattern:
    parts: list[tuple[str, str]] = []
    kind, at = "exact", 0
    while at < len(text):
        first = at == 0
        char = text[at]
        at += 1
        if char == "*" and text[at : at + 1] == "*":
            at += 1
            if text[at : at + 1] == "/":
                at += 1
            wildcard = (ANYTHING if at == len(text) else GAP, "")
            # The same twice over is the same once, and would only cost time.
            parts += [wildcard] if parts[-1:] != [wildcard] else []
            kind = "suffix" if first else "prefix" if at == len(text) and kind == "exact" else "parts"
        elif char == "*":
            parts += [(STAR, "")] if parts[-1:] != [(STAR, "")] else []
            kind = "parts"
        elif char == "?":
            parts, kind = [*parts, _ANY], "parts"
        elif char == "\\" and at < len(text):
            parts.append(("char", text[at]))
            kind = "parts"
            at += 1
        elif char == "[":
            found, at = _read_class(text, at)
            parts.append(("class", found.removeprefix("(?!/)")))
            kind = "parts"
        else:
            kind = "parts" if char == "]" else kind
            parts.append(("char", char))
    return _Pattern(text, excepted, kind, make(parts) if kind == "parts" else None)


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
