"""What a container stands on while it runs: its mounted root, its network, its files, its OCI spec.

``set_up`` makes it, ``tear_down`` takes it away again and may be called at any time, however much is there.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from labdock.engine import creation, linking
from labdock.engine.ledger import Ledger
from labdock.engine.mounts import DOCKER_SOCKETS
from labdock.engine.placing import Places, Ports, keep
from labdock.engine.processes import list_processes
from labdock.engine.records import ContainerRecord, MountPoint
from labdock.engine.volumes import Volumes
from labdock.errors import InvalidRequest
from labdock.network import Endpoint, names
from labdock.network.networks import Networks
from labdock.runtime import Bundle, users
from labdock.runtime.spec import Rlimit, SpecMount, SpecRequest, build_spec
from labdock.schema.container import HostConfig
from labdock.schema.paths import Paths
from labdock.store.snapshots import Snapshotter, mounting

Wire = dict[str, Any]


#: IpcMode words that mean a namespace of the container's own.
_OWN_IPC = {"": "private", "shareable": "private", "none": "private"}


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of the Plan that a container's spec depends on."""

    seccomp: bool = True
    single_id: bool = False
    cgroup_mount: bool = True
    init: str | None = None


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
        self._ledger = ledger
        self.places = Places(networks, ledger)
        self.execs_of: Callable[[str], list[str]] = lambda container: []
        for folder in (self.box / "c", self.box / "rootfs", self.box / "netns", self._containers):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def box(self) -> Path:
        return self._paths.box

    @property
    def _containers(self) -> Path:
        return self._paths.data / "containers"

    def rootfs(self, container: str) -> Path:
        return self.box / "rootfs" / container

    def bundle_folder(self, container: str) -> Path:
        return self.box / "c" / container

    # -- checks before anything is made -------------------------------------------------------------

    def check(self, record: ContainerRecord) -> None:
        """Refuse a bind source that must exist and does not."""
        for mount in record.mounts:
            if mount.type == "bind" and mount.mode == "must-exist" and not os.path.lexists(mount.source):
                raise InvalidRequest(
                    f'invalid mount config for type "bind": bind source path does not exist: {mount.source}',
                    hint="-v makes a missing folder, --mount does not",
                )

    # -- set up -------------------------------------------------------------------------------------

    async def set_up(self, record: ContainerRecord) -> tuple[Bundle, tuple[Endpoint, ...], Ports]:
        """Make everything the container needs; the caller tears down when this or a later step fails."""
        network = asyncio.create_task(self._set_up_network(record))
        try:
            rootfs = self.mount_root(record.id)
            for mount in record.mounts:
                if mount.type == "volume":
                    self._volumes.ensure(mount.volume)
                    if mount.copy:
                        await self._volumes.fill(mount.volume, rootfs, mount.target)
            user = users.resolve(rootfs, record.config.user or "", record.host.group_add or ())
        except BaseException:
            network.cancel()
            await asyncio.wait([network])
            raise
        netns, endpoints, ports = await network
        files = self._write_files(record, endpoints)
        spec = build_spec(self._request(record, rootfs, user, netns, files))
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
        """Mount the container's snapshot; its root folder."""
        target = self.rootfs(container)
        target.mkdir(exist_ok=True)
        mounting.mount_all(self._snapshotter.mounts(container), target)
        return target

    async def _set_up_network(self, record: ContainerRecord) -> tuple[str | None, tuple[Endpoint, ...], Ports]:
        """The netns path (None: a fresh empty one is not needed, "host": the sandbox's), addresses, ports."""
        return await self.places.set_up(record)

    def _write_files(self, record: ContainerRecord, endpoints: tuple[Endpoint, ...]) -> dict[str, str]:
        """/etc/hosts, hostname and resolv.conf, on disk in the container's folder: target → source."""
        owner = self.places.owner_of(record)
        if owner is not record:
            # With the namespace of another container come its names.
            folder = self._containers / owner.id
            return {f"/etc/{name}": str(folder / name) for name in ("hostname", "hosts", "resolv.conf")}
        folder = self._containers / record.id
        folder.mkdir(exist_ok=True)
        host = record.host
        hostname = record.config.hostname or record.id[:12]
        addresses = tuple(ip for endpoint in endpoints for ip in (endpoint.ip, endpoint.ip6))
        gateway = endpoints[0].gateway if endpoints else ""
        contents = {
            "hostname": f"{hostname}\n",
            "hosts": names.hosts_file(
                hostname,
                addresses,
                domainname=record.config.domainname or "",
                extra=(*(host.extra_hosts or ()), *linking.hosts(record, self._ledger)),
                gateway=gateway,
            ),
            "resolv.conf": names.resolv_conf(
                self._networks.nameservers,
                self._networks.search,
                servers=host.dns or (),
                search_domains=host.dns_search or (),
                options=host.dns_options or (),
            ),
        }
        for name, text in contents.items():
            (folder / name).write_text(text)
        return {f"/etc/{name}": str(folder / name) for name in contents}

    def _request(
        self,
        record: ContainerRecord,
        rootfs: Path,
        user: users.User,
        netns: str | None,
        files: dict[str, str],
    ) -> SpecRequest:
        host, config, machine = record.host, record.config, self._machine
        mounts = tuple(self._spec_mount(mount) for mount in record.mounts if mount.type != "tmpfs")
        security = _security(host, machine)
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
            seccomp=security.seccomp,
            machine=platform.machine(),
            masked=host.masked_paths,
            readonly=host.readonly_paths,
            mounts=mounts,
            files=files,
            tmpfs={m.target: ",".join(m.options) for m in record.mounts if m.type == "tmpfs"},
            shm_size=host.shm_size or 64 << 20,
            network=netns,
            pid=host.pid_mode or "private",
            ipc=_OWN_IPC.get(host.ipc_mode or "", host.ipc_mode or ""),
            uts=host.uts_mode or "private",
            cgroup=host.cgroupns_mode or "private",
            cgroup_mount=machine.cgroup_mount,
            sysctls=host.sysctls or {},
            rlimits=tuple(Rlimit(u.name, u.soft, u.hard) for u in host.ulimits or ()),
            init=machine.init if host.init else None,
            oom_score_adj=host.oom_score_adj or None,
            annotations=host.annotations or {},
            single_id=machine.single_id,
        )

    def _short(self, record: ContainerRecord) -> str:
        return self.places.owner_of(record).id[:12]

    def _spec_mount(self, mount: MountPoint) -> SpecMount:
        source = str(self._volumes.data(mount.volume)) if mount.type == "volume" else self._bind_source(mount)
        access = "ro" if mount.read_only else "rw"
        return SpecMount(mount.target, source, "bind", ("rbind", access, *(mount.options or ("rprivate",))))

    def _bind_source(self, mount: MountPoint) -> str:
        if mount.source in DOCKER_SOCKETS or mount.source == str(self._paths.socket):
            return str(self._paths.socket)
        if mount.mode != "must-exist" and not os.path.lexists(mount.source):
            # Docker makes a missing folder for -v.
            try:
                os.makedirs(mount.source)
            except OSError as error:
                raise InvalidRequest(
                    f"error while creating mount source path '{mount.source}': {error.strerror}",
                    hint="make the folder yourself, or choose one you may write to",
                ) from error
        return mount.source

    # -- facts ----------------------------------------------------------------------------------------

    @staticmethod
    def note(record: ContainerRecord, endpoints: tuple[Endpoint, ...], ports: Ports) -> ContainerRecord:
        """*record* with the addresses and ports it holds now."""
        return msgspec.structs.replace(record, endpoints=tuple(map(keep, endpoints)), ports=ports)

    def netns_of(self, record: ContainerRecord) -> str:
        has_own = record.endpoints and record.network != "host"
        return self._networks.path(record.id) if has_own else ""

    def resolve_user(self, record: ContainerRecord, text: str) -> users.User:
        """Who *text* is in the running container. Raises InvalidRequest in Docker's words."""
        return users.resolve(self.rootfs(record.id), text, record.host.group_add or ())

    async def top(self, record: ContainerRecord, ps_args: str) -> Wire:
        return await asyncio.to_thread(list_processes, record.state.pid, ps_args)

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

        def take_away() -> None:
            unmount_root(self.rootfs(container))
            shutil.rmtree(self.bundle_folder(container), ignore_errors=True)

        # quirk: an overlay that goes writes out all of the file system it lies on (ovl_sync_fs): seconds, at times.
        await asyncio.to_thread(take_away)

    async def restore(self, alive: list[str]) -> None:
        """After an engine restart: what *alive* containers hold is kept, the rest is taken away."""
        await self._networks.restore(alive)
        keep = set(alive)
        for folder in (self.box / "c", self.box / "rootfs"):
            for name in os.listdir(folder):
                if name not in keep:
                    await self.tear_down_id(name)

    async def forget(self, container: str) -> None:
        """Remove the container's folder on disk: its log and files."""
        await asyncio.to_thread(shutil.rmtree, self._containers / container, True)


def unmount_root(root: Path) -> None:
    """Unmount and remove the mount point *root*, if it is there. Lazily: a helper may still look at it."""
    while os.path.ismount(root):
        mounting.unmount(root, lazy=True)
    if root.exists():
        root.rmdir()


@dataclass(frozen=True, slots=True)
class _Security:
    no_new_privileges: bool
    seccomp: Any


def _security(host: HostConfig, machine: Machine) -> _Security:
    """``--security-opt``, checked. Raises InvalidRequest for an unknown word."""
    no_new_privileges = False
    seccomp: Any = "default" if machine.seccomp else "unconfined"
    for option in host.security_opt or ():
        key, _, value = option.replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
        if key == "no-new-privileges":
            no_new_privileges = value.lower() in ("", "1", "true")
        elif key == "seccomp" and value == "unconfined":
            seccomp = "unconfined"
        elif key == "seccomp":
            try:
                seccomp = msgspec.json.decode(value, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise InvalidRequest(f"opening seccomp profile failed: {error}") from error
        elif key not in ("label", "apparmor", "systempaths", "writable-cgroups"):
            raise InvalidRequest(f'invalid --security-opt 2: "{option}"')
    return _Security(no_new_privileges, seccomp)
