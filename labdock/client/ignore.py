"""Which files of a build context stay behind: ``.dockerignore``, with moby/patternmatcher's meaning.

The last pattern that matches a path or one of its parent folders decides; ``!`` takes back. ``*`` and ``?``
stop at a slash, ``**`` does not. Pure: works on relative slash-separated paths.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from labdock.errors import InvalidRequest

_LITERAL = frozenset(".+()|{}$")


@dataclass(frozen=True, slots=True)
class Pattern:
    text: str
    excepts: bool
    regex: re.Pattern[str]


def read_patterns(text: str) -> list[str]:
    """The patterns of a ``.dockerignore``, cleaned as moby's ignorefile package does."""
    found: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        excepts = pattern.startswith("!")
        if excepts:
            pattern = pattern[1:].strip()
        if pattern:
            pattern = _clean(pattern)
            if len(pattern) > 1 and pattern[0] == "/":
                pattern = pattern[1:]
        found.append(f"!{pattern}" if excepts else pattern)
    return found


def _clean(pattern: str) -> str:
    """Go's filepath.Clean: as normpath, but two leading slashes become one."""
    cleaned = posixpath.normpath(pattern)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _regex(pattern: str) -> str:
    out: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            if pattern[index : index + 1] != "*":
                out.append("[^/]*")
                continue
            index += 1
            if pattern[index : index + 1] == "/":
                index += 1
            out.append(".*" if index >= len(pattern) else "(.*/)?")
        elif char == "?":
            out.append("[^/]")
        elif char in _LITERAL:
            out.append("\\" + char)
        elif char == "\\":
            following = pattern[index : index + 1]
            out.append(re.escape(following) if following else r"\\")
            index += 1
        else:
            out.append(char)
    return "".join(out)


def compile_pattern(text: str) -> Pattern:
    """Raises InvalidRequest for a pattern that can't be one (``[a``, a lone ``!``)."""
    excepts = text.startswith("!")
    body = text[1:] if excepts else text
    if excepts and not body:
        raise InvalidRequest('illegal exclusion pattern: "!"', hint="say in .dockerignore what to keep: !PATTERN")
    try:
        return Pattern(text, excepts, re.compile(_regex(body) + r"\Z", re.DOTALL))
    except re.error as error:
        raise InvalidRequest(f"syntax error in the .dockerignore pattern {text!r}: {error}") from error


class Matcher:
    """What the patterns leave out."""

    def __init__(self, patterns: list[str]) -> None:
        self.patterns = tuple(compile_pattern(pattern.strip()) for pattern in patterns if pattern.strip())
        self._takes_back = any(pattern.excepts for pattern in self.patterns)

    def ignores(self, path: str) -> bool:
        """Whether *path* (relative, slashes) stays behind."""
        parts = path.split("/")
        candidates = [path] + ["/".join(parts[: end + 1]) for end in range(len(parts) - 1)]
        ignored = False
        for pattern in self.patterns:
            if pattern.excepts == ignored and any(pattern.regex.match(candidate) for candidate in candidates):
                ignored = not pattern.excepts
        return ignored

    def may_keep_below(self, folder: str) -> bool:
        """Whether something below an ignored *folder* could be taken back (else it need not be walked)."""
        return self._takes_back and any(
            pattern.excepts and (_has_wildcard(pattern.text) or f"{pattern.text[1:]}/".startswith(f"{folder}/"))
            for pattern in self.patterns
        )


def _has_wildcard(text: str) -> bool:
    return any(char in text for char in "*?[\\")
