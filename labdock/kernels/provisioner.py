"""The provisioner ``labdock-provisioner``: how jupyter_client starts, asks after and ends a kernel in a container.

Made from a kernelspec's metadata by jupyter_client's KernelProvisionerFactory; runs in Jupyter's process. The engine is
spoken to in threads, so that Jupyter's loop never waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Bool, Int, List, Unicode

from labdock.errors import LabdockError
from labdock.kernels import launching, places
from labdock.kernels.launching import Watched
from labdock.kernels.places import Place
from labdock.kernels.specs import Settings

#: Seconds that a kernel may take to shut down by itself, at least.
SHUTDOWN = 10.0
#: Seconds in which a kernel that dies counts as one that never started, at least.
STABLE = 20.0


class LabdockProvisioner(LocalProvisioner):
    """A kernel in a container. Its traits are :class:`labdock.kernels.specs.Settings`."""

    image = Unicode(help="The image")
    image_id = Unicode(help="The id of the image that was looked into")
    python = Unicode("python3", help="The interpreter in the image")
    mounts = List(Unicode(), help="SRC:DST[:ro]")
    network = Unicode(help="A network's name, none, or nothing for the default one")
    memory = Int(0, help="Bytes; 0: unlimited")
    nano_cpus = Int(0, help="Processors times 10⁹; 0: unlimited")
    user = Unicode(help="The user in the image; root by default")
    variables = List(Unicode(), help="Names of variables that go in from the server's environment")
    api_socket = Bool(False, help="Whether the engine's socket is in the kernel's container")

    _place: Place | None = None
    _watched: Watched | None = None

    @property
    def settings(self) -> Settings:
        return Settings(
            image=self.image,
            image_id=self.image_id,
            python=self.python,
            mounts=tuple(self.mounts),
            network=self.network,
            memory=self.memory,
            nano_cpus=self.nano_cpus,
            user=self.user,
            # What the kernelspec sets by hand goes in too.
            variables=tuple({*self.variables, *(self.kernel_spec.env or {})}),
            api_socket=self.api_socket,
        )

    @property
    def has_process(self) -> bool:
        return self._watched is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Make the kernel's folder (once: it stays over restarts) and have the manager connect to sockets in it."""
        if self._place is None:
            try:
                self._place = await asyncio.to_thread(places.make, os.environ, others=bool(self.user))
            except LabdockError as error:
                raise launching.one_sentence(error) from error
            if self.parent is not None:
                self.parent.transport = "ipc"
                self.parent.cache_ports = False
                self.parent.ip = self._place.sockets
        try:
            return await super().pre_launch(**kwargs)
        except BaseException:
            self._forget()
            raise

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the container. *cmd* is what a front end without provisioners would run; it is not used."""
        place = self._place
        if place is None or self.parent is None:
            raise RuntimeError("a kernel in a container is started through pre_launch, by a KernelManager")
        settings = self.settings
        self.cwd = kwargs.get("cwd") or os.getcwd()
        environment = launching.chosen_environment(settings, kwargs.get("env") or {})
        connection = Path(self.parent.connection_file).read_bytes()
        launch = asyncio.to_thread(
            launching.launch,
            settings,
            place,
            connection,
            environment,
            Path(os.path.abspath(self.cwd)),
            name=f"kernel-{place.name}",
        )
        try:
            self._watched = await launch
        except BaseException:
            self._forget()
            raise
        return self.connection_info

    async def poll(self) -> int | None:
        watched = self._watched
        if watched is None:
            return 0
        return watched.ended.result() if watched.ended.done() else None

    async def wait(self) -> int | None:
        watched = self._watched
        if watched is None:
            return 0
        # Shielded: a caller that gives up must not take the end's knowledge along.
        code = await asyncio.shield(asyncio.wrap_future(watched.ended))
        if self._watched is watched:
            self._watched = None
        return code

    async def send_signal(self, signum: int) -> None:
        if self._watched is not None and signum:
            await asyncio.to_thread(self._watched.signal, signal.Signals(signum).name)

    async def kill(self, restart: bool = False) -> None:
        if self._watched is not None:
            await asyncio.to_thread(self._watched.remove)

    async def terminate(self, restart: bool = False) -> None:
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        if not restart:
            self._forget()

    def _forget(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def __del__(self) -> None:
        # Whoever drops a manager without a cleanup drops its kernel.
        self._forget()

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        return max(recommended, SHUTDOWN)

    def get_stable_start_time(self, recommended: float = 10.0) -> float:
        return max(recommended, STABLE)

    def resolve_path(self, path_str: str) -> str | None:
        """Where a path of the kernel's is on this machine; None when it is only in the container."""
        path = os.path.normpath(os.path.join(str(self.cwd or "/"), path_str))
        inside = {str(self.cwd): str(self.cwd)} if self.cwd else {}
        for mount in map(launching.read_mount, self.mounts):
            if mount.type == "bind":
                inside[mount.target] = mount.source
            else:
                inside[mount.target] = ""
        # The longest target that holds it is the mount it lies on.
        for target in sorted(inside, key=len, reverse=True):
            if path == target or path.startswith(target.rstrip("/") + "/"):
                found = inside[target] + path[len(target) :]
                return found if inside[target] and os.path.exists(found) else None
        return None

    async def get_provisioner_info(self) -> dict[str, Any]:
        found = dict(await super().get_provisioner_info())
        return found | {"container": self._watched.id if self._watched else None}
