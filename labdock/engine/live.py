"""What the engine holds in memory for one container while it is up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from labdock.engine.attachments import Session
from labdock.engine.records import ContainerRecord
from labdock.engine.restarts import BackOff
from labdock.runtime import Monitored


@dataclass(slots=True, eq=False)
class Live:
    """What the engine holds in memory for one container.

    ``releasing``: while an ended container is cleaned up under ``lock``; set when its ports and addresses are free.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    monitored: Monitored | None = None
    watch: asyncio.Task[None] | None = None
    sessions: list[Session] = field(default_factory=list)
    exits: list[asyncio.Future[ContainerRecord]] = field(default_factory=list)
    removals: list[asyncio.Future[ContainerRecord]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    back_off: BackOff = field(default_factory=BackOff)
    retry: asyncio.Task[None] | None = None
    #: How many restarts by hand are under way: an auto-removed container is kept for them.
    starts_again: int = 0
    releasing: asyncio.Event | None = None
