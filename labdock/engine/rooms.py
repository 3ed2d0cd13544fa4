"""What the containers' use cases stand on."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from labdock.engine.enforcement import Enforcer
from labdock.engine.ledger import Ledger
from labdock.engine.stage import Stage
from labdock.engine.supervisor import Supervisor
from labdock.engine.volumes import Volumes
from labdock.errors import NotFound
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.runtime import RuntimeDriver
from labdock.store.intents import Intent, Intents
from labdock.store.metadata import Database
from labdock.store.snapshots import Snapshotter


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the container use cases stand on."""

    database: Database
    intents: Intents
    ledger: Ledger
    supervisor: Supervisor
    stage: Stage
    driver: RuntimeDriver
    snapshotter: Snapshotter
    images: Images
    volumes: Volumes
    enforcer: Enforcer
    find_image: Callable[[str], Awaitable[Image | None]]
    folder: Path
    controls: frozenset[str]
    settle_network: Callable[[Intent], Awaitable[None]]

    def discard(self, container: str) -> None:
        """Its files go, if it has any."""
        with contextlib.suppress(NotFound):
            self.snapshotter.remove(container)
