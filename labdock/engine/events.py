"""Events: what happened, kept for a while and streamed to whoever listens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from labdock.errors import Unavailable
from labdock.schema.events import Actor, Event

#: How many past events `since` can reach back to, and how far a reader may lag.
KEPT = 2048
LAG = 1024

Filters = Mapping[str, list[str]]

log = logging.getLogger("labdock.engine")


class Events:
    """The engine's event stream. ``emit`` never blocks; a reader that lags more than LAG events is cut."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._past: deque[Event] = deque(maxlen=KEPT)
        self._readers: set[asyncio.Queue[Event | None]] = set()
        self._last = 0

    def emit(self, kind: str, action: str, subject: str, attributes: Mapping[str, str] | None = None) -> Event:
        """Record that *action* happened to *subject* (an id or a name). Times never go backwards or repeat."""
        self._last = max(self._clock(), self._last + 1)
        event = Event(
            type=kind,
            action=action,
            actor=Actor(id=subject, attributes=dict(attributes or {})),
            time=self._last // 1_000_000_000,
            time_ns=self._last,
        )
        self._past.append(event)
        for queue in tuple(self._readers):
            if queue.qsize() >= LAG:
                log.warning("cut a reader of events: it is %d of them behind", LAG)
                self._readers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)
        return event

    async def subscribe(self, since_ns: int | None, until_ns: int | None, filters: Filters) -> AsyncIterator[Event]:
        """Past events after *since_ns*, then those to come, until *until_ns*. Unavailable when the reader lags."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        past = [e for e in self._past if since_ns is not None and e.time_ns >= since_ns]
        self._readers.add(queue)
        try:
            for event in past:
                if until_ns is not None and event.time_ns > until_ns:
                    return
                if matches(event, filters):
                    yield event
            while True:
                left = None if until_ns is None else (until_ns - self._clock()) / 1e9
                if left is not None and left <= 0:
                    return
                try:
                    async with asyncio.timeout(left):
                        found = await queue.get()
                except TimeoutError:
                    return
                if found is None:
                    raise Unavailable("this reader of events was too slow and was cut off", hint="subscribe again")
                if matches(found, filters):
                    yield found
        finally:
            self._readers.discard(queue)


def matches(event: Event, filters: Filters) -> bool:
    """Whether *event* passes every filter (values of one filter are alternatives)."""
    attributes = event.actor.attributes
    for name, values in filters.items():
        if not values:
            continue
        if name == "type":
            found = event.type in values
        elif name in ("event", "action"):
            found = any(event.action == v or event.action.startswith(v + ":") for v in values)
        elif name == "label":
            found = all(_has_label(attributes, v) for v in values)
        elif name == "image":
            image = attributes.get("image", event.actor.id if event.type == "image" else "")
            found = any(image in (v, f"{v}:latest") or image.partition(":")[0] == v for v in values)
        elif name in ("container", "network", "volume"):
            found = event.type == name and any(
                event.actor.id.startswith(v) or attributes.get("name") == v for v in values
            )
        elif name == "scope":
            found = event.scope in values
        else:
            found = True
        if not found:
            return False
    return True


def _has_label(attributes: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in attributes and (not equals or attributes[key] == value)
