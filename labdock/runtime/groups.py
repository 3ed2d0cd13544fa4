"""A cgroup for each container, where a part of the tree is the sandbox's own: limits, freezing, counting.

The runtime makes the group when it makes the container (so the container's cgroup namespace begins there), and
execs join it; its limits are written before the program runs. There are none where *root* is None: everything here
is then answered with nothing, and who asks has its way without.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labdock.errors import SystemFailure
from labdock.runtime.logs.watch import FolderWatch
from labdock.runtime.usage import Usage
from labdock.sys import cgroups
from labdock.sys.cgroups import Group

#: Where the sandbox has its tree, and the group in it that holds the containers'.
ROOT, CONTAINERS = Path("/sys/fs/cgroup"), "containers"
#: Seconds until all processes of a group are stopped, unless one hangs in the kernel.
FREEZING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What a group counts. ``usage`` as far as its controllers reach; ``kept``: the names of those.

    ``throttled``: periods, periods in which it was throttled, and for how long (ns). ``memory``: memory.stat.
    """

    usage: Usage
    held: int
    kept: frozenset[str]
    throttled: tuple[int, int, int]
    memory: Mapping[str, int]
    disks: Mapping[tuple[int, int], Mapping[str, int]]


class Groups:
    """The containers' groups below *root*; ``controls`` are the files that such a group has."""

    def __init__(self, root: Path | None) -> None:
        self._top = None if root is None else Group(root / CONTAINERS)
        self.controls = frozenset() if self._top is None else frozenset(os.listdir(self._top.folder))

    def __bool__(self) -> bool:
        return self._top is not None

    def name(self, container: str) -> str | None:
        """What the spec says for ``cgroupsPath``; None where there are none."""
        return f"/{CONTAINERS}/{container}" if self._top is not None else None

    def find(self, container: str) -> Group | None:
        """The container's group; None when it has none."""
        if self._top is None:
            return None
        found = self._top.child(container)
        return found if found.exists else None

    def limit(self, container: str, values: Iterable[tuple[str, str]]) -> None:
        """Write each (file, text) of *values*. Raises SystemFailure naming what was refused."""
        found = self.find(container)
        if found is None:
            return
        for name, text in values:
            try:
                found.write(name, text)
            except OSError as error:
                raise SystemFailure(
                    f'failed to write "{text}" to {name} of container {container[:12]}: {error.strerror}',
                    hint="ENODEV: io limits are for whole disks" if name.startswith("io.") else None,
                ) from error

    async def freeze(self, container: str) -> bool:
        """Stop all of it, until :meth:`thaw`; nothing in it notices. False when it has no group. SystemFailure."""
        found = self.find(container)
        if found is None:
            return False
        changed = asyncio.Event()
        watch = FolderWatch.shared()
        number = watch.add(found.folder, changed)
        try:
            found.write("cgroup.freeze", "1")
            async with asyncio.timeout(FREEZING_SECONDS):
                while not found.numbers("cgroup.events").get("frozen"):
                    await changed.wait()
                    changed.clear()
        except (OSError, TimeoutError) as error:
            self.thaw(container)
            raise SystemFailure(f"pausing container {container}: {error or 'it does not stop'}") from error
        finally:
            watch.remove(number, changed)
        return True

    def thaw(self, container: str) -> bool:
        """Let it go on; False when it was not frozen."""
        found = self.find(container)
        if found is None or found.read("cgroup.freeze") != "1":
            return False
        with contextlib.suppress(OSError):
            found.write("cgroup.freeze", "0")
        return True

    def deaths(self, container: str) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        found = self.find(container)
        return 0 if found is None else found.numbers("memory.events").get("oom_kill", 0)

    def count(self, container: str) -> Counted | None:
        """What it uses; None when it has no group. Blocks, for well under a millisecond."""
        found = self.find(container)
        return None if found is None else _count(found)

    def remove(self, container: str) -> None:
        """What has ended needs no group any more."""
        found = self.find(container)
        if found is not None:
            found.remove()

    def sweep(self, keep: Iterable[str]) -> None:
        """Remove the groups of all containers but *keep*."""
        if self._top is None:
            return
        kept = set(keep)
        for entry in os.scandir(self._top.folder):
            if entry.is_dir(follow_symlinks=False) and entry.name not in kept:
                Group(Path(entry.path)).remove()


def _count(group: Group) -> Counted:
    times, memory = group.numbers("cpu.stat"), group.numbers("memory.stat")
    disks = cgroups.read_devices(group.read("io.stat"))
    texts = {name: group.read(name) for name in ("memory.current", "pids.current")}
    numbers = {name: int(text) for name, text in texts.items() if text.isdecimal()}
    kept = {name.partition(".")[0] for name in numbers} | {"cpu"}
    if (group.folder / "io.stat").exists():
        kept.add("io")
    usage = Usage(
        user=times.get("user_usec", 0) * 1000,
        system=times.get("system_usec", 0) * 1000,
        anonymous=memory.get("anon", 0),
        shared=memory.get("shmem", 0),
        file=memory.get("file", 0) - memory.get("shmem", 0),
        threads=numbers.get("pids.current", 0),
        read=sum(disk.get("rbytes", 0) for disk in disks.values()),
        written=sum(disk.get("wbytes", 0) for disk in disks.values()),
    )
    throttled = (times.get("nr_periods", 0), times.get("nr_throttled", 0), times.get("throttled_usec", 0) * 1000)
    return Counted(usage, numbers.get("memory.current", 0), frozenset(kept), throttled, memory, disks)
