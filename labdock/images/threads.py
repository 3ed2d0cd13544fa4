"""Worker threads of one transfer, whose files stay open as long as a thread uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class Threads:
    """At most *most* threads; they end with :meth:`close`."""

    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def work(self, function: Callable[..., _T], *arguments: object) -> _T:
        """*function* in a thread. Cancelled meanwhile, it ends only after that: nobody closes a file under it."""
        running = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()
            raise

    def close(self) -> None:
        """No more work; does not wait."""
        self._pool.shutdown(wait=False)
