"""Capabilities: Docker's default set and what --cap-add, --cap-drop and --privileged make of it. man 7 capabilities."""

from __future__ import annotations

from collections.abc import Iterable

from labdock.errors import InvalidRequest

#: In the kernel's numbering (include/uapi/linux/capability.h), 0 to 40: all of Linux 5.9 and later.
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
    "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
ALL: tuple[str, ...] = tuple(f"CAP_{name}" for name in _NAMES.split())

#: What a container has when nothing was said (Docker's documentation, "Runtime privilege and Linux capabilities").
_DEFAULT_NAMES = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP "
    "SETUID SYS_CHROOT"
)
DEFAULT: frozenset[str] = frozenset(f"CAP_{name}" for name in _DEFAULT_NAMES.split())


def choose_capabilities(
    add: Iterable[str],
    drop: Iterable[str],
    *,
    privileged: bool = False,
    everything: tuple[str, ...] = ALL,
) -> tuple[str, ...]:
    """The bounding set, in the kernel's order. Names with or without CAP_, in any case; ALL means *everything*.

    As Docker: privileged ignores both lists; what is added wins over what is dropped, unless ALL is added.
    Raises InvalidRequest for a name that is no capability.
    """
    added, dropped = _normalise(add), _normalise(drop)
    if privileged:
        return everything
    if "ALL" in added:
        chosen = frozenset(everything) - dropped
    elif "ALL" in dropped:
        chosen = frozenset(added)
    else:
        chosen = (DEFAULT - dropped) | added
    return tuple(name for name in everything if name in chosen)


def _normalise(names: Iterable[str]) -> set[str]:
    normal = set()
    for name in names:
        word = name.upper()
        if word != "ALL" and not word.startswith("CAP_"):
            word = f"CAP_{word}"
        if word != "ALL" and word not in ALL:
            raise InvalidRequest(f'invalid capability: "{name}"', hint="man 7 capabilities lists them")
        normal.add(word)
    return normal
