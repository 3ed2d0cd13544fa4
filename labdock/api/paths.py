"""Finding the row for a path: a tree of path segments per method, no regular expressions. Pure.

Patterns: ``/containers/{id}/start``; ``{name...}`` takes one or more segments (image names have slashes), and the
rest of the pattern is matched from the path's end. A literal wins over ``{x}``, that over ``{x...}``.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("greedy", "literals", "single", "value")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.single: tuple[str, _Node[T]] | None = None
        self.greedy: tuple[str, _Node[T]] | None = None
        self.value: T | None = None


class PathTree(Generic[T]):
    """(method, path) → (value, the path's named parts)."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node[T]] = {}

    def add(self, method: str, pattern: str, value: T) -> None:
        """ValueError when the place is taken, or its parts are named otherwise elsewhere."""
        node = self._roots.setdefault(method, _Node())
        for part in _segments(pattern):
            if part.startswith("{"):
                many = part.endswith("...}")
                name = part[1:-4] if many else part[1:-1]
                place = node.greedy if many else node.single
                if place is None:
                    place = (name, _Node())
                    if many:
                        node.greedy = place
                    else:
                        node.single = place
                if place[0] != name:
                    raise ValueError(f"{pattern}: {{{name}}} is called {{{place[0]}}} in another pattern")
                node = place[1]
            else:
                node = node.literals.setdefault(part, _Node())
        if node.value is not None:
            raise ValueError(f"two rows for {method} {pattern}")
        node.value = value

    def find(self, method: str, segments: list[str]) -> tuple[T, dict[str, str]] | None:
        root = self._roots.get(method)
        if root is None:
            return None
        parts: dict[str, str] = {}
        value = _find(root, segments, 0, parts)
        return None if value is None else (value, parts)


def _segments(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _find(node: _Node[T], segments: list[str], at: int, parts: dict[str, str]) -> T | None:
    if at == len(segments):
        return node.value
    child = node.literals.get(segments[at])
    if child is not None:
        value = _find(child, segments, at + 1, parts)
        if value is not None:
            return value
    if node.single is not None:
        name, child = node.single
        value = _find(child, segments, at + 1, parts)
        if value is not None:
            parts[name] = segments[at]
            return value
    if node.greedy is not None:
        name, child = node.greedy
        for end in range(len(segments), at, -1):  # the longest name first: `a/json/json` is the image `a/json`
            value = _find(child, segments, end, parts)
            if value is not None:
                parts[name] = "/".join(segments[at:end])
                return value
    return None
