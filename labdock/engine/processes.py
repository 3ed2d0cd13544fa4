"""The processes of a container, for ``top``: read from /proc, shown in ps(1)'s columns."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labdock.errors import InvalidRequest, SystemFailure

Wire = dict[str, Any]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    uid: int
    group: int
    session: int
    tty: int
    foreground: int
    priority: int
    nice: int
    processor: int
    threads: int
    ticks: int
    started: int
    size: int
    rss: int
    state: str
    name: str
    command: str


def list_processes(pids: Iterable[int], ps_args: str) -> Wire:
    """The processes *pids* as ``{"Titles": […], "Processes": [[…], …]}``; those that have ended are left out.

    ``ps_args`` as ps(1) has them: standard (``-ef``, Docker's default), BSD (``aux``) and lists of columns (``-o``).
    Raises InvalidRequest for what is none of them, SystemFailure in Docker's words for a list without the pid.
    """
    columns = read_columns(ps_args)
    if "pid" not in (column for column, _ in columns):
        raise SystemFailure("Couldn't find PID field in ps output", hint="add pid to the columns")
    found = []
    for pid in sorted(pids):
        # It ended, or is not ours to see.
        with contextlib.suppress(OSError, IndexError, ValueError):
            found.append(_read(pid))
    rows = [[_CELLS[column](process) for column, _ in columns] for process in found]
    return {"Titles": [title for _, title in columns], "Processes": rows}


_FULL = "uid pid ppid c stime tty time cmd"
_EXTRA = "uid pid ppid c sz rss psr stime tty time cmd"
_LONG = "s uid pid ppid c pri ni sz tty time cmd"
_PLAIN = "pid tty time cmd"
_USER = "user pid %cpu %mem vsz rss tty stat start time command"
_BSD = "pid tty stat time command"
_JOBS = "ppid pid pgid sid tty tpgid stat uid time command"


def read_columns(ps_args: str) -> list[tuple[str, str]]:
    """(column, title) pairs of ps(1)'s options *ps_args*. Raises InvalidRequest."""
    words = ps_args.split()
    lists: list[str] = []
    style, bsd = "", False
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            if name == "format" and equals:
                lists.append(value)
            elif name not in ("forest", "no-headers", "headers", "cumulative"):
                raise InvalidRequest(f"unknown ps option: {word}")
            continue
        letters = word.removeprefix("-")
        bsd = bsd or not word.startswith("-")
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter == "o" or (letter == "O" and not word.startswith("-")):
                text = letters or (words.pop(0) if words else "")
                if not text:
                    raise InvalidRequest("ps option o: a list of columns is missing")
                lists.append(text)
                break
            if letter not in "aAedefFgGhHjlLmNrTuUwxXyS":
                raise InvalidRequest(f"unknown ps option: {letter} in {word}", hint="-ef, aux, or -o with columns")
            style += letter
    if lists:
        return [pair for text in lists for pair in _read_list(text)]
    return [(name, name.upper()) for name in _chosen(style, bsd=bsd).split()]


def _chosen(style: str, *, bsd: bool) -> str:
    """The columns of the option letters *style*."""
    if bsd:
        return _USER if "u" in style else _JOBS if "j" in style else _LONG if "l" in style else _BSD
    for letter, columns in (("F", _EXTRA), ("l", _LONG), ("f", _FULL), ("j", "pid pgid sid tty time cmd")):
        if letter in style:
            return columns
    return _USER if "u" in style and style.strip("aux") == "" else _PLAIN


def _read_list(text: str) -> list[tuple[str, str]]:
    """``pid,comm=NAME``: a title goes on to the end."""
    found = []
    rest = text
    while rest:
        name, _, rest = rest.partition(",")
        name, equals, title = name.partition("=")
        if equals and rest:
            title, rest = f"{title},{rest}", ""
        name = _ALIASES.get(name.lower(), name.lower())
        if name not in _CELLS:
            raise InvalidRequest(f'unknown user-defined format specifier "{name}"', hint=f"known: {_KNOWN}")
        found.append((name, title if equals else name.upper()))
    return found


def _read(pid: int) -> _Process:
    folder = Path("/proc") / str(pid)
    name, _, rest = (folder / "stat").read_text().partition(" (")[2].rpartition(") ")
    fields = rest.split()
    command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return _Process(
        pid=pid,
        parent=int(fields[1]),
        uid=folder.stat().st_uid,
        group=int(fields[2]),
        session=int(fields[3]),
        tty=int(fields[4]),
        foreground=int(fields[5]),
        priority=int(fields[15]),
        nice=int(fields[16]),
        processor=int(fields[36]),
        threads=int(fields[17]),
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


def _lived(process: _Process) -> float:
    """Seconds since its start."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / _TICKS


def _share(process: _Process) -> float:
    """Processor time over life time, in per cent, as ps(1) counts it."""
    return 100 * process.ticks / _TICKS / max(_lived(process), 1 / _TICKS)


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
    "stat": lambda p: (
        p.state + ("<" if p.nice < 0 else "N" if p.nice > 0 else "") + ("s" if p.session == p.pid else "")
    ),
    "s": lambda p: p.state,
    "pgid": lambda p: str(p.group),
    "sid": lambda p: str(p.session),
    "tpgid": lambda p: str(p.foreground),
    "pri": lambda p: str(39 - p.priority),
    "ni": lambda p: str(p.nice),
    "psr": lambda p: str(p.processor),
    "nlwp": lambda p: str(p.threads),
    "sz": lambda p: str(p.size * 1024 // os.sysconf("SC_PAGE_SIZE")),
    "etimes": lambda p: str(int(_lived(p))),
    "lstart": lambda p: time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(time.time() - _lived(p))),
    "time": _clock,
    "cmd": lambda p: p.command,
    "command": lambda p: p.command,
    "args": lambda p: p.command,
    "comm": lambda p: p.name,
}
_ALIASES = {"pcpu": "%cpu", "pmem": "%mem", "state": "s", "tt": "tty", "tname": "tty", "vsize": "vsz", "rssize": "rss",
            "nice": "ni", "euid": "uid", "euser": "user", "ruser": "user", "ruid": "uid", "pgrp": "pgid",
            "sess": "sid", "session": "sid", "thcount": "nlwp", "start_time": "stime", "cputime": "time",
            "ucmd": "comm", "ucomm": "comm", "bsdtime": "time", "bsdstart": "start"}  # fmt: skip
_KNOWN = ", ".join(sorted(_CELLS))
