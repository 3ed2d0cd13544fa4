"""Putting the engine together: each room gets from the Plan what it needs, as plain arguments."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from labdock.engine import Engine
from labdock.engine.builds import Builds
from labdock.engine.clock import SystemClock
from labdock.engine.commits import Commits
from labdock.engine.containers import Containers
from labdock.engine.dialing import Dialing
from labdock.engine.enforcement import Enforcer
from labdock.engine.events import Events
from labdock.engine.execs import Execs
from labdock.engine.fetches import Fetches
from labdock.engine.files import Files
from labdock.engine.health import Health
from labdock.engine.holdings import ImageHoldings
from labdock.engine.images import ImageService
from labdock.engine.ledger import Ledger
from labdock.engine.networks import NetworkService
from labdock.engine.recovery import recover
from labdock.engine.registries import Registries
from labdock.engine.rooms import Rooms
from labdock.engine.roots import Roots
from labdock.engine.rotation import Rotation
from labdock.engine.serving import RegistryService
from labdock.engine.shortage import Shortage
from labdock.engine.stage import Machine, Stage
from labdock.engine.stats import Stats
from labdock.engine.steps import StepRunner
from labdock.engine.supervisor import Supervisor
from labdock.engine.system import System
from labdock.engine.transfers import Transfers
from labdock.engine.volume_plugins import Plugins, find_folders
from labdock.engine.volume_transfers import VolumeTransfers
from labdock.engine.volumes import Volumes
from labdock.errors import HostUnfit
from labdock.host.plan import Plan
from labdock.images import bundles
from labdock.images.bootstrap import Bootstrap
from labdock.images.store import Images
from labdock.network import Outside
from labdock.network.networks import Networks
from labdock.registry import settings
from labdock.runtime.drivers.crun import CrunDriver
from labdock.runtime.groups import ROOT, Groups
from labdock.schema.ids import new_id
from labdock.schema.paths import Paths
from labdock.store.content import ContentStore
from labdock.store.intents import Intents
from labdock.store.leases import Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import open_snapshotter

#: Set to "1" in the environment of an engine whose containers may reach the host's loopback.
HOST_LOOPBACK = "LABDOCK_HOST_LOOPBACK"


async def open_rooms(plan: Plan, paths: Paths, outside: Outside) -> Engine:
    """See :func:`labdock.engine.open_engine`."""
    paths.data.mkdir(parents=True, exist_ok=True)
    database = Database(paths.database)
    intents = Intents(database)
    events = Events()
    ledger = Ledger(database)
    content = ContentStore(paths.data / "content")
    content.recover()
    snapshotter = open_snapshotter(plan.snapshotter, paths.data / "snapshots", plan.tools)
    leases = Leases(content, snapshotter)
    images = Images(database, content, snapshotter, leases)
    groups = Groups(ROOT if plan.cgroups == "own" else None)
    driver = CrunDriver(_tool(plan, "crun"), _tool(plan, "conmon"), paths.box, groups)
    networks = Networks(
        database,
        outside,
        netns_folder=paths.box / "netns",
        nft=_tool(plan, "nft"),
        host_loopback=os.environ.get(HOST_LOOPBACK) == "1",
    )
    await networks.start()
    networks.names.servers_of = lambda container: (
        ledger.get(container).host.dns or () if ledger.has_id(container) else ()
    )
    plugins = Plugins(find_folders(os.environ, paths.run), outside.dial, outside.look)
    volumes = Volumes(
        database,
        intents,
        paths.data / "volumes",
        events,
        users_of(ledger),
        plugins,
        lambda work, what: supervisor.spawn(work, what),
    )
    machine = Machine(
        seccomp=plan.seccomp,
        single_id=plan.maps.single,
        cgroup_mount=plan.cgroups != "none",
        init=plan.tools.get("catatonit"),
        groups=groups,
    )
    stage = Stage(paths, machine, snapshotter, networks, volumes, ledger)
    supervisor = Supervisor(database, intents, ledger, driver, stage, events)
    clock = SystemClock()
    enforcer = Enforcer(ledger, driver, supervisor.spawn, clock, groups)
    supervisor.constrain = enforcer.constrain
    execs = Execs(ledger, driver, stage, supervisor, enforcer.constrain_exec)
    health = Health(ledger, execs.run_check, supervisor.emit, supervisor.spawn, clock)
    stats = Stats(ledger, driver, clock, os.stat(paths.data).st_dev, groups)
    shortage = Shortage(ledger, groups, supervisor.spawn, supervisor.emit)
    supervisor.judge = shortage.judge
    supervisor.watchers += (health, enforcer, stats, shortage)
    bootstrap = Bootstrap(images, paths.data / "bases", plan.tools.get("mmdebstrap", "mmdebstrap"))
    busybox = plan.tools.get("busybox")
    scratch = paths.data / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    registries = Registries(outside.dial, settings.read(os.environ))
    offline = bundles.Bundles(bundles.read_paths(os.environ))
    transfers = Transfers(images, events, registries, offline, busybox, scratch)
    fetches = Fetches(outside.dial)
    image_service = ImageService(images, ledger, events, bootstrap, transfers, fetches, paths.data / "scratch")
    service = NetworkService(networks, stage.places, ledger, supervisor, database, intents, events)
    rooms = Rooms(
        database=database,
        intents=intents,
        ledger=ledger,
        supervisor=supervisor,
        stage=stage,
        driver=driver,
        snapshotter=snapshotter,
        images=images,
        find_image=transfers.find,
        volumes=volumes,
        enforcer=enforcer,
        folder=paths.data / "containers",
        controls=groups.controls,
        settle_network=service.settle,
    )
    containers = Containers(rooms)
    service.watch()
    supervisor.watchers.append(Rotation(rooms.folder, supervisor.reopen_log, supervisor.spawn))
    await recover(rooms, containers, fresh=_is_fresh(paths.box))
    supervisor.spawn(driver.warm(), "compiling the default seccomp filter")
    runner = StepRunner(paths, machine, snapshotter, networks, driver, enforcer)
    folder = paths.data / "builds"
    builds = Builds(
        database,
        images,
        transfers,
        snapshotter,
        content,
        runner,
        events,
        folder,
        supervisor.spawn,
        fetches,
        outside.dial_agent,
    )
    holdings = hold_images(database, images, ledger, events, builds)
    registry = RegistryService(database, outside, holdings, supervisor.spawn)
    await registry.restore()
    supervisor.spawn(image_service.collect(builds.roots()), "collecting what nothing needs")
    builds.tend()
    roots = Roots(ledger, supervisor, stage, driver, snapshotter)
    return Engine(
        containers=containers,
        files=Files(ledger, roots, supervisor, snapshotter),
        dialing=Dialing(ledger, driver),
        commits=Commits(ledger, supervisor, roots, driver, snapshotter, images, intents, events.emit),
        execs=execs,
        stats=stats,
        images=image_service,
        registries=registries,
        builds=builds,
        networks=service,
        volumes=volumes,
        volume_transfers=VolumeTransfers(volumes),
        system=System(
            plan,
            paths,
            _identify(database),
            ledger,
            image_service,
            volumes,
            snapshotter,
            builds.cache.list,
            groups.controls,
        ),
        events=events,
        registry=registry,
        _supervisor=supervisor,
        _database=database,
        _close_networks=networks.close,
    )


def hold_images(database: Database, images: Images, ledger: Ledger, events: Events, builds: Builds) -> ImageHoldings:
    """The engine's images as its registry has them; what the registry changes is told as an event."""
    loop = asyncio.get_running_loop()

    def emit(action: str, subject: str, name: str) -> None:
        loop.call_soon_threadsafe(events.emit, "image", action, subject, {"name": name})

    def untag(name: str) -> None:
        in_use: dict[str, list[str]] = {}
        for record in ledger:
            in_use.setdefault(record.image_id, []).append(record.id)
        for kind, text in images.remove(name, force=True, in_use=in_use):
            emit("untag" if kind == "Untagged" else "delete", text, text)

    return ImageHoldings(
        database, images, untag=untag, tell=lambda image, name: emit("tag", image, name), others=builds.roots
    )


def users_of(ledger: Ledger) -> Callable[[str], list[str]]:
    """Gives the function that names the containers which mount a volume."""
    return lambda volume: [r.id for r in ledger if any(m.volume == volume for m in r.mounts)]


def _is_fresh(box: Path) -> bool:
    """Whether this is the sandbox's first engine: its tmpfs has no mark yet. Leaves the mark."""
    mark = box / "engine"
    fresh = not mark.exists()
    mark.touch()
    return fresh


def _identify(database: Database) -> str:
    """This store's id, made once (``docker info``: ID)."""
    records = database.records("engine", str)
    found = records.get("id")
    if found is None:
        found = new_id()
        records.put("id", found)
    return found


def _tool(plan: Plan, name: str) -> str:
    path = plan.tools.get(name)
    if path is None:
        raise HostUnfit(f"{name} was not found on PATH", hint="`labdock doctor` says how to install it")
    return path
