"""RUN steps of builds: the build room's Runner, on the same runtime and networks as containers."""

from __future__ import annotations

import asyncio
import platform
import shutil
from pathlib import Path
from typing import Protocol

from labdock.build import OnOutput, RunRequest
from labdock.engine import naming
from labdock.engine.records import ContainerRecord
from labdock.engine.rlimits import bound_rlimits
from labdock.engine.stage import Machine, unmount_root
from labdock.network import names
from labdock.network.networks import Networks
from labdock.runtime import Attachment, Bundle, RuntimeDriver, users
from labdock.runtime.spec import SpecMount, SpecRequest, build_spec
from labdock.schema.container import ContainerConfig, HostConfig
from labdock.schema.paths import Paths
from labdock.store.snapshots import Snapshotter, mounting


class Keeper(Protocol):
    """What keeps limits of memory and processors: the containers' :class:`labdock.engine.enforcement.Enforcer`."""

    def constrain(self, record: ContainerRecord, pid: int) -> None: ...

    def begin(self, record: ContainerRecord) -> None: ...

    def end(self, container: str) -> None: ...


class StepRunner:
    """Runs one step at a time or several; every step is a container of its own that leaves nothing behind."""

    def __init__(
        self,
        paths: Paths,
        machine: Machine,
        snapshotter: Snapshotter,
        networks: Networks,
        driver: RuntimeDriver,
        keeper: Keeper,
    ) -> None:
        self._paths = paths
        self._machine = machine
        self._snapshotter = snapshotter
        self._networks = networks
        self._driver = driver
        self._keeper = keeper
        #: The files of the groups that steps with limits have.
        self.controls = machine.groups.controls

    async def run(self, request: RunRequest, on_output: OnOutput) -> int:
        """The step's exit code, when all of its output was handed over. Cancelling kills and removes it."""
        folder = self._paths.box / "c" / request.container
        rootfs = self._paths.box / "rootfs" / request.container
        try:
            rootfs.mkdir(parents=True)
            folder.mkdir(parents=True)
            mounting.mount_all(self._snapshotter.mounts(request.snapshot), rootfs)
            spec = await self._spec(request, rootfs, folder)
            bundle = Bundle(id=request.container, folder=folder, spec=spec, log=None)
            monitored = await self._driver.create(bundle)
            attachment = await monitored.attach(stdin=False)
            try:
                if request.limits != HostConfig():
                    self._limit(request, monitored.pid)
                await self._driver.start(request.container)
                await _hand_over(attachment, on_output)
                return (await monitored.wait()).code
            finally:
                self._keeper.end(request.container)
                await attachment.close()
        finally:
            await asyncio.shield(self._clean(request.container, rootfs, folder))

    def _limit(self, request: RunRequest, pid: int) -> None:
        """Hold the step's program, which does not run yet, to its limits, as a container of them would be."""
        record = ContainerRecord(
            id=request.container,
            name=request.container,
            created=0,
            image="",
            image_id="",
            config=ContainerConfig(),
            host=request.limits,
            args=request.args,
        )
        self._keeper.constrain(record, pid)
        self._keeper.begin(record)

    async def _spec(self, request: RunRequest, rootfs: Path, folder: Path) -> dict[str, object]:
        user = users.resolve(rootfs, request.user, ())
        netns: str | None = "host"
        addresses: tuple[str, ...] = ()
        if request.network != "host":
            netns = await self._networks.create_sandbox(request.container)
        named = False
        if request.network not in ("host", "none"):
            name = "bridge" if request.network in ("", "default") else request.network
            addresses = ((await self._networks.connect(request.container, name)).ip,)
            # It finds others by their names and has none itself.
            named = self._networks.inspect(name).has_names
        hostname = request.container[:12]
        extra = list(request.hosts)
        extra += naming.host_entries(self._networks, extra, reachable=request.network != "none")
        (folder / "hostname").write_text(f"{hostname}\n")
        (folder / "hosts").write_text(names.hosts_file(hostname, addresses, extra=extra))
        (folder / "resolv.conf").write_text(
            names.resolv_conf(self._networks.nameservers, self._networks.search, named=named)
        )
        given = {entry.partition("=")[0] for entry in request.env}
        env = (*request.env, *(() if "HOME" in given else (f"HOME={user.home}",)))
        return build_spec(
            SpecRequest(
                rootfs=str(rootfs),
                args=request.args,
                env=env,
                cwd=request.cwd,
                uid=user.uid,
                gid=user.gid,
                groups=user.groups,
                hostname=hostname,
                seccomp="default" if self._machine.seccomp else "unconfined",
                machine=platform.machine(),
                files={f"/etc/{name}": str(folder / name) for name in naming.FILES},
                mounts=tuple(SpecMount(one.target, one.source, one.kind, one.options) for one in request.mounts),
                shm_size=request.shm_size or 64 << 20,
                rlimits=bound_rlimits(request.limits)[0],
                cgroup_path=None if request.limits == HostConfig() else self._machine.groups.name(request.container),
                network=netns,
                cgroup_mount=self._machine.cgroup_mount,
                single_id=self._machine.single_id,
            )
        )

    async def _clean(self, container: str, rootfs: Path, folder: Path) -> None:
        await self._driver.delete(container)
        await self._networks.disconnect(container)
        await self._networks.remove_sandbox(container)
        # In a thread: an overlay that goes writes out the whole file system.
        await asyncio.to_thread(unmount_root, rootfs)
        shutil.rmtree(folder, ignore_errors=True)


async def _hand_over(attachment: Attachment, on_output: OnOutput) -> None:
    while (piece := await attachment.read()) is not None:
        on_output(*piece)
