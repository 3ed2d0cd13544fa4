"""``RUN --mount=…`` and ``--device=…``: comma-separated fields to typed values, in BuildKit's words. Pure.

A flag is checked twice: when the file is parsed, as far as that goes without its variables (:func:`read_flag`),
and when the stage's variables are known (:func:`read_mount`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches

from labdock.build.dockerfile.instructions import Device, Mount, MountFlag
from labdock.build.dockerfile.source import Range, Word, refuse
from labdock.build.dockerfile.words import LexError

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARINGS = ("shared", "private", "locked")
#: Every spelling of an option, and the field it sets.
OPTIONS = {
    "type": "type",
    "from": "origin",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "read_only",
    "ro": "read_only",
    "readwrite": "read_write",
    "rw": "read_write",
    "required": "required",
    "size": "size",
    "id": "id",
    "sharing": "sharing",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "env": "env",
}
Expand = Callable[[Word], str]
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?(?:([kKmMgGtTpP])?(?:[iI]?[bB])?)\Z")
_LARGEST = (1 << 32) - 1


class BadField(ValueError):
    """A flag's value that can't be read; the text says why, in BuildKit's words."""

    def __init__(self, problem: str, wrong: str = "", known: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        near = get_close_matches(wrong.lower(), known, 1)
        self.hint = f"did you mean {near[0]}?" if near else f"it is one of: {', '.join(known)}" if known else None


def split_fields(text: str) -> list[str]:
    """The comma-separated fields of *text*; a field in double quotes may hold commas. Raises BadField."""
    if not text:
        raise BadField("EOF")
    found, at = [], 0
    while True:
        if text[at : at + 1] != '"':
            comma = text.find(",", at)
            end = comma if comma >= 0 else len(text)
            quote = text.find('"', at, end)
            if quote >= 0:
                raise BadField(f'parse error on line 1, column {quote + 1}: bare " in non-quoted field')
            found.append(text[at:end])
        else:
            value, end = _read_quoted(text, at + 1)
            found.append(value)
        if end >= len(text):
            return found
        at = end + 1


def _read_quoted(text: str, at: int) -> tuple[str, int]:
    parts = []
    while True:
        quote = text.find('"', at)
        if quote < 0:
            raise BadField(f'parse error on line 1, column {at + 1}: extraneous or missing " in quoted-field')
        parts.append(text[at:quote])
        at = quote + 1
        if text[at : at + 1] != '"':
            break
        parts.append('"')
        at += 1
    if text[at : at + 1] not in (",", ""):
        raise BadField(f'parse error on line 1, column {at}: extraneous or missing " in quoted-field')
    return "".join(parts), at


@dataclass(slots=True)
class _Reader:
    """Fills a mount field by field."""

    word: Word
    found: dict[str, object] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return str(self.found.get("type", "bind"))

    def take(self, text: str, value_of: Callable[[str], str]) -> None:
        key, equals, value = text.partition("=")
        key = key.lower()
        name = OPTIONS.get(key)
        if not equals:
            if name not in ("read_only", "read_write", "required"):
                raise BadField(f"invalid field '{text}' must be a key=value pair")
            value = "true"
        else:
            value = value_of(value)
        if name is None:
            raise BadField(f"unexpected key '{key}' in '{text}'", key, tuple(OPTIONS))
        if (name == "required" and self.type not in ("secret", "ssh")) or (name == "size" and self.type != "tmpfs"):
            raise BadField(f"unexpected key '{key}' for mount type '{self.type}'")
        read = _READERS.get(name)
        read_value: object = value if read is None else read(key, value)
        if name == "read_write":
            name, read_value = "read_only", not read_value
        self.found[name] = read_value

    def finish(self) -> Mount:
        kind, found = self.type, self.found
        if kind not in ("secret", "ssh", "cache"):
            for name in ("mode", "uid", "gid"):
                if name in found:
                    raise BadField(f'{name} not allowed for "{kind}" type mounts')
        if kind == "secret":
            if found.get("origin"):
                raise BadField("secret mount should not have a from")
            if found.get("sharing"):
                raise BadField("secret mount should not define sharing")
            if not (found.get("source") or found.get("target") or found.get("id")):
                raise BadField("invalid secret mount. one of source, target required")
            if found.get("source") and found.get("id"):
                raise BadField("both source and id can't be set")
        if kind == "ssh" and found.get("source"):
            raise BadField("ssh does not support source")
        if found.get("sharing") and kind != "cache":
            raise BadField(f"invalid cache sharing set for {kind} mount")
        found.setdefault("read_only", kind not in ("cache", "tmpfs"))
        return Mount(range=self.word.range, **found)  # type: ignore[arg-type]


def _read_choice(known: tuple[str, ...], what: str) -> Callable[[str, str], str]:
    def read(_: str, value: str) -> str:
        if value.lower() not in known:
            raise BadField(f'unsupported {what} "{value}"', value, known)
        return value.lower()

    return read


def _read_bool(key: str, value: str) -> bool:
    if value not in _TRUE + _FALSE:
        raise BadField(f"invalid value for {key}: {value}")
    return value in _TRUE


def _read_size(key: str, value: str) -> int:
    found = _SIZE.match(value)
    if found is None:
        raise BadField(f"invalid value for {key}: {value}")
    return int(float(found[1]) * 1024 ** " kmgtp".index((found[2] or " ").lower()))


def _read_number(base: int) -> Callable[[str, str], int]:
    digits = re.compile("[0-7]{1,11}" if base == 8 else "[0-9]{1,10}")

    def read(key: str, value: str) -> int:
        if not digits.fullmatch(value) or int(value, base) > _LARGEST:
            raise BadField(f"invalid value {value} for {key}")
        return int(value, base)

    return read


_READERS: dict[str, Callable[[str, str], object]] = {
    "type": _read_choice(TYPES, "mount type"),
    "sharing": _read_choice(SHARINGS, "sharing value"),
    "read_only": _read_bool,
    "read_write": _read_bool,
    "required": _read_bool,
    "size": _read_size,
    "mode": _read_number(8),
    "uid": _read_number(10),
    "gid": _read_number(10),
}


def read_flag(word: Word) -> MountFlag:
    """The ``--mount`` of a file being parsed. What needs no variables is checked. Raises DockerfileError."""
    origin = ""
    for text in _fields(word, "mounts"):
        key, _, value = text.partition("=")
        if key.lower() == "from":
            if 0 <= value.find("$") < len(value) - 1:
                problem = f"'{key.lower()}' doesn't support variable expansion, define alias stage instead"
                hint = "add a stage `FROM image:$ARG AS name` with a global ARG, and use from=name"
                raise refuse(word.range, problem, hint=hint)
            origin = value
    flag = MountFlag(word.text, word.range, origin)
    if not re.search(r"[$'\"\\`]", word.text):
        read_mount(flag, lambda value: value.text)
    return flag


def read_mount(flag: MountFlag, expand: Expand) -> Mount:
    """*flag* with its values passed through *expand* (may raise LexError, or DockerfileError of its own).

    Raises DockerfileError at the flag.
    """
    word = Word(flag.text, flag.range)
    reader = _Reader(word)
    try:
        for text in _fields(word, "mounts"):
            reader.take(text, lambda value: expand(Word(value, flag.range)))
        return reader.finish()
    except BadField as error:
        raise refuse(flag.range, str(error), hint=error.hint) from None
    except LexError as error:
        raise refuse(flag.range, str(error)) from None


def _fields(word: Word, what: str) -> list[str]:
    try:
        return split_fields(word.text)
    except BadField as error:
        raise refuse(word.range, f"failed to parse csv {what}: {error}") from None


def read_device(word: Word) -> Device:
    """A ``--device=name[,required]``. Raises DockerfileError."""
    name, required = "", False
    for text in _fields(word, "devices"):
        key, equals, value = text.partition("=")
        key = key.lower()
        if key == "required":
            required = not equals or _device_bool(word.range, key, value)
        elif equals and key == "name":
            if name:
                raise refuse(word.range, f"device name already set to {name}")
            name = value
        elif not name:
            name = text
        elif not equals:
            raise refuse(word.range, f"invalid field '{text}' must be a key=value pair")
        else:
            raise refuse(word.range, f"unexpected key '{key}' in '{text}'", hint="it is name or required")
    return Device(name, required, word.range)


def _device_bool(where: Range, key: str, value: str) -> bool:
    try:
        return _read_bool(key, value)
    except BadField as error:
        raise refuse(where, str(error)) from None
