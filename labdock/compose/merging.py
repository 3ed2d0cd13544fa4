"""A later file over an earlier one, by the specification's rules ("Merge"), on canonical forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labdock.compose.document import Block, Items, Reset

#: Lists that a later file replaces rather than continues.
REPLACED = {"command", "entrypoint", "test"}


def _port(item: Any) -> Any:
    return tuple(item.get(key) for key in ("host_ip", "target", "published", "protocol"))


def _target(item: Any) -> Any:
    return item.get("target") or item.get("source")


def _device(item: Any) -> Any:
    return [*item.split(":"), item][1]


#: What makes two items of a list the same thing: the later one counts.
IDENTITY: dict[str, Callable[[Any], Any]] = {
    "ports": _port,
    "volumes": _target,
    "secrets": _target,
    "configs": _target,
    "devices": _device,
    "env_file": lambda item: item["path"],
}


def merge(base: Block, over: Block, keys: tuple[str, ...] = ()) -> Block:
    """*over* merged over *base*, as a new mapping; neither is changed."""
    merged = Block(base.file, base.line)
    for key, value in base.items():
        merged.put(key, value, base.places.get(key, (base.file, base.line)))
    for key, value in over.items():
        place = over.places.get(key, (over.file, over.line))
        if isinstance(value, Reset):
            merged.pop(key, None)
            continue
        if key in merged and key not in over.replacing:
            value = _merged(key, merged[key], value, keys)
        merged.put(key, value, place)
    return merged


def _merged(key: str, before: Any, value: Any, keys: tuple[str, ...]) -> Any:
    if (
        key == "logging"
        and isinstance(value, Block)
        and value.get("driver", before.get("driver")) != before.get("driver", value.get("driver"))
    ):
        return value  # Another driver's options mean nothing to this one.
    if isinstance(before, Block) and isinstance(value, Block):
        return merge(before, value, (*keys, key))
    if isinstance(before, list) and isinstance(value, list) and key not in REPLACED:
        return _joined(before, value, IDENTITY.get(key, lambda item: item))
    return value


def _joined(before: list[Any], after: list[Any], identity: Callable[[Any], Any]) -> Items:
    """*before* continued by *after*; the same thing once, at its first place, as *after* has it."""
    found: dict[Any, tuple[Any, int]] = {}
    for part in (before, after):
        lines = getattr(part, "lines", None) or [0] * len(part)
        for item, line in zip(part, lines, strict=False):
            key = identity(item)
            found[repr(key) if isinstance(key, dict | list) else key] = (item, line)
    items = Items()
    items += [item for item, _ in found.values()]
    items.lines += [line for _, line in found.values()]
    return items


def without_resets(block: Block) -> Block:
    """*block* without what is still marked as forgotten, below it too."""
    found = Block(block.file, block.line)
    for key, value in block.items():
        if not isinstance(value, Reset):
            inner = without_resets(value) if isinstance(value, Block) else value
            found.put(key, inner, block.places.get(key, (block.file, block.line)))
    return found
