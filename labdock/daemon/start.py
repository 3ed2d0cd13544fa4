"""Starting the engine, exactly once however many ask: `python -m labdock.daemon.start`.

Prints the API socket's path once the engine answers (notices go to stderr); else the diagnosis on stderr, status 1.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from labdock.daemon import handover, home
from labdock.daemon.report import Outcome, Report, await_outcome
from labdock.errors import EngineUnreachable, LabdockError
from labdock.schema.paths import Paths, locate

#: Seconds until a start counts as failed.
PATIENCE = 60.0
#: How often an engine that was there a moment ago, and is not, is looked for again.
_ATTEMPTS = 3
#: A log that is larger at a start is put aside (one is kept).
_LONGEST_LOG = 8 * 2**20

_PING = b"GET /_ping HTTP/1.1\r\nHost: labdock\r\nConnection: close\r\n\r\n"


def start(
    paths: Paths,
    environment: Mapping[str, str],
    *,
    engine: Sequence[str] = handover.ENGINE,
    seconds: float = PATIENCE,
) -> Outcome:
    """Return once an engine answers on *paths*' socket: the one that runs, or a new one.

    *engine* is the engine process's command. Forks, so the caller is single-threaded. Raises EngineUnreachable with
    the diagnosis that the new engine gave, and what :func:`home.prepare_folders` raises.
    """
    deadline = time.monotonic() + seconds
    paths = Paths(paths.data.absolute(), paths.run.absolute())
    for _ in range(_ATTEMPTS):
        if answers(paths.socket, deadline - time.monotonic()):
            return Outcome("running", pid=home.read_holder(paths) or 0)
        home.prepare_folders(paths, os.getuid())
        outcome = _launch(paths, environment, engine, deadline - time.monotonic())
        if outcome.state == "failed":
            raise EngineUnreachable(outcome.message, hint=outcome.hint or None)
        if answers(paths.socket, deadline - time.monotonic()):
            return outcome
    raise EngineUnreachable(
        f"the engine (pid {outcome.pid}) does not answer on {paths.socket}",
        hint="`labdock engine logs` shows what it does; `labdock engine stop` ends it",
    )


def answers(path: Path, seconds: float) -> bool:
    """Whether an engine answers GET /_ping on the socket *path* within *seconds* (one that starts is waited for)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(seconds, 0.1))
        try:
            connection.connect(str(path))
            connection.sendall(_PING)
            head = connection.recv(64)
        except OSError:
            return False
    return head.split(b" ", 2)[1:2] == [b"200"]


def _launch(paths: Paths, environment: Mapping[str, str], engine: Sequence[str], seconds: float) -> Outcome:
    """Fork outer and wait for what it says. Of several, all but one find that another one runs."""
    log = _open_log(paths)
    read, write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _become_outer(paths, environment, engine, log, write)
    os.close(log)
    os.close(write)
    outcome = await_outcome(read, seconds)
    if outcome.state != "ready":
        os.waitpid(pid, 0)
    return outcome


def _become_outer(paths: Paths, environment: Mapping[str, str], engine: Sequence[str], log: int, report: int) -> None:
    """In the forked child: a session of its own, nothing of the caller's terminal or folder. Never returns."""
    status = 1
    try:
        os.setsid()
        os.chdir("/")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        for fd, number in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(fd, number)
        _close_above(2, keep=report)
        from labdock.daemon import outer

        status = outer.main(outer.Order(paths, environment, engine), Report(report))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _close_above(last: int, keep: int) -> None:
    """Close what the caller's process happened to have open."""
    os.closerange(last + 1, keep)
    os.closerange(keep + 1, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _open_log(paths: Paths) -> int:
    try:
        if paths.log.exists() and paths.log.stat().st_size > _LONGEST_LOG:
            paths.log.replace(paths.log.with_suffix(".log.1"))
        return os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise home.translate(f"opening {paths.log}", error, home.STORE_HINT) from error


def main() -> int:
    paths = locate(os.environ, os.getuid())
    try:
        outcome = start(paths, os.environ)
    except LabdockError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    for notice in outcome.notices:
        print(f"notice: {notice}", file=sys.stderr)
    print(paths.socket)
    return 0


if __name__ == "__main__":
    sys.exit(main())
