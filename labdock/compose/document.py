"""YAML with the place of every value: what a message points at.

Scalars follow YAML 1.2's core schema, as Compose reads them: ``no`` and ``on`` are texts, ``0444`` is octal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labdock.errors import InvalidRequest

#: Values that one file may have once its aliases are written out.
MOST_VALUES = 100_000
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z|0o?[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")


class ComposeError(InvalidRequest):
    """A Compose file that can't be taken; the message begins with file, line and key."""

    exit_code = 14


@dataclass(frozen=True, slots=True)
class Where:
    """A place: file, line (from 1) and the keys down to it; *base* is the folder that paths start from."""

    file: str
    line: int
    keys: tuple[str, ...] = ()
    base: Path = Path()

    def below(self, key: object, line: int | None = None) -> Where:
        return Where(self.file, self.line if line is None else line, (*self.keys, str(key)), self.base)

    def __str__(self) -> str:
        key = ".".join(self.keys).replace(".[", "[")
        return f"{self.file}:{self.line}: {key}" if key else f"{self.file}:{self.line}"

    def refuse(self, why: str, hint: str | None = None) -> ComposeError:
        return ComposeError(f"{self}: {why}", hint=hint)


class Reset:
    """``!reset``: what an earlier file says here is forgotten."""


class Block(dict[str, Any]):
    """A mapping; ``places`` has file and line of each key, ``replacing`` the keys with !override."""

    def __init__(self, file: str = "", line: int = 0) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.places: dict[str, tuple[str, int]] = {}
        self.replacing: set[str] = set()

    def at(self, key: str, where: Where) -> Where:
        """The place of *key*, *where* being the block's own."""
        file, line = self.places.get(key, (where.file, where.line))
        return Where(file, line, (*where.keys, key), where.base)

    def __or__(self, other: dict[str, Any]) -> Block:  # type: ignore[override]
        """This with *other*'s members over it."""
        found = Block(self.file, self.line)
        found.update(self)
        found.update(other)
        found.places = self.places | getattr(other, "places", {})
        return found

    def put(self, key: str, value: Any, place: tuple[str, int]) -> None:
        self[key] = value
        self.places[key] = place


class Items(list[Any]):
    """A sequence; ``lines`` has the line of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


def parse(text: str, file: str) -> Block:
    """The mapping that *text* is. Raises ComposeError naming *file* and the line."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise Where(file, line).refuse(f"{error.problem or error}") from error
    except yaml.YAMLError as error:
        raise Where(file, 1).refuse(f"this is no YAML: {error}") from error
    except RecursionError as error:
        raise Where(file, 1).refuse("it is nested too deeply") from error
    if node is None:
        return Block(file, 1)
    found = _Reader(file).read(node, ())
    if not isinstance(found, Block):
        raise Where(file, 1).refuse("a Compose file is a mapping", hint="services:\n  web:\n    image: nginx")
    return found


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._left = MOST_VALUES

    def read(self, node: Any, above: tuple[int, ...]) -> Any:
        where = Where(self._file, node.start_mark.line + 1)
        self._left -= 1
        if self._left < 0:
            raise where.refuse("the file has too many values once its aliases are written out")
        if id(node) in above:
            raise where.refuse("an anchor holds an alias of itself")
        if len(above) > 60:
            raise where.refuse("it is nested too deeply")
        if node.tag == "!reset":
            return Reset()
        if isinstance(node, yaml.MappingNode):
            return self._block(node, (*above, id(node)), where)
        if isinstance(node, yaml.SequenceNode):
            items = Items()
            for child in node.value:
                items.append(self.read(child, (*above, id(node))))
                items.lines.append(child.start_mark.line + 1)
            return items
        return scalar(node.value, plain=node.style is None)

    def _block(self, node: Any, above: tuple[int, ...], where: Where) -> Block:
        block = Block(self._file, where.line)
        merged: list[Any] = []
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += child.value if isinstance(child, yaml.SequenceNode) else [child]
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise Where(self._file, line).refuse("a key is a text")
            key = key_node.value
            if key in block:
                raise Where(self._file, line).refuse(f"key {key!r} is already defined at line {block.places[key][1]}")
            block.put(key, self.read(child, above), (self._file, line))
            if child.tag == "!override":
                block.replacing.add(key)
        for source in merged:
            found = self.read(source, above)
            if not isinstance(found, Block):
                raise where.refuse("<< takes mappings", hint="<<: *name, or <<: [*one, *two]")
            for key, value in found.items():
                if key not in block:
                    block.put(key, value, found.places[key])
        return block


def scalar(text: str, *, plain: bool = True) -> Any:
    """The value of a scalar: quoted ones are texts."""
    if not plain:
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INTEGER.match(text):
        if text.lower().startswith("0x"):
            return int(text, 16)
        return int(text.replace("o", ""), 8) if text.startswith("0") and len(text) > 1 else int(text)
    return float(text) if _FLOAT.match(text) and any(c in text for c in ".eE") else text
