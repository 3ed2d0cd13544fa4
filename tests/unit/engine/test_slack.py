"""Memory is given back after a crowd of readers, once, and not after a few."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

from labdock.engine.slack import CROWD, Slack
from labdock.sys import memory


async def trims_after(*crowds: int) -> int:
    """How often memory is given back when so many readers were there at a time, one crowd after the other."""
    count = 0
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def trim() -> None:
        nonlocal count
        count += 1
        assert threading.current_thread() is not threading.main_thread()
        loop.call_soon_threadsafe(done.set)

    slack = Slack(trim, pause=0)
    for crowd in crowds:
        with ExitStack() as stack:
            for _ in range(crowd):
                stack.enter_context(slack.reader())
    # What was asked for is in the pool by then: the pool's next work comes after it.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if max(crowds) >= CROWD:
        await asyncio.wait_for(done.wait(), 20)
    await loop.shutdown_default_executor()
    return count


def test_memory_is_given_back_after_a_crowd() -> None:
    assert asyncio.run(trims_after(CROWD)) == 1


def test_it_is_not_after_a_few() -> None:
    assert asyncio.run(trims_after(CROWD - 1, 1, 3)) == 0


def test_a_crowd_counts_once() -> None:
    assert asyncio.run(trims_after(CROWD + 5, 2)) == 1


def test_the_c_library_takes_it() -> None:
    memory.trim()
