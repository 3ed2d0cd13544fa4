"""What a container stands on while it runs: its mounted root, its network, its files, its OCI spec.

``set_up`` makes it, ``tear_down`` takes it away again and may be called at any time, however much is there.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labdock.engine import creation, linking, naming, sharing
from labdock.engine.devices import bind_devices
from labdock.engine.ledger import Ledger
from labdock.engine.placing import Places, Ports, keep
from labdock.engine.records import Attachment, ContainerRecord
from labdock.engine.rlimits import bound_rlimits, bound_score
from labdock.engine.security import parse_security
from labdock.engine.sources import Sources
from labdock.engine.volumes import Volumes
from labdock.network import Endpoint
from labdock.network.networks import Networks
from labdock.runtime import Bundle, users
from labdock.runtime.groups import Groups
from labdock.runtime.spec import SpecMount, SpecRequest, build_spec
from labdock.schema.ids import new_id
from labdock.schema.paths import Paths
from labdock.store.snapshots import Snapshotter, mounting

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of the Plan that a container's spec depends on."""

    seccomp: bool = True
    single_id: bool = False
    cgroup_mount: bool = True
    init: str | None = None
    groups: Groups = field(default_factory=lambda: Groups(None))


class Stage:
    """Sets the stage for containers, in the sandbox's namespaces. ``execs_of`` is filled in by the execs."""

    def __init__(
        self,
        paths: Paths,
        machine: Machine,
        snapshotter: Snapshotter,
        networks: Networks,
        volumes: Volumes,
        ledger: Ledger,
    ) -> None:
        self._paths = paths
        self._machine = machine
        self._snapshotter = snapshotter
        self._networks = networks
        self._volumes = volumes
        self.sources = Sources(paths, volumes)
        self._ledger = ledger
        self._staged: set[str] = set()
        self._borrowed: Counter[str] = Counter()
        #: Roots that a thread is unmounting, by container.
        self._unmounting: dict[str, asyncio.Future[None]] = {}
        self.places = Places(networks, ledger)
        self.places.refresh = self.refresh_files
        self.execs_of: Callable[[str], list[str]] = lambda container: []
        for folder in (self.box / "c", self.box / "rootfs", self.box / "netns", self.box / "shm", self._containers):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def box(self) -> Path:
        return self._paths.box

    @property
    def _containers(self) -> Path:
        return self._paths.data / "containers"

    def rootfs(self, container: str) -> Path:
        return self.box / "rootfs" / container

    def _shm(self, container: str) -> Path:
        return self.box / "shm" / container

    def bundle_folder(self, container: str) -> Path:
        return self.box / "c" / container

    # -- checks before anything is made -------------------------------------------------------------

    def check(self, record: ContainerRecord) -> None:
        """Refuse mounts that can't be made."""
        self.sources.check(record)

    # -- set up -------------------------------------------------------------------------------------

    async def populate(self, record: ContainerRecord) -> None:
        """Make the volumes of a container that is being created, and fill those that are empty from its image."""
        wanted = [mount for mount in record.mounts if mount.type == "volume"]
        for mount in wanted:
            await self._volumes.ensure(mount)
        if not any(mount.copy for mount in wanted):
            return
        # Not the container's own: its start may come while a driver still unmounts.
        holder = new_id()
        image = await asyncio.to_thread(self._open_image, record.id)
        try:
            for mount in wanted:
                if mount.copy:
                    place = await self._volumes.acquire(mount.volume, holder)
                    await self._volumes.fill(mount, place, Path(f"/proc/self/fd/{image}"))
        finally:
            os.close(image)
            await self._volumes.release(holder)

    def _open_image(self, container: str) -> int:
        """A folder fd of what *container* stands on. Blocks."""
        key, point = f"filling-{container}", self.rootfs(container)
        parent = self._snapshotter.stat(container).parent
        assert parent is not None
        # A look, because it has no upper layer: one that has is written to the disk when it goes (ovl_sync_fs).
        wanted = self._snapshotter.view(key, parent)
        point.mkdir(exist_ok=True)
        try:
            return mounting.open_mounted(wanted, point)
        finally:
            point.rmdir()
            self._snapshotter.remove(key)

    async def set_up(self, record: ContainerRecord) -> tuple[Bundle, tuple[Endpoint, ...], Ports]:
        """Make everything the container needs; the caller tears down when this or a later step fails."""
        network = asyncio.create_task(self._set_up_network(record))
        try:
            self._staged.add(record.id)
            await self._settle_root(record.id)
            rootfs = self.mount_root(record.id)
            user = users.resolve(rootfs, record.config.user or "", record.host.group_add or ())
            mounts = await self.sources.prepare(record, rootfs, user.uid, user.gid)
        except BaseException:
            network.cancel()
            await asyncio.wait([network])
            raise
        netns, endpoints, ports = await network
        files = self._write_files(record, endpoints)
        spec = build_spec(self._request(record, rootfs, user, netns, files, mounts))
        folder = self.bundle_folder(record.id)
        folder.mkdir(exist_ok=True)
        log = None if record.host.log_config and record.host.log_config.type == "none" else self._log(record.id)
        bundle = Bundle(
            id=record.id,
            folder=folder,
            spec=spec,
            log=log,
            tty=record.tty,
            stdin=bool(record.config.open_stdin),
            stdin_once=bool(record.config.stdin_once),
        )
        return bundle, endpoints, ports

    def _log(self, container: str) -> Path:
        return self._containers / container / "log"

    def mount_root(self, container: str) -> Path:
        """Mount the container's snapshot, unless it is; its root folder."""
        target = self.rootfs(container)
        target.mkdir(exist_ok=True)
        if not os.path.ismount(target):
            mounting.mount_all(self._snapshotter.mounts(container), target)
        return target

    async def borrow_root(self, container: str) -> Path:
        """The mounted root of a container that does not run, until :meth:`give_back_root`; a start shares it."""
        await self._settle_root(container)
        root = self.mount_root(container)
        self._borrowed[container] += 1
        return root

    async def give_back_root(self, container: str) -> None:
        """The last one that looked unmounts it, unless the container has been started meanwhile."""
        self._borrowed[container] -= 1
        if self._borrowed[container] > 0:
            return
        del self._borrowed[container]
        if container in self._staged:
            return
        unmounting = asyncio.ensure_future(asyncio.to_thread(unmount_root, self.rootfs(container)))
        self._unmounting[container] = unmounting
        unmounting.add_done_callback(lambda _done: self._unmounting.pop(container))
        await asyncio.shield(unmounting)

    async def _settle_root(self, container: str) -> None:
        """Whoever mounts the root waits for who is still unmounting it: the mount would go with theirs."""
        if (unmounting := self._unmounting.get(container)) is not None:
            await asyncio.wait([unmounting])

    async def lend_mounts(self, record: ContainerRecord, root: Path) -> tuple[str, tuple[SpecMount, ...]]:
        """The mounts of a container that does not run, whose root is at *root*, and the name they are held under."""
        holder = f"{record.id}-{os.urandom(4).hex()}"
        # Handing a mount over to the container's user is for its start.
        mounts = tuple(msgspec.structs.replace(mount, chown=False) for mount in record.mounts)
        try:
            borrower = msgspec.structs.replace(record, id=holder, mounts=mounts)
            return holder, await self.sources.prepare(borrower, root, 0, 0)
        except BaseException:
            await self.take_back_mounts(holder)
            raise

    async def take_back_mounts(self, holder: str) -> None:
        """End what :meth:`lend_mounts` began."""
        await asyncio.to_thread(self.sources.unpin, holder)
        await self._volumes.release(holder)

    async def _set_up_network(self, record: ContainerRecord) -> tuple[str | None, tuple[Endpoint, ...], Ports]:
        """The netns path (None: a fresh empty one is not needed, "host": the sandbox's), addresses, ports."""
        return await self.places.set_up(record)

    def _write_files(self, record: ContainerRecord, endpoints: tuple[Endpoint, ...]) -> dict[str, str]:
        """/etc/hosts, hostname and resolv.conf, on disk in the container's folder: target → source."""
        folder = self._containers / record.id
        folder.mkdir(exist_ok=True)
        owner = self.places.owner_of(record)
        if owner is not record:
            # With the namespace of another container come its names.
            folder = self._containers / owner.id
            return {f"/etc/{name}": str(folder / name) for name in naming.FILES}
        return naming.write(folder, naming.compose(record, endpoints, self._networks, self._ledger))

    def refresh_files(self, before: ContainerRecord, after: ContainerRecord) -> None:
        """The running container's networks have changed: so do the names in its files."""
        texts = [naming.compose(one, one.endpoints, self._networks, self._ledger) for one in (before, after)]
        naming.rewrite(self._containers / after.id, *texts)

    def _request(
        self,
        record: ContainerRecord,
        rootfs: Path,
        user: users.User,
        netns: str | None,
        files: dict[str, str],
        mounts: tuple[SpecMount, ...],
    ) -> SpecRequest:
        host, config, machine = record.host, record.config, self._machine
        security = parse_security(host)
        seccomp = security.seccomp if machine.seccomp or security.seccomp != "default" else "unconfined"
        spaces = sharing.find_namespaces(record, self._ledger.get, self._shm)
        if spaces.shm == str(self._shm(record.id)):
            sharing.make_shm(self._shm(record.id), spaces.shm_size)
        if spaces.shm:
            mounts = (SpecMount("/dev/shm", spaces.shm, "bind", ("bind", "rprivate")), *mounts)
        return SpecRequest(
            rootfs=str(rootfs),
            args=record.args,
            env=(*linking.variables(record, self._ledger), *creation.process_env(record, user.home)),
            cwd=record.cwd,
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            tty=record.tty,
            hostname=config.hostname or self.places.owner_of(record).config.hostname or self._short(record),
            domainname=config.domainname or "",
            readonly_rootfs=bool(host.readonly_rootfs),
            privileged=bool(host.privileged),
            cap_add=host.cap_add or (),
            cap_drop=host.cap_drop or (),
            no_new_privileges=security.no_new_privileges,
            seccomp=seccomp,
            machine=platform.machine(),
            masked=() if security.open_paths else host.masked_paths,
            readonly=() if security.open_paths else host.readonly_paths,
            mounts=(*bind_devices(host), *mounts),
            propagation=self.sources.propagation(record),
            files=files,
            tmpfs={m.target: ",".join(m.options) for m in record.mounts if m.type == "tmpfs"},
            shm_size=spaces.shm_size,
            network=netns,
            pid=spaces.pid,
            ipc=spaces.ipc,
            uts=spaces.uts,
            cgroup=spaces.cgroup,
            cgroup_mount=machine.cgroup_mount,
            cgroup_path=machine.groups.name(record.id),
            sysctls=host.sysctls or {},
            rlimits=bound_rlimits(host)[0],
            init=machine.init if host.init else None,
            oom_score_adj=bound_score(host)[0],
            annotations=host.annotations or {},
            single_id=machine.single_id,
        )

    def _short(self, record: ContainerRecord) -> str:
        return self.places.owner_of(record).id[:12]

    # -- facts ----------------------------------------------------------------------------------------

    @staticmethod
    def note(record: ContainerRecord, endpoints: tuple[Endpoint, ...], ports: Ports) -> ContainerRecord:
        """*record* with the addresses and ports it holds now."""
        # Whoever was in no network came back to that of its mode.
        joined = tuple(Attachment(network=e.network, network_id=e.network_id) for e in endpoints)
        return msgspec.structs.replace(
            record, attachments=record.attachments or joined, endpoints=tuple(map(keep, endpoints)), ports=ports
        )

    def netns_of(self, record: ContainerRecord) -> str:
        has_own = record.endpoints and record.network != "host"
        return self._networks.path(record.id) if has_own else ""

    def resolve_user(self, record: ContainerRecord, text: str) -> users.User:
        """Who *text* is in the running container. Raises InvalidRequest in Docker's words."""
        return users.resolve(self.rootfs(record.id), text, record.host.group_add or ())

    # -- tear down ------------------------------------------------------------------------------------

    async def tear_down(self, record: ContainerRecord) -> None:
        await self.tear_down_id(record.id)

    async def tear_down_id(self, container: str) -> None:
        """Take away whatever is there; no error for what is not."""
        await self.release(container)
        await self.clear(container)

    async def release(self, container: str) -> None:
        """The first half of tearing down: what others may want, its ports and addresses, is free afterwards."""
        await self._networks.unpublish(container)
        await self._networks.disconnect(container)
        await self._networks.remove_sandbox(container)

    async def clear(self, container: str) -> None:
        """The second half: its mounts and its bundle."""

        self._staged.discard(container)
        borrowed = container in self._borrowed

        def take_away() -> None:
            if not borrowed:
                unmount_root(self.rootfs(container))
            sharing.drop_shm(self._shm(container))
            shutil.rmtree(self.bundle_folder(container), ignore_errors=True)
            self.sources.unpin(container)

        # quirk: an overlay that goes writes out all of the file system it lies on (ovl_sync_fs): seconds, at times.
        await asyncio.to_thread(take_away)
        await self._volumes.release(container)

    async def restore(self, alive: list[str]) -> None:
        """After an engine restart: what *alive* containers hold is kept, the rest is taken away."""
        await self._networks.restore(alive)
        keep = set(alive)
        for folder in (self.box / "c", self.box / "rootfs", self.box / "shm"):
            for name in os.listdir(folder):
                if name not in keep:
                    await self.tear_down_id(name)
        self._machine.groups.sweep(alive)
        await self._volumes.restore(alive)

    async def forget(self, container: str) -> None:
        """Remove the container's folder on disk: its log and files."""
        await asyncio.to_thread(shutil.rmtree, self._containers / container, True)


def unmount_root(root: Path) -> None:
    """Unmount and remove the mount point *root*, if it is there. Lazily: a helper may still look at it."""
    while mounting.is_mounted(root):
        mounting.unmount(root, lazy=True)
    if root.exists():
        root.rmdir()
