"""The processes of a container, for ``top``: read from /proc, shown in ps(1)'s columns."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labdock.errors import InvalidRequest

Wire = dict[str, Any]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    uid: int
    tty: int
    ticks: int
    started: int
    size: int
    rss: int
    state: str
    name: str
    command: str


def list_processes(first: int, ps_args: str) -> Wire:
    """Every process in the pid namespace of *first*, as ``{"Titles": […], "Processes": [[…], …]}``.

    ``ps_args``: "" or ``-ef`` (Docker's default), ``aux``, or ``-o``/``-eo`` with a list of columns.
    Raises InvalidRequest for other options.
    """
    namespace = os.readlink(f"/proc/{first}/ns/pid")
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found.append(_read(int(entry)))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It ended, or is not ours to see.
    found.sort(key=lambda process: process.pid)
    columns = _columns(ps_args)
    rows = [[_cell(process, column) for column in columns] for process in found]
    return {"Titles": [column.upper() for column in columns], "Processes": rows}


def _columns(ps_args: str) -> list[str]:
    words = ps_args.replace(",", " ").split()
    if not words or words[0] in ("-ef", "ef", "-e"):
        return ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"]
    if words[0] in ("aux", "-aux"):
        return ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "command"]
    if words[0] in ("-o", "-eo", "o"):
        wanted = [word.lower() for word in words[1:]]
        unknown = [word for word in wanted if word not in _CELLS]
        if unknown:
            raise InvalidRequest(f"unknown ps column: {unknown[0]}", hint=f"known: {', '.join(sorted(_CELLS))}")
        return wanted
    raise InvalidRequest(f"ps options {ps_args!r} are not supported", hint="use none, aux, or -o with columns")


def _read(pid: int) -> _Process:
    folder = Path("/proc") / str(pid)
    name, _, rest = (folder / "stat").read_text().partition(" (")[2].rpartition(") ")
    fields = rest.split()
    command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return _Process(
        pid=pid,
        parent=int(fields[1]),
        uid=folder.stat().st_uid,
        tty=int(fields[4]),
        ticks=int(fields[11]) + int(fields[12]),
        started=int(fields[19]),
        size=int(fields[20]) // 1024,
        rss=int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024,
        state=fields[0],
        name=name,
        command=command or f"[{name}]",
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _clock(process: _Process) -> str:
    seconds = process.ticks // _TICKS
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _share(process: _Process) -> float:
    """Processor time over life time, in per cent, as ps(1) counts it."""
    lived = time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / _TICKS
    return 100 * process.ticks / _TICKS / max(lived, 1 / _TICKS)


def _memory(process: _Process) -> float:
    return 100 * process.rss * 1024 / (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _started(process: _Process) -> str:
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.strftime("%H:%M", time.localtime(booted + process.started / _TICKS))


_CELLS: dict[str, Callable[[_Process], str]] = {
    "uid": lambda p: _user(p.uid),
    "user": lambda p: _user(p.uid),
    "pid": lambda p: str(p.pid),
    "ppid": lambda p: str(p.parent),
    "c": lambda p: str(int(_share(p))),
    "%cpu": lambda p: f"{_share(p):.1f}",
    "%mem": lambda p: f"{_memory(p):.1f}",
    "vsz": lambda p: str(p.size),
    "rss": lambda p: str(p.rss),
    "stime": _started,
    "start": _started,
    "tty": lambda p: "?" if p.tty == 0 else f"pts/{p.tty & 0xFF}",
    "stat": lambda p: p.state,
    "time": _clock,
    "cmd": lambda p: p.command,
    "command": lambda p: p.command,
    "args": lambda p: p.command,
    "comm": lambda p: p.name,
}


def _cell(process: _Process, column: str) -> str:
    return _CELLS[column](process)
