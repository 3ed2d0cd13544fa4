"""The programs that labdock did not write: where they are, and which package brings a missing one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from labdock.host.plan import Probe

#: Where administrators' programs live, which a user's PATH often lacks.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: its Debian ``package``, and the ``cost`` of not having it; ``needed``: nothing runs without it."""

    name: str
    package: str
    cost: str
    needed: bool = True


TOOLS = (
    Tool("crun", "crun", "containers can't be run"),
    Tool("conmon", "conmon", "containers can't be run"),
    Tool("nft", "nftables", "containers have no network"),
    Tool("slirp4netns", "slirp4netns", "containers can't reach the outside"),
    Tool("newuidmap", "uidmap", "the sandbox has one user id, too few for most images"),
    Tool("newgidmap", "uidmap", "the sandbox has one group id, too few for most images"),
    Tool("catatonit", "catatonit", "`--init` does not work", needed=False),
    Tool("busybox", "busybox-static", "the bundled image `busybox` is not there", needed=False),
    Tool("fuse-overlayfs", "fuse-overlayfs", "there is no stand-in where the kernel refuses overlay", needed=False),
    Tool("mmdebstrap", "mmdebstrap", "`labdock images bootstrap` does not work", needed=False),
)

#: Root writes id maps itself.
_ONLY_FOR_USERS = frozenset({"newuidmap", "newgidmap"})


def find_tools(environment: Mapping[str, str]) -> dict[str, str]:
    """Absolute paths of the TOOLS that are on PATH, or in the administrator's folders that PATH may lack.

    A PATH that LABDOCK_PATH gives is taken alone, without those folders.
    """
    alone = environment.get("LABDOCK_PATH")
    folders = [alone] if alone else [environment.get("PATH", ""), *_MORE_FOLDERS]
    search = os.pathsep.join(folders)
    found = ((tool.name, shutil.which(tool.name, path=search)) for tool in TOOLS)
    return {name: os.path.abspath(path) for name, path in found if path}


def probe_tools(found: Mapping[str, str], uid: int) -> tuple[Probe, ...]:
    """One Probe for each of the TOOLS that *uid* can use, with its path or how to install it."""
    return tuple(
        Probe(tool.name, True, detail=found[tool.name])
        if tool.name in found
        else Probe(
            tool.name,
            False,
            detail="not found on PATH",
            cost=tool.cost,
            lift=f"sudo apt-get install {tool.package}",
            who="an administrator",
        )
        for tool in _usable(uid)
    )


def missing_packages(found: Mapping[str, str], uid: int) -> tuple[list[str], list[str]]:
    """(names, Debian packages) of the needed TOOLS that are not *found*, in TOOLS' order, packages once each."""
    lacking = [tool for tool in _usable(uid) if tool.needed and tool.name not in found]
    return [tool.name for tool in lacking], list(dict.fromkeys(tool.package for tool in lacking))


def _usable(uid: int) -> tuple[Tool, ...]:
    return tuple(tool for tool in TOOLS if uid != 0 or tool.name not in _ONLY_FOR_USERS)
