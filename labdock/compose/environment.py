"""``.env`` and env_file: lines of ``NAME=VALUE``, quoted or not, with variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from labdock.compose.document import Where
from labdock.compose.interpolation import substitute
from labdock.errors import InvalidRequest

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:[=:]\s*|\s*\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def read(path: Path, known: Mapping[str, str]) -> dict[str, str | None]:
    """The file's variables; None for a name alone. *known* counts before the file's own. Raises ComposeError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidRequest(f"env file {path}: {reason}") from error
    return parse(text, str(path), known)


def parse(text: str, file: str, known: Mapping[str, str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line, where = lines[number], Where(file, number + 1)
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        head = _LINE.match(line)
        if not head:
            raise where.refuse(f"unexpected {line.strip()[:40]!r}", hint="a line is NAME=VALUE")
        if "=" not in head[0] and ":" not in head[0]:
            found[head[1]] = None
            continue
        rest = line[head.end() :]
        quote = rest[:1] if rest[:1] in ("'", '"') else ""
        if quote:
            while (end := _end_of(rest, quote)) < 0:
                if number == len(lines):
                    raise where.refuse(f"the quoted value of {head[1]} does not end")
                rest += "\n" + lines[number]
                number += 1
            value = rest[1:end]
        else:
            value = re.split(r"\s#", rest, maxsplit=1)[0].strip()
        if quote == '"':
            value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), value, flags=re.DOTALL)
        if quote != "'":
            seen = {name: text or "" for name, text in found.items()} | dict(known)
            try:
                value = substitute(value, seen)
            except InvalidRequest as error:
                raise where.refuse(error.message, hint=error.hint) from error
        found[head[1]] = value
    return found


def _end_of(text: str, quote: str) -> int:
    at = 1
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 1
        elif text[at] == quote:
            return at
        at += 1
    return -1
