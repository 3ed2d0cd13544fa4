"""What containers use, every two seconds while something runs."""

from __future__ import annotations

from typing import Any

from labdock.errors import InvalidRequest
from labdock.jupyter.channels import Channel, Opened


async def watch_usage(channel: Channel, frame: Opened) -> dict[str, Any] | None:
    """Kind ``stats``; until it is closed."""
    ids = frame.get("containers")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(id, str) for id in ids)):
        raise InvalidRequest("'containers' is no list of ids")
    usage = channel.desk.usage
    seen = usage.rounds
    usage.join(channel, ids)
    try:
        while True:
            seen = await usage.next(seen)
            wanted = [used for id, used in usage.latest.items() if ids is None or id in ids]
            await channel.data(stats=wanted)
    finally:
        usage.leave(channel)
