"""In which order services start: dependencies first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labdock.errors import InvalidRequest


def order(needs: Mapping[str, Iterable[str]], wanted: Iterable[str] | None = None) -> list[str]:
    """The services of *needs* (those of *wanted* and what they need), each after all it needs, names sorted.

    Raises InvalidRequest with the way round a cycle.
    """
    done: list[str] = []
    above: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in above:
            raise InvalidRequest("dependency cycle: " + " -> ".join([*above[above.index(name) :], name]))
        above.append(name)
        for other in sorted(needs.get(name, ())):
            visit(other)
        above.pop()
        done.append(name)

    for name in sorted(needs if wanted is None else wanted):
        visit(name)
    return done
