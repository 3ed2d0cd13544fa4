"""What followers of a log cost the engine's memory, at most and after."""

from __future__ import annotations

import asyncio

import pytest

from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.test_soak import follow_all, live, memory_of, rest, spread

FOLLOWERS = 150
#: MiB for each follower while all of them follow 2,000 lines, and for all of them when they have gone.
EACH, AFTER = 0.12, 3.5

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def watched(engine: EngineUnderTest, stalled: int) -> float:
    """Let a crowd follow; the most that the engine held meanwhile."""
    following = asyncio.create_task(follow_all(engine, FOLLOWERS, stalled))
    most = 0.0
    while not following.done():
        most = max(most, memory_of(engine))
        await asyncio.wait({following}, timeout=0.05)
    following.result()
    return most


def test_a_crowd_of_followers_gives_its_memory_back(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    spread(engine, 20, live)
    # What a first crowd leaves between what is in use is there for the next.
    asyncio.run(watched(engine, 0))
    rest(engine)
    before = memory_of(engine)
    peak = asyncio.run(watched(engine, FOLLOWERS // 5)) - before
    wait_until(lambda: memory_of(engine) - before < AFTER, f"the engine keeps less than {AFTER} MiB of {peak:.1f}")
    assert peak < FOLLOWERS * EACH
