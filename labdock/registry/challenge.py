"""``WWW-Authenticate``: what a registry asks for. Pure (RFC 9110 §11.6.1; distribution-spec, token authentication)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Characters of the header that are looked at, and challenges in it.
LONGEST = 16384
MOST = 16

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*(?P<scheme>{_TOKEN})(?=[\s,]|$)[ \t]*")
_PARAMETER = re.compile(
    rf"[\s,]*(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)(?:\"|$)|(?P<plain>[^\s,\"]*))", re.DOTALL
)
_TOKEN68 = re.compile(r"[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|$))")


@dataclass(frozen=True, slots=True)
class Challenge:
    """``scheme`` in lower case; names of ``parameters`` in lower case, of several with one name the first."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.parameters.get("scope", "").split())


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of all *headers* in their order. What can't be understood is left out; nothing is raised."""
    found: list[Challenge] = []
    for header in headers:
        found += _parse_one(header[:LONGEST])
    return tuple(found[:MOST])


def _parse_one(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while (scheme := _SCHEME.match(text, at)) is not None and len(found) < MOST:
        at = scheme.end()
        parameters: dict[str, str] = {}
        # Parameters first: `a=` could be a token68 too, but nobody sends one.
        while (parameter := _PARAMETER.match(text, at)) is not None:
            value = parameter["plain"]
            if parameter["quoted"] is not None:
                value = re.sub(r"\\(.)", r"\1", parameter["quoted"], flags=re.DOTALL)
            parameters.setdefault(parameter["name"].lower(), value)
            at = parameter.end()
        if not parameters and (token := _TOKEN68.match(text, at)) is not None:
            at = token.end()
        found.append(Challenge(scheme["scheme"].lower(), parameters))
    return found


def choose(challenges: Iterable[Challenge]) -> Challenge | None:
    """The one to answer: Bearer (with a realm) before Basic, None when neither is there."""
    usable = {c.scheme: c for c in reversed(tuple(challenges)) if c.scheme == "basic" or c.parameters.get("realm")}
    return usable.get("bearer") or usable.get("basic")
