"""What the engine says happened: one event, as ``GET /events`` streams it."""

from __future__ import annotations

import msgspec


class Actor(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "ID", "attributes": "Attributes"}):
    id: str
    attributes: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """``type``: container, image, network, volume, builder, daemon. ``time_ns`` since the epoch."""

    type: str = msgspec.field(name="Type")
    action: str = msgspec.field(name="Action")
    actor: Actor = msgspec.field(name="Actor")
    time: int
    time_ns: int = msgspec.field(name="timeNano")
    scope: str = "local"
