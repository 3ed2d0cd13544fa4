"""Events: order, filters, slow readers."""

from __future__ import annotations

import asyncio

import pytest

from labdock.engine import events as module
from labdock.engine.events import Events
from labdock.errors import Unavailable
from labdock.schema.events import Event


async def take(events: Events, count: int, since: int | None = None, **filters: list[str]) -> list[Event]:
    found: list[Event] = []
    async for event in events.subscribe(since, None, filters):
        found.append(event)
        if len(found) == count:
            break
    return found


def test_times_never_repeat_even_when_the_clock_stands_still() -> None:
    events = Events(clock=lambda: 5)
    times = [events.emit("container", "start", "c").time_ns for _ in range(3)]
    assert times == [5, 6, 7]


def test_a_reader_with_since_sees_the_past_then_the_present() -> None:
    async def main() -> list[str]:
        events = Events()
        events.emit("container", "create", "c")
        first = events.emit("container", "start", "c")
        reader = asyncio.create_task(take(events, 2, since=first.time_ns))
        await asyncio.sleep(0)
        events.emit("container", "die", "c")
        return [event.action for event in await reader]

    assert asyncio.run(main()) == ["start", "die"]


@pytest.mark.parametrize(
    ("filters", "seen"),
    [
        ({"type": ["image"]}, ["pull"]),
        ({"event": ["start"]}, ["start"]),
        ({"event": ["exec_create"]}, ["exec_create: ls"]),
        ({"container": ["web"]}, ["start", "exec_create: ls"]),
        ({"container": ["abc"]}, ["start", "exec_create: ls"]),
        ({"label": ["tier=front"]}, ["start", "exec_create: ls"]),
        ({"label": ["tier=back"]}, []),
        ({"image": ["nginx"]}, ["start", "exec_create: ls"]),
    ],
)
def test_filters(filters: dict[str, list[str]], seen: list[str]) -> None:
    events = Events()
    attributes = {"name": "web", "image": "nginx:latest", "tier": "front"}
    made = [
        events.emit("container", "start", "abcdef", attributes),
        events.emit("container", "exec_create: ls", "abcdef", attributes),
        events.emit("image", "pull", "redis:7"),
    ]
    assert [e.action for e in made if module.matches(e, filters)] == seen


def test_a_reader_that_lags_is_cut_with_an_error_and_others_go_on() -> None:
    async def main() -> None:
        events = Events()
        slow = events.subscribe(None, None, {})
        first = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        for number in range(module.LAG + 2):
            events.emit("container", "start", str(number))
        await first
        with pytest.raises(Unavailable, match="too slow"):
            while True:
                await anext(slow)

    asyncio.run(main())


def test_until_ends_the_stream() -> None:
    async def main() -> list[Event]:
        events = Events()
        event = events.emit("container", "start", "c")
        return [e async for e in events.subscribe(0, event.time_ns + 1, {})]

    assert len(asyncio.run(main())) == 1
