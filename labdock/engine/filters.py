"""List filters shared by containers, images, networks and volumes. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from labdock.engine.lifecycle import ALIVE, Status
from labdock.engine.records import ContainerRecord
from labdock.errors import InvalidRequest
from labdock.schema.times import parse_time

Filters = Mapping[str, list[str]]

_KNOWN = frozenset(
    (
        "ancestor before exited expose health id is-task isolation label label! name network publish since status"
        " volume"
    ).split()
)
_YES, _NO = frozenset(("1", "t", "true")), frozenset(("0", "f", "false"))
_HEALTH = frozenset(("none", "starting", "healthy", "unhealthy"))


def has_labels(labels: Mapping[str, str], filters: Filters) -> bool:
    """Every ``label`` is there and no ``label!`` is."""
    for wanted in filters.get("label", ()):
        key, equals, value = wanted.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    for unwanted in filters.get("label!", ()):
        key, equals, value = unwanted.partition("=")
        if key in labels and (not equals or labels[key] == value):
            return False
    return True


def check(filters: Filters) -> None:
    """InvalidRequest in Docker's words for an unknown filter or value."""
    for name in filters:
        if name not in _KNOWN:
            raise InvalidRequest(f"invalid filter '{name}'")
    for value in filters.get("status", ()):
        if value not in Status.__members__.values():
            raise InvalidRequest(f"invalid filter 'status={value}'")
    for value in filters.get("exited", ()):
        if not value.removeprefix("-").isdecimal():
            raise InvalidRequest(f"invalid filter 'exited={value}'")
    for value in filters.get("is-task", ()):
        if value.lower() not in _YES | _NO:
            raise InvalidRequest(f"invalid filter 'is-task={value}'")
    for value in filters.get("health", ()):
        if value not in _HEALTH:
            raise InvalidRequest(f"invalid filter 'health={value}'")
    for name in ("publish", "expose"):
        for value in filters.get(name, ()):
            _ports(name, value)


def check_prune(filters: Filters) -> None:
    """InvalidRequest in Docker's words for a filter that prune does not know, or a time that is none."""
    for name in filters:
        if name not in ("until", "label", "label!"):
            raise InvalidRequest(f"invalid filter '{name}'")
    if len(filters.get("until", ())) > 1:
        raise InvalidRequest("more than one until filter specified")


def _ports(name: str, text: str) -> frozenset[str]:
    """``80``, ``80/udp`` or ``8000-8010`` as ``{"80/tcp"}``. InvalidRequest names the filter."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > 5:
        raise InvalidRequest(f"invalid filter '{name}={text}'", hint="write PORT, PORT/udp or FIRST-LAST")
    if not int(first) <= int(last if dash else first) <= 65535:
        raise InvalidRequest(f"invalid filter '{name}={text}'", hint="ports are 0 to 65535, ranges go up")
    return frozenset(f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1))


def passes(record: ContainerRecord, filters: Filters) -> bool:
    """Whether *record* passes the filters that speak of it alone (not before, since, ancestor)."""
    bound = record.host.port_bindings or {}
    tests: dict[str, Callable[[str], bool]] = {
        "id": lambda v: re.search(v, record.id) is not None,
        "name": lambda v: re.search(v, "/" + record.name) is not None or re.search(v, record.name) is not None,
        "status": lambda v: record.state.status == v,
        "exited": lambda v: (
            record.state.status not in ALIVE and record.state.started > 0 and record.state.exit_code == int(v)
        ),
        "network": lambda v: (
            record.network == v
            or any(v == one.network or one.network_id.startswith(v) for one in record.attachments)
            or any(v == one.network or one.network_id.startswith(v) for one in record.endpoints)
        ),
        "volume": lambda v: any(v in (m.volume, m.target, m.source) for m in record.mounts),
        "publish": lambda v: not _ports("publish", v).isdisjoint({*record.ports, *map(_whole, bound)}),
        "expose": lambda v: not _ports("expose", v).isdisjoint({*map(_whole, record.config.exposed_ports or {})}),
        "health": lambda v: v == (record.state.health.status if record.state.health else "none"),
        "is-task": lambda v: v.lower() in _NO,
    }
    for name, values in filters.items():
        test = tests.get(name)
        if test is None or not values:
            continue
        try:
            found = any(test(value) for value in values)
        except re.error as error:
            raise InvalidRequest(f"invalid filter '{name}={values}': {error}") from error
        if not found:
            return False
    return has_labels(record.config.labels or {}, filters)


def _whole(port: str) -> str:
    """``80/tcp`` for ``80``."""
    return port if "/" in port else f"{port}/tcp"


def read_moment(text: str) -> int:
    """The value of an ``until`` filter, ns since the epoch: seconds, a duration ago, or RFC 3339. InvalidRequest."""
    try:
        return parse_time(text, time.time_ns())
    except ValueError as error:
        raise InvalidRequest(f"invalid filter 'until={text}': {error}") from error
