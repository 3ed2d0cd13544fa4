"""Reading a request's parameters the way Docker's own server does. Pure.

Everything that can't be taken raises InvalidRequest with the parameter named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from labdock.errors import InvalidRequest

SECOND = 1_000_000_000

#: moby's httputils.BoolValue: these are false in any case of letters, everything else is true.
_FALSE = frozenset({"", "0", "no", "false", "none"})
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1000, "µs": 1000, "ns": 1}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|ns|h|m|s)")
_UNIX = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?\Z")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?)?"
    r"(Z|z|[+-][0-9]{2}:[0-9]{2})?\Z"
)


class Query:
    """A request's parameters. *source* is the decoded query string (the first of repeated names wins)."""

    __slots__ = ("_source",)

    def __init__(self, source: Mapping[str, str]) -> None:
        self._source = source

    def __contains__(self, name: str) -> bool:
        return name in self._source

    def text(self, name: str, default: str = "") -> str:
        return self._source.get(name, default)

    def optional(self, name: str) -> str | None:
        """The parameter's text; None when absent or empty."""
        return self._source.get(name) or None

    def boolean(self, name: str, default: bool = False) -> bool:
        found = self._source.get(name)
        return default if found is None else parse_boolean(found)

    def integer(self, name: str) -> int | None:
        """None when absent or empty."""
        found = self._source.get(name)
        if not found:
            return None
        try:
            return int(found)
        except ValueError:
            raise InvalidRequest(f"invalid {name}: {found!r} is not a whole number") from None

    def time(self, name: str, now_ns: int) -> int | None:
        """A point in time, ns since the epoch; None when absent, empty or 0 (Docker: "no limit")."""
        found = self._source.get(name)
        if not found or found == "0":
            return None
        return parse_time(found, now_ns, name)

    def filters(self) -> dict[str, list[str]]:
        return parse_filters(self._source.get("filters", ""))

    def json_object(self, name: str) -> dict[str, object]:
        """A parameter that holds a JSON object; {} when absent, empty or null."""
        found = decode_parameter(name, self._source.get(name, ""))
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise InvalidRequest(f"invalid {name}: expected a JSON object")
        return found


def parse_boolean(text: str) -> bool:
    return text.strip().lower() not in _FALSE


def decode_parameter(name: str, text: str) -> object:
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"invalid {name}: not JSON: {error}") from error


def parse_filters(text: str) -> dict[str, list[str]]:
    """Both forms that clients send: ``{"name": ["a"]}`` and, from before API 1.22, ``{"name": {"a": true}}``."""
    found = decode_parameter("filters", text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest("invalid filters: expected a JSON object of lists")
    filters: dict[str, list[str]] = {}
    for key, values in found.items():
        if isinstance(values, dict):
            values = [value for value, wanted in values.items() if wanted]
        elif isinstance(values, (str, bool, int)):
            values = [values]  # docker-py's own callers sometimes send a bare value
        if not isinstance(values, list):
            raise InvalidRequest(f"invalid filters: {key} must be a list of texts")
        filters[key] = [_filter_text(key, value) for value in values]
    return filters


def _filter_text(key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise InvalidRequest(f"invalid filters: {key} must be a list of texts")


def parse_duration(text: str) -> int | None:
    """A Go duration (``1h30m``, ``1.5s``) in ns; None when *text* is none."""
    negative = text.startswith("-")
    rest = text[1:] if negative else text
    total, position = 0, 0
    while position < len(rest):
        match = _DURATION.match(rest, position)
        if match is None:
            return None
        total += int(float(match[1]) * _UNITS[match[2]])
        position = match.end()
    if position == 0:
        return None
    return -total if negative else total


def parse_time(text: str, now_ns: int, name: str = "time") -> int:
    """ns since the epoch of: seconds with up to nine decimals, RFC 3339 (also cut short, then UTC), or a Go
    duration before *now_ns*. (moby's api/types/time/timestamp.go.)"""
    if match := _UNIX.match(text):
        fraction = int((match[2] or "")[:9].ljust(9, "0"))
        whole = int(match[1]) * SECOND
        return whole - fraction if match[1].startswith("-") else whole + fraction
    duration = parse_duration(text)
    if duration is not None:
        return now_ns - duration
    if match := _RFC3339.match(text):
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError as error:
            raise InvalidRequest(f"invalid {name}: {text!r}: {error}") from error
        return int(moment.timestamp() - _offset(match[8])) * SECOND + int((match[7] or "").ljust(9, "0"))
    raise InvalidRequest(f"invalid {name}: {text!r} is no time", hint="send seconds, RFC 3339 or a duration like 10m")


def _offset(zone: str | None) -> int:
    if zone is None or zone in "Zz":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return -seconds if zone[0] == "-" else seconds
