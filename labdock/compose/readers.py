"""Readers: each takes a value as a file has it, says what is wrong with it or gives its one canonical form."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from labdock.compose.document import Block, Items, Reset, Where

Reader = Callable[[Any, Where], Any]

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?\Z", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
_UNITS |= {"m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
NAME = re.compile(r"[a-zA-Z0-9._-]+\Z")


def kind_of(value: Any) -> str:
    """What *value* is, in words."""
    if value is None:
        return "nothing"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a mapping" if isinstance(value, dict) else "a list")


def wrong(value: Any, where: Where, expected: str, hint: str | None = None) -> Exception:
    shown = f" {value!r}" if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return where.refuse(f"{expected} is expected, not {kind_of(value)}{shown}", hint=hint)


def text(value: Any, where: Where) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if not isinstance(value, str):
        raise wrong(value, where, "a text")
    return value


def integer(value: Any, where: Where) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(value, where, "a number")
    return value


def flag(value: Any, where: Where) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off", "y", "n"):
        return value.lower() in ("true", "yes", "on", "y")
    if not isinstance(value, bool):
        raise wrong(value, where, "true or false")
    return value


def number(value: Any, where: Where) -> str:
    """A decimal number, as a text: floats lose digits."""
    found = text(value, where)
    try:
        Fraction(found)
    except (ValueError, ZeroDivisionError):
        raise wrong(value, where, "a number") from None
    return found


def size(value: Any, where: Where) -> int:
    """Bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if not found:
        if value == "-1":
            return -1
        raise wrong(value, where, "a size", hint="a number with b, k, m, g or t, such as 512m")
    return int(Fraction(found[1]) * 1024 ** "bkmgtp".index(found[2].lower() or "b"))


def duration(value: Any, where: Where) -> str:
    """As written, once it is known to be one; see :func:`nanoseconds`."""
    found = text(value, where)
    if found != "0" and not re.fullmatch(f"({_DURATION.pattern})+", found):
        raise wrong(value, where, "a duration", hint="a number and a unit: 300ms, 5s, 1m30s")
    return found


def nanoseconds(text: str | None) -> int:
    parts = _DURATION.findall(text or "")
    return int(sum(Fraction(amount.strip(".") or "0") * _UNITS[unit] for amount, unit in parts))


def choice(*words: str) -> Reader:
    def read(value: Any, where: Where) -> str:
        found = text(value, where)
        if found not in words:
            raise where.refuse(f"{found!r} is none of {', '.join(words)}", hint=near(found, words))
        return found

    return read


def near(word: str, known: Any) -> str | None:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def each(reader: Reader, *, one: bool = False, unique: bool = False) -> Reader:
    """A list; *one*: a single value is a list of one."""

    def read(value: Any, where: Where) -> Items:
        if one and not isinstance(value, list | dict) and value is not None:
            value = _listed(value, where)
        if not isinstance(value, list):
            raise wrong(value, where, "a list")
        found = Items()
        lines = getattr(value, "lines", [where.line] * len(value))
        for index, item in enumerate(value):
            made = reader(item, where.below(f"[{index}]", lines[index]))
            for part in made if isinstance(made, Several) else (made,):
                if not unique or part not in found:
                    found.append(part)
                    found.lines.append(lines[index])
        return found

    return read


class Several(list[Any]):
    """What one item of a list stands for when that is more than one: a range of ports."""


def _listed(value: Any, where: Where) -> Items:
    items = Items()
    items.append(value)
    items.lines.append(where.line)
    return items


def words(value: Any, where: Where) -> list[str] | None:
    """A command: a list, or a line that is split as a shell would."""
    if value is None:
        return None
    if isinstance(value, list):
        return list(each(text)(value, where))
    try:
        return shlex.split(text(value, where))
    except ValueError as error:
        raise where.refuse(f"the line can't be split into words: {error}") from error


def pairs(separators: str = "=", *, bare: bool = True) -> Reader:
    """``{NAME: VALUE}`` from a mapping or from ``NAME=VALUE`` lines; None for a name alone (*bare*)."""

    def read(value: Any, where: Where) -> Block:
        found = Block(where.file, where.line)
        if isinstance(value, Block):
            for key, inner in value.items():
                at = value.at(key, where)
                kept = inner is None or isinstance(inner, Reset)
                found.put(key, inner if kept else text(inner, at), (at.file, at.line))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                at = where.below(f"[{index}]", getattr(value, "lines", {index: where.line})[index])
                line = text(item, at)
                cut = min((line.find(c) for c in separators if c in line), default=-1)
                name, rest = (line, None) if cut < 0 else (line[:cut], line[cut + 1 :])
                if not name or (rest is None and not bare):
                    raise wrong(line, at, f"NAME{separators[0]}VALUE")
                found.put(name, rest, (at.file, at.line))
        elif value is not None:
            raise wrong(value, where, "a mapping or a list of NAME=VALUE")
        return found

    return read


def strings(value: Any, where: Where) -> Block:
    """As :func:`pairs`; a name alone has the empty text (labels)."""
    found: Block = pairs()(value, where)
    for key in found:
        found[key] = found[key] or ""
    return found


def table(reader: Reader, what: str = "name", *, empty: bool = False) -> Reader:
    """A mapping from names to what *reader* reads; *empty*: a name may stand alone."""

    def read(value: Any, where: Where) -> Block:
        if value is None and empty:
            return Block(where.file, where.line)
        if not isinstance(value, Block):
            raise wrong(value, where, "a mapping")
        found = Block(where.file, where.line)
        found.replacing = value.replacing
        for key, inner in value.items():
            at = value.at(key, where)
            if key.startswith("x-") and len(where.keys) < 2:
                continue
            if not NAME.match(key):
                raise at.refuse(f"{key!r} is no {what}: letters, digits, '.', '_' and '-' only")
            found.put(key, inner if isinstance(inner, Reset) else reader(inner, at), (at.file, at.line))
        return found

    return read


def fields(known: Mapping[str, Reader], required: tuple[str, ...] = ()) -> Reader:
    """A mapping with *known* keys; ``x-`` keys are left out, others refused with the nearest known one."""

    def read(value: Any, where: Where) -> Block:
        if not isinstance(value, Block):
            raise wrong(value, where, "a mapping")
        found = Block(where.file, where.line)
        found.replacing = value.replacing
        for key, inner in value.items():
            at = value.at(key, where)
            if key.startswith("x-"):
                continue
            if key not in known:
                raise at.refuse("unknown key", hint=near(key, known) or "keys of your own begin with x-")
            if isinstance(inner, Reset):
                found.put(key, inner, (at.file, at.line))
            elif inner is not None or known[key] in TAKES_NOTHING:
                found.put(key, known[key](inner, at), (at.file, at.line))
        for key in required:
            if key not in found:
                raise where.refuse(f"{key!r} is missing")
        return found

    return read


#: Readers for which a key without a value says something.
TAKES_NOTHING: set[Reader] = {words}
