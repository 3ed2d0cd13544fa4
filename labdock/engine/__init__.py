"""The engine: what Docker's verbs mean here. Runs in the engine process, as root of the sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labdock.engine.builds import Builds
    from labdock.engine.commits import Commits
    from labdock.engine.containers import Containers
    from labdock.engine.dialing import Dialing
    from labdock.engine.events import Events
    from labdock.engine.execs import Execs
    from labdock.engine.files import Files
    from labdock.engine.images import ImageService
    from labdock.engine.networks import NetworkService
    from labdock.engine.registries import Registries
    from labdock.engine.serving import RegistryService
    from labdock.engine.stats import Stats
    from labdock.engine.supervisor import Supervisor
    from labdock.engine.system import System
    from labdock.engine.volume_transfers import VolumeTransfers
    from labdock.engine.volumes import Volumes
    from labdock.host.plan import Plan
    from labdock.network import Outside
    from labdock.schema.paths import Paths
    from labdock.store.metadata import Database

#: Seconds that containers get to end when the engine is stopped.
STOP_GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Engine:
    """All use cases. One per data folder."""

    containers: Containers
    files: Files
    dialing: Dialing
    commits: Commits
    execs: Execs
    stats: Stats
    images: ImageService
    registries: Registries
    builds: Builds
    networks: NetworkService
    volumes: Volumes
    volume_transfers: VolumeTransfers
    system: System
    events: Events
    registry: RegistryService
    _supervisor: Supervisor
    _database: Database
    _close_networks: Callable[[], Awaitable[None]]

    async def close(self) -> None:
        """Stop every container (SIGTERM, SIGKILL after STOP_GRACE) and let go of the store."""
        await self.registry.close()
        await self._supervisor.close(STOP_GRACE)
        await self._close_networks()
        self.volumes.close()
        self._database.close()


async def open_engine(plan: Plan, paths: Paths, outside: Outside) -> Engine:
    """Open the store, repair what a killed engine left, and be ready to serve. Raises labdock.errors."""
    from labdock.engine.opening import open_rooms

    return await open_rooms(plan, paths, outside)
