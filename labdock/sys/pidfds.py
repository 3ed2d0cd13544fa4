"""Waiting for processes by pidfd: on the event loop, or with a deadline. man 2 pidfd_open."""

from __future__ import annotations

import asyncio
import select


async def wait_ended(pidfd: int) -> None:
    """Return when the process behind *pidfd* has ended (it may still be unreaped). Cancellable; keeps *pidfd* open."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(pidfd, note)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)


def block_until_ended(pidfd: int, seconds: float) -> bool:
    """Without an event loop: wait at most *seconds* for the end; False when it still runs."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(seconds * 1000))
