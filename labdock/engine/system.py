"""The engine as a whole: version, info, disk use, the doctor's words."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import platform
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import labdock
from labdock.engine.disk import measure_rest
from labdock.engine.explaining import explain
from labdock.engine.images import ImageService
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.engine.views import show_time, summarise
from labdock.engine.volumes import Volumes
from labdock.errors import NoSuchImage, NotFound
from labdock.host.plan import Plan
from labdock.schema.paths import Paths
from labdock.store.snapshots import Snapshotter

Wire = dict[str, Any]
API_VERSION, MIN_API_VERSION = "1.51", "1.24"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class System:
    """What ``docker version``, ``info`` and ``system df`` ask for."""

    def __init__(
        self,
        plan: Plan,
        paths: Paths,
        engine_id: str,
        ledger: Ledger,
        images: ImageService,
        volumes: Volumes,
        snapshotter: Snapshotter,
        list_cache: Callable[[], Awaitable[list[Wire]]],
        controls: Collection[str] = (),
    ) -> None:
        """*controls*: the files that containers' cgroups have."""
        self._plan = plan
        self._paths = paths
        self._id = engine_id
        self._ledger = ledger
        self._images = images
        self._volumes = volumes
        self._snapshotter = snapshotter
        self._list_cache = list_cache
        self._controls = frozenset(controls)
        self._started = time.time_ns()

    def ping_headers(self) -> dict[str, str]:
        return {
            "Api-Version": API_VERSION,
            "Builder-Version": "1",
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Swarm": "inactive",
        }

    def version(self) -> Wire:
        kernel = platform.release()
        arch = _architecture()
        details = {
            "ApiVersion": API_VERSION,
            "Arch": arch,
            "BuildTime": show_time(self._started),
            "Experimental": "false",
            "GitCommit": "",
            "KernelVersion": kernel,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": "linux",
            "Rung": self._plan.rung,
        }
        return {
            "Platform": {"Name": "labdock"},
            "Components": [{"Name": "Engine", "Version": labdock.__version__, "Details": details}],
            "Version": labdock.__version__,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": arch,
            "KernelVersion": kernel,
            "BuildTime": show_time(self._started),
        }

    def info(self) -> Wire:
        counts = {status: 0 for status in Status}
        for record in self._ledger:
            counts[record.state.status] += 1
        running, paused = counts[Status.RUNNING] + counts[Status.RESTARTING], counts[Status.PAUSED]
        plan = self._plan
        name = {
            "user": "rootless",
            "root-mapped": "userns",
            "root-identity": "",
        }.get(plan.identity, "")
        security = ["name=seccomp,profile=builtin"] if plan.seccomp else []
        security += [f"name={name}"] if name else []
        return {
            "ID": self._id,
            "Containers": len(self._ledger),
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": len(self._ledger) - running - paused,
            "Images": self._images.count(),
            "Driver": self._snapshotter.name,
            "DriverStatus": [["Rung", plan.rung], ["Identity", plan.identity], ["Egress", plan.egress]],
            "DockerRootDir": str(self._paths.data),
            "SystemStatus": None,
            "Plugins": {"Volume": self._volumes.drivers, "Network": ["bridge", "host", "none"], "Authorization": None,
                        "Log": ["json-file", "none"]},
            "MemoryLimit": "memory.max" in self._controls,
            "SwapLimit": "memory.swap.max" in self._controls,
            "CpuCfsPeriod": "cpu.max" in self._controls,
            "CpuCfsQuota": "cpu.max" in self._controls,
            "CPUShares": "cpu.weight" in self._controls,
            "CPUSet": "cpuset.cpus" in self._controls,
            "PidsLimit": "pids.max" in self._controls,
            "IPv4Forwarding": True,
            "Debug": logging.getLogger("labdock").isEnabledFor(logging.DEBUG),
            "NFd": len(os.listdir("/proc/self/fd")),
            "OomKillDisable": False,
            "NGoroutines": len(asyncio.all_tasks()),
            "SystemTime": show_time(time.time_ns()),
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs" if plan.cgroups == "own" else "none",
            "CgroupVersion": "2",
            "NEventsListener": 0,
            "KernelVersion": platform.release(),
            "OperatingSystem": _operating_system(),
            "OSVersion": "",
            "OSType": "linux",
            "Architecture": platform.machine(),
            "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": None},
            "NCPU": len(os.sched_getaffinity(0)),
            "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "GenericResources": None,
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Name": platform.node(),
            "Labels": [],
            "ExperimentalBuild": False,
            "ServerVersion": labdock.__version__,
            "Runtimes": {"crun": {"path": plan.tools.get("crun", "crun")}},
            "DefaultRuntime": "crun",
            "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False,
                      "Error": "", "RemoteManagers": None},
            "LiveRestoreEnabled": True,
            "Isolation": "",
            "InitBinary": "catatonit",
            "ContainerdCommit": {"ID": ""},
            "RuncCommit": {"ID": ""},
            "InitCommit": {"ID": ""},
            "SecurityOptions": security,
            "Warnings": list(plan.notices),
        }  # fmt: skip

    async def df(self, kinds: frozenset[str] = frozenset()) -> Wire:
        """``GET /system/df``; sizes are measured on the disk, in worker threads. *kinds*: what of it (none: all)."""
        found: Wire = {}
        if not kinds or "image" in kinds:
            found |= await asyncio.to_thread(self._images.measure)
            found["Images"] = self._images.list(True, {}, False, shared=True)
        if not kinds or "container" in kinds:
            found["Containers"] = await asyncio.to_thread(self._measure, tuple(self._ledger))
        if not kinds or "volume" in kinds:
            found["Volumes"] = await self._volumes.measure()
        if not kinds or "build-cache" in kinds:
            cached = await self._list_cache()
            found["BuildCache"] = cached
            found["BuilderSize"] = sum(entry["Size"] for entry in cached if not entry["Shared"])
        if not kinds:
            found["Labdock"] = await asyncio.to_thread(measure_rest, self._paths.data)
        return found

    def _measure(self, records: Sequence[ContainerRecord]) -> list[Wire]:
        found = []
        for record in records:
            # One may be removed meanwhile.
            with contextlib.suppress(NotFound):
                size = self._snapshotter.usage(record.id).size
                found.append(summarise(record, volumes=str(self._volumes.folder)) | {"SizeRw": size})
        return found

    async def explain(self, ref: str) -> Wire:
        """What was done to make the container *ref* (``labdock explain``). Raises NoSuchContainer."""
        record = self._ledger.get(ref)
        try:
            layers = self._images.history(record.image_id)
        except NoSuchImage:  # It was removed by force.
            layers = []

        def look() -> Wire:
            written = self._snapshotter.usage(record.id).size if self._snapshotter.has(record.id) else 0
            return explain(record, self._plan, layers, written)

        return await asyncio.to_thread(look)

    def doctor(self) -> Wire:
        """The Plan with each probe, for ``labdock doctor`` against a running engine."""
        return dataclasses.asdict(self._plan)


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
