"""Physical lines to logical ones: directives, comments, continuations, heredoc bodies. Pure, one pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from labdock.build.dockerfile.source import SPACES, LogicalLine, Range, refuse

#: BuildKit's limit for one physical line, its end included (bufio.MaxScanTokenSize - 1).
LONGEST_LINE = 65535
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)\Z")
_KNOWN = ("syntax", "escape", "check")


@dataclass(frozen=True, slots=True)
class Directive:
    """A parser directive at the top of the file: ``# syntax=``, ``# escape=`` or ``# check=``."""

    name: str
    value: str
    line: int


@dataclass(slots=True)
class LineReader:
    """Reads *text* line by line. ``escape``, ``directives``, ``empty_continuations`` (the first blank line
    among a logical line's continuations, by where that begins) fill as it goes."""

    text: str
    escape: str = "\\"
    directives: list[Directive] = field(default_factory=list)
    empty_continuations: dict[int, Range] = field(default_factory=dict)
    _lines: list[str] = field(default_factory=list)
    _next: int = 0
    _at_top: bool = True

    def __post_init__(self) -> None:
        text = self.text[1:] if self.text.startswith("\ufeff") else self.text
        self._lines = text.split("\n")
        ends = [line + "\n" for line in self._lines[:-1]]
        self._lines = ends + ([self._lines[-1]] if self._lines[-1] else [])

    @property
    def line(self) -> int:
        """Number of the line last read."""
        return self._next

    def here(self) -> Range:
        """The line last read, whole."""
        if not self._next:
            return Range(1, 0, 1, 0)
        return Range(self._next, 0, self._next, len(self._lines[self._next - 1].rstrip("\r\n")))

    def _take(self) -> str | None:
        if self._next >= len(self._lines):
            return None
        found = self._lines[self._next]
        self._next += 1
        if len(found) > LONGEST_LINE // 4 and len(found.encode()) > LONGEST_LINE:
            raise refuse(self.here(), f"dockerfile line greater than max allowed size of {LONGEST_LINE}")
        return found

    def next(self) -> tuple[LogicalLine, tuple[str, ...]] | None:
        """The next logical line and the comments right above it; None at the end. Blank lines are skipped."""
        comments: list[str] = []
        while (physical := self._take()) is not None:
            line = physical.rstrip("\r\n")
            text = line.lstrip(SPACES)
            if self._at_top:
                self._at_top = self._read_directive(text)
                if self._at_top:
                    continue
            if text.startswith("#"):
                comment = text[1:].strip(SPACES)
                if comment:
                    comments.append(comment)
                else:
                    comments.clear()
            elif text:
                joined = self._join(text, len(line) - len(text))
                if joined.text.strip(SPACES):
                    return joined, tuple(comments)
        return None

    def _read_directive(self, text: str) -> bool:
        found = _DIRECTIVE.match(text.rstrip(SPACES))
        name = found[1].lower() if found else ""
        if found is None or name not in _KNOWN:
            return False
        if any(other.name == name for other in self.directives):
            raise refuse(self.here(), f"only one {name} parser directive can be used")
        if name == "escape":
            if found[2] not in ("\\", "`"):
                raise refuse(self.here(), f"invalid escape token '{found[2]}' does not match ` or \\")
            self.escape = found[2]
        self.directives.append(Directive(name, found[2], self._next))
        return True

    def _continues(self, text: str) -> int | None:
        """Where the escape character of a continued line stands; None when the line ends here."""
        bare = text.rstrip(" \t")
        if not bare.endswith(self.escape) or bare[-2:-1] == self.escape:
            return None
        return len(bare) - 1

    def _join(self, text: str, column: int) -> LogicalLine:
        parts, starts, places, length = [], [0], [(self._next, column)], 0
        while (cut := self._continues(text)) is not None:
            parts.append(text[:cut])
            length += cut
            following = self._continuation(places[0][0])
            if following is None:
                break
            text = following
            starts.append(length)
            places.append((self._next, 0))
        else:
            parts.append(text)
        return LogicalLine("".join(parts), tuple(starts), tuple(places), self._next)

    def _continuation(self, first: int) -> str | None:
        while (physical := self._take()) is not None:
            line = physical.rstrip("\r\n")
            bare = line.lstrip(SPACES)
            if bare.startswith("#"):
                continue
            if not bare:
                self.empty_continuations.setdefault(first, self.here())
                continue
            return line
        return None

    def heredoc(self, name: str, chomp: bool, opened: Range) -> str:
        """The body of heredoc *name*, line ends kept. Raises DockerfileError when its end mark is missing."""
        body: list[str] = []
        while (physical := self._take()) is not None:
            line = physical.rstrip("\r\n")
            if (line.lstrip("\t") if chomp else line) == name:
                return "".join(body)
            body.append(physical)
        raise refuse(
            opened, "unterminated heredoc", hint=f"end it with a line that holds only {name}" if name else None
        )
