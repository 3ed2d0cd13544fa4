"""List filters shared by containers, images, networks and volumes. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from labdock.engine.lifecycle import Status
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
        if not value.lstrip("-").isdecimal():
            raise InvalidRequest(f"invalid filter 'exited={value}'")


def passes(record: ContainerRecord, filters: Filters) -> bool:
    """Whether *record* passes the filters that speak of it alone (not before, since, ancestor)."""
    tests: dict[str, Callable[[str], bool]] = {
        "id": lambda v: record.id.startswith(v),
        "name": lambda v: re.search(v, "/" + record.name) is not None or re.search(v, record.name) is not None,
        "status": lambda v: record.state.status == v,
        "exited": lambda v: record.state.status == Status.EXITED and record.state.exit_code == int(v),
        "network": lambda v: (
            record.network == v
            or any(v == one.network or one.network_id.startswith(v) for one in record.attachments)
            or any(v == one.network or one.network_id.startswith(v) for one in record.endpoints)
        ),
        "volume": lambda v: any(v in (m.volume, m.target, m.source) for m in record.mounts),
        "publish": lambda v: any(p.split("/")[0] == v.split("/")[0] for p in record.ports),
        "expose": lambda v: any(
            p == v or p.split("/")[0] == v for p in (*record.ports, *(record.config.exposed_ports or {}))
        ),
        "health": lambda v: v == (record.state.health.status if record.state.health else "none"),
        "is-task": lambda v: v.lower() in ("0", "false"),
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


def read_moment(text: str) -> int:
    """The value of an ``until`` filter, ns since the epoch: seconds, a duration ago, or RFC 3339. InvalidRequest."""
    try:
        return parse_time(text, time.time_ns())
    except ValueError as error:
        raise InvalidRequest(f"invalid filter 'until={text}': {error}") from error
