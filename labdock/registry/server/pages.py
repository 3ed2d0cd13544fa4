"""Lists in pages, with ``n`` and ``last`` (distribution-spec v1.1, "Listing Tags"). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from labdock.registry.server.refusals import Code, Refusal

#: Entries of a page, at most: what ``n`` asks beyond it comes in more pages.
MOST = 10_000
#: Referrers of a page: their annotations may be long, and clients take 4 MiB.
REFERRERS = 500


@dataclass(frozen=True, slots=True)
class Page:
    """``headers``: the Link to the next page, when there is one."""

    entries: Sequence[str]
    headers: dict[str, str]


def cut(ordered: Sequence[str], query: Mapping[str, str], path: str, *, most: int = MOST) -> Page:
    """The part of *ordered* that *query* asks for. Raises Refusal (400) for an ``n`` that is no number."""
    size = most
    if (n := query.get("n")) is not None:
        if not n.isascii() or not n.isdigit() or len(n) > 9:
            raise Refusal(Code.UNSUPPORTED, f"n is no number of entries: {n[:40]!r}", http=400)
        size = min(int(n), most)
    start = 0
    if last := query.get("last"):
        # The place after *last*, also when it is gone meanwhile.
        key = (last.lower(), last)
        exact = {entry: number for number, entry in enumerate(ordered)}.get(last)
        start = (
            exact + 1
            if exact is not None
            else next((i for i, entry in enumerate(ordered) if (entry.lower(), entry) > key), len(ordered))
        )
    entries = ordered[start : start + size]
    headers = {}
    if entries and start + size < len(ordered):
        passed = {key: value for key, value in query.items() if key not in ("n", "last")}
        link = urlencode({**passed, "n": size, "last": entries[-1]})
        headers["Link"] = f'<{path}?{link}>; rel="next"'
    return Page(entries, headers)
