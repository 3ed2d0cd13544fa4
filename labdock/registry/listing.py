"""Lists that come in pages: tags, the catalogue; and searches."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import quote

import msgspec

from labdock.errors import NotFound, SystemFailure
from labdock.registry import Found, Repository, hosts
from labdock.registry.exchange import Exchange, Request
from labdock.registry.places import Place

T = TypeVar("T")

#: Bytes of a page, pages of a list, names in a list.
LONGEST_PAGE = 4 * 1024 * 1024
MOST_PAGES = 1000
MOST_NAMES = 100_000
_PAGE = 1000

_NEXT = re.compile(r"<([^<>]{1,8192})>\s*;[^,]*\brel=\"?next\"?", re.IGNORECASE)


class _Tags(msgspec.Struct):
    tags: tuple[str, ...] | None = None


class _Catalog(msgspec.Struct):
    repositories: tuple[str, ...] | None = None


class _Result(msgspec.Struct):
    name: str
    description: str | None = None
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Results(msgspec.Struct):
    results: tuple[_Result, ...] = ()


async def tags(exchange: Exchange, place: Place, repository: Repository) -> tuple[str, ...]:
    found: list[str] = []
    url = place.url(repository, f"tags/list?n={_PAGE}")
    async for page in _pages(exchange, place, url, (place.scope(repository),), _Tags):
        found += page.tags or ()
        _bound(len(found), url)
    return tuple(found)


async def search(exchange: Exchange, place: Place, term: str, limit: int) -> tuple[Found, ...]:
    """By the index's own search; where a registry has none, by the names in its catalogue.

    Docker Hub's search is at its index, not at its registry.
    """
    root = f"https://{hosts.HUB_INDEX}/" if place.host == hosts.HUB else place.root.removesuffix("v2/")
    url = f"{root}v1/search?q={quote(term)}&n={limit}"
    index = Place(place.host, root)
    try:
        _, body = await exchange.fetch(index, Request("GET", url), LONGEST_PAGE)
        found = _decode(body, _Results, url).results
    except (NotFound, SystemFailure):
        if place.host == hosts.HUB:
            raise
        return await _search_names(exchange, place, term, limit)
    return tuple(
        Found(result.name, result.description or "", result.star_count, result.is_official, result.is_automated)
        for result in found[:limit]
    )


async def _search_names(exchange: Exchange, place: Place, term: str, limit: int) -> tuple[Found, ...]:
    names: list[str] = []
    seen = 0
    url = f"{place.root}_catalog?n={_PAGE}"
    async for page in _pages(exchange, place, url, ("registry:catalog:*",), _Catalog):
        seen += len(page.repositories or ())
        names += [name for name in page.repositories or () if term.lower() in name]
        _bound(seen, url)
        if len(names) >= limit:
            break
    return tuple(Found(f"{place.host}/{name}") for name in names[:limit])


async def _pages(
    exchange: Exchange, place: Place, url: str, scopes: tuple[str, ...], kind: type[T]
) -> AsyncIterator[T]:
    """Each page of the list at *url*, as far as its ``Link`` headers lead (RFC 8288)."""
    seen: set[str] = set()
    while url not in seen:
        if len(seen) >= MOST_PAGES:
            raise SystemFailure(f"{url.partition('?')[0]}: more than {MOST_PAGES} pages")
        seen.add(url)
        response, body = await exchange.fetch(place, Request("GET", url, scopes), LONGEST_PAGE)
        yield _decode(body, kind, url)
        found = _NEXT.search(response.headers.get("Link", ""))
        following = hosts.join_url(url, found[1]) if found is not None else url
        if hosts.origin_of(following) != hosts.origin_of(url):
            raise SystemFailure(f"{url.partition('?')[0]}: the next page is said to be on another host")
        url = following


def _decode(body: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SystemFailure(f"{url.partition('?')[0]}: can't be understood: {error}") from error


def _bound(number: int, url: str) -> None:
    if number > MOST_NAMES:
        raise SystemFailure(f"{url.partition('?')[0]}: more than {MOST_NAMES} names")
