"""The mounts of a container: Docker's defaults, then what was asked for, parents before children."""

from __future__ import annotations

from labdock.errors import InvalidRequest
from labdock.runtime.spec.request import SpecRequest

_Mount = dict[str, object]


def build_mounts(request: SpecRequest, init_path: str) -> list[_Mount]:
    """All mounts in the order in which the runtime makes them.

    What was asked for replaces a default with the same target. Defaults come first, then the rest by
    the depth of their targets, so that no mount hides one that was asked for below it.
    """
    asked = [_entry(m.target, m.type, m.source, m.options) for m in request.mounts]
    asked += [_tmpfs(target, options) for target, options in request.tmpfs.items()]
    taken = {str(m["destination"]).rstrip("/") or "/" for m in asked}
    defaults = [m for m in _defaults(request) if m["destination"] not in taken]
    asked += [
        _entry(target, "bind", source, ("rbind", "rprivate"))
        for target, source in request.files.items()
        if target not in taken
    ]
    if request.init is not None:
        asked.append(_entry(init_path, "bind", request.init, ("bind", "ro")))
    asked.sort(key=lambda m: str(m["destination"]).rstrip("/").count("/"))
    return defaults + asked


def _entry(target: str, kind: str, source: str, options: tuple[str, ...]) -> _Mount:
    if not target.startswith("/"):
        raise InvalidRequest(f"invalid mount config: mount path must be absolute: {target!r}")
    if kind == "bind" and not {"bind", "rbind"} & set(options):
        options = ("rbind", *options)
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _tmpfs(target: str, options: str) -> _Mount:
    """Docker's tmpfs defaults, and the caller's words after them (the last word counts)."""
    words = ("noexec", "nosuid", "nodev", *(word for word in options.split(",") if word))
    return _entry(target, "tmpfs", "tmpfs", tuple(_latest(words)))


def _latest(words: tuple[str, ...]) -> list[str]:
    """*words* without those that a later word contradicts: exec after noexec, rw after ro, a repeated size=."""
    kept: dict[str, str] = {}
    for word in words:
        key = word.split("=", 1)[0]
        key = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "rw": "ro"}.get(key, key)
        kept.pop(key, None)
        kept[key] = word
    return list(kept.values())


def _defaults(request: SpecRequest) -> list[_Mount]:
    writable = "rw" if request.privileged else "ro"
    safe = ("nosuid", "noexec", "nodev")
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    if not request.single_id:
        # quirk: gid=5 (tty) must be mapped, else devpts is refused with EINVAL.
        terminals.append("gid=5")
    found = [
        _entry("/proc", "proc", "proc", safe),
        _entry("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        _entry("/dev/pts", "devpts", "devpts", tuple(terminals)),
        _entry("/sys", "sysfs", "sysfs", (*safe, writable)),
    ]
    if request.cgroup_mount:
        found.append(_entry("/sys/fs/cgroup", "cgroup", "cgroup", (writable, *safe)))
    if request.ipc == "host":
        found.append(_entry("/dev/mqueue", "bind", "/dev/mqueue", ("rbind", *safe)))
        found.append(_entry("/dev/shm", "bind", "/dev/shm", ("rbind", *safe)))
        return found
    # In another container's namespace its queues are seen; its shared memory is a folder that the caller mounts.
    found.append(_entry("/dev/mqueue", "mqueue", "mqueue", safe))
    if request.shm_size and request.ipc == "private":
        found.append(_entry("/dev/shm", "tmpfs", "shm", (*safe, "mode=1777", f"size={request.shm_size}")))
    return found
