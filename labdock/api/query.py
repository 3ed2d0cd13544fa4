"""Reading a request's parameters the way Docker's own server does. Pure.

Everything that can't be taken raises InvalidRequest with the parameter named.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from labdock.errors import InvalidRequest
from labdock.schema import times
from labdock.schema.times import SECOND as SECOND
from labdock.schema.times import parse_duration as parse_duration

#: moby's httputils.BoolValue: these are false in any case of letters, everything else is true.
_FALSE = frozenset({"", "0", "no", "false", "none"})


class Query:
    """A request's parameters. *source* is the decoded query string (the first of repeated names wins, but in
    :meth:`texts`)."""

    __slots__ = ("_source",)

    def __init__(self, source: Mapping[str, str]) -> None:
        self._source = source

    def __contains__(self, name: str) -> bool:
        return name in self._source

    def text(self, name: str, default: str = "") -> str:
        return self._source.get(name, default)

    def texts(self, name: str) -> list[str]:
        """Every value of a parameter that may be repeated."""
        repeated = getattr(self._source, "getall", None)
        if repeated is not None:
            return list(repeated(name, ()))
        return [self._source[name]] if name in self._source else []

    def items(self) -> list[tuple[str, str]]:
        """Each parameter once, with its first value."""
        return [(name, self._source[name]) for name in dict.fromkeys(self._source)]

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


def parse_time(text: str, now_ns: int, name: str = "time") -> int:
    """See :func:`labdock.schema.times.parse_time`; what can't be read is an InvalidRequest that names *name*."""
    try:
        return times.parse_time(text, now_ns)
    except ValueError as error:
        raise InvalidRequest(
            f"invalid {name}: {error}", hint="send seconds, RFC 3339 or a duration like 10m"
        ) from error
