"""What a path is on the host, asked by the engine: the sandbox may not see a mount that came after it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from labdock.daemon.channel import Descriptors, Handler, Params

#: Seconds: a file system that a dead process serves does not answer.
PATIENCE = 5.0


def handlers() -> dict[str, Handler]:
    """The method of the channel to the engine, for ``ChannelOutside.look``."""
    return {"look": _serve}


async def _serve(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    try:
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.to_thread(os.stat, str(params["path"]))
    except (OSError, ValueError, TimeoutError):
        return None, ()
    return [found.st_dev, found.st_ino], ()
