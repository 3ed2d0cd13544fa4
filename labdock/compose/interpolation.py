"""``$X``, ``${X}``, ``${X:-default}``, ``${X-default}``, ``${X:?error}``, ``${X?error}``, ``${X:+other}``, ``$$``.

The Compose specification's "Interpolation": the colon makes an empty variable count as none; defaults, errors and
others may hold variables themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from labdock.compose.document import Block, Items, Where
from labdock.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
DEEPEST = 30


class Missing(InvalidRequest):
    """A variable that must be set is not."""


def substitute(
    text: str, known: Mapping[str, str], unset: Callable[[str], None] = lambda name: None, depth: int = 0
) -> str:
    """*text* with its variables replaced from *known*. Raises InvalidRequest, Missing; *unset* hears of blanks."""
    if "$" not in text:
        return text
    if depth > DEEPEST:
        raise InvalidRequest("the variables are nested too deeply")
    out: list[str] = []
    at = 0
    while (start := text.find("$", at)) >= 0:
        out.append(text[at:start])
        following = text[start + 1 : start + 2]
        if following == "$":
            out.append("$")
            at = start + 2
        elif following == "{":
            end = _closing(text, start + 2)
            out.append(_expand(text[start + 2 : end], text, known, unset, depth))
            at = end + 1
        elif found := _NAME.match(text, start + 1):
            out.append(_plain(found[0], known, unset))
            at = found.end()
        else:
            raise InvalidRequest(f"invalid interpolation format in {text!r}", hint="a dollar sign is written $$")
    return "".join(out) + text[at:]


def _closing(text: str, start: int) -> int:
    depth, at = 1, start
    while at < len(text):
        if text.startswith("$$", at):
            at += 2
            continue
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise InvalidRequest(f"invalid interpolation format in {text!r}: ${{ is not closed")


def _plain(name: str, known: Mapping[str, str], unset: Callable[[str], None]) -> str:
    if name not in known:
        unset(name)
    return known.get(name, "")


def _expand(inner: str, text: str, known: Mapping[str, str], unset: Callable[[str], None], depth: int) -> str:
    name = _NAME.match(inner)
    if not name:
        raise InvalidRequest(f"invalid interpolation format in {text!r}", hint="${NAME}; a dollar sign is written $$")
    rest = inner[name.end() :]
    if not rest:
        return _plain(name[0], known, unset)
    operator = _OPERATOR.match(rest)
    if not operator:
        raise InvalidRequest(f"invalid interpolation format in {text!r}", hint="${NAME:-default}, ${NAME:?error}")
    value = known.get(name[0])
    there = bool(value) if operator[0].startswith(":") else value is not None
    word = rest[operator.end() :]
    kind = operator[0][-1]
    if kind == "+":
        return substitute(word, known, unset, depth + 1) if there else ""
    if there:
        return value or ""
    word = substitute(word, known, unset, depth + 1)
    if kind == "?":
        raise Missing(f"required variable {name[0]} is missing a value" + (f": {word}" if word else ""))
    return word


def interpolate(value: Any, where: Where, known: Mapping[str, str], unset: Callable[[str], None]) -> Any:
    """*value* with the variables in all its texts replaced, in place; keys stay. Raises ComposeError."""
    if isinstance(value, str):
        try:
            return substitute(value, known, unset)
        except InvalidRequest as error:
            raise where.refuse(error.message, hint=error.hint) from error
    if isinstance(value, Block):
        for key in value:
            value[key] = interpolate(value[key], value.at(key, where), known, unset)
    elif isinstance(value, Items):
        for index, item in enumerate(value):
            value[index] = interpolate(item, where.below(f"[{index}]", value.lines[index]), known, unset)
    return value
