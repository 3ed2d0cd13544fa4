"""conmon(8): how it is started, what it reports, how its end is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from labdock.errors import SystemFailure
from labdock.runtime import Bundle, Exit, children
from labdock.runtime.monitor.layout import Layout

#: conmon reports within milliseconds; a runtime that hangs is given up after this many seconds.
REPORT_SECONDS = 60.0


class Settings(msgspec.Struct, frozen=True):
    """What an adopting engine must know of a container.

    ``capabilities``: its bounding set, which execs get too. ``joined``: the kinds of namespaces that are another's.
    """

    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    joined: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """conmon's line on the sync pipe: the container's pid, or -1 and the runtime's stderr."""

    pid: int = -1
    message: str = ""


def usable_options(conmon: str) -> tuple[str, ...]:
    """The options that not every conmon has: those whose names are in the program.

    ``--no-sync-log`` (2.1): no fsync of the log at the end; what was written is in the page cache, so it
    survives every death but the machine's.
    """
    return ("--no-sync-log",) if b"no-sync-log" in Path(conmon).read_bytes() else ()


def command_line(
    conmon: str, options: tuple[str, ...], runtime: str, runtime_args: tuple[str, ...], bundle: Bundle
) -> list[str]:
    """conmon's arguments for *bundle*.

    ``--sync``: conmon stays our own child (one fork less, and its pid is known without a pid file).
    ``--full-attach``: the attach socket lies in the bundle, at any depth.
    """
    layout = Layout(bundle.folder)
    line = [
        *(conmon, "--sync", "--full-attach", *options),
        *("--cid", bundle.id, "--cuuid", bundle.id, "--name", bundle.id),
        *("--runtime", runtime, "--bundle", str(bundle.folder)),
        *("--exit-dir", str(layout.exits), "--container-pidfile", str(layout.pid)),
        *("--log-path", f"k8s-file:{bundle.log}" if bundle.log else "off:"),
        *("--log-level", "error"),
        # quirk: a keyring for each container is one of the 200 keys that a user may have (kernel.keys.maxkeys).
        "--no-new-keyring",
    ]
    for argument in runtime_args:
        line += ["--runtime-arg", argument]
    if bundle.tty:
        line.append("--terminal")
    if bundle.stdin:
        line.append("--stdin")
        if not bundle.stdin_once:
            line.append("--leave-stdin-open")
    return line


async def start(
    argv: list[str], environment: Mapping[str, str], null: int, errors: int
) -> tuple[children.Child, Report]:
    """Start conmon and wait for its report. *null* is an open /dev/null, *errors* where its own stderr goes."""
    read, write = os.pipe()
    try:
        child = children.spawn(
            argv, dict(environment) | {"_OCI_SYNCPIPE": "3"}, {0: null, 1: null, 2: errors, 3: write}
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    try:
        line = await asyncio.wait_for(children.read_until(read, b"\n"), REPORT_SECONDS)
    except BaseException as error:
        child.kill()
        if isinstance(error, TimeoutError):
            raise SystemFailure(f"{argv[0]} did not report within {REPORT_SECONDS:g} s") from error
        raise
    finally:
        os.close(read)
    if not line:
        return child, Report()
    try:
        return child, msgspec.json.decode(line, type=Report)
    except msgspec.DecodeError as error:
        child.kill()
        raise SystemFailure(f"{argv[0]} reported {line[:200]!r}") from error


def read_exit(layout: Layout, container: str) -> Exit | None:
    """What conmon wrote at the container's end; None when it wrote nothing. The time is the file's."""
    try:
        with open(layout.exits / container, "rb") as file:
            text = file.read(32)
            at = os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None
    try:
        code = int(text)
    except ValueError:
        # Created and not yet written when its writer was killed.
        return None
    return Exit(code=code, at=at, oom_killed=layout.out_of_memory.exists())


def is_monitor(pid: int, folder: Path) -> bool:
    """Whether *pid* is, now, a conmon of the bundle in *folder*."""
    words = _command(f"/proc/{pid}/cmdline")
    return b"--full-attach" in words and os.fsencode(folder) in words


def find_monitors() -> dict[str, int]:
    """All conmons in our pid namespace: container id → pid. Reads every process's command line."""
    found = {}
    for pid, words in _commands():
        if b"--full-attach" in words and b"--cid" in words:
            container = words[words.index(b"--cid") + 1]
            found[container.decode("ascii", "replace")] = pid
    return found


def find_programs(folder: Path) -> list[int]:
    """Everything that works on the bundle in *folder*: conmon, crun, and a container that was not started.

    Zombies have no command line, so they are not among them.
    """
    bundle = os.fsencode(folder)
    return [pid for pid, words in _commands() if bundle in words and b"--bundle" in words]


def _commands() -> Iterator[tuple[int, list[bytes]]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            yield int(entry.name), _command(f"{entry.path}/cmdline")


def _command(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read(65536).split(b"\0")
    except OSError:
        return []
