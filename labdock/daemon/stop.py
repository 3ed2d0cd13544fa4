"""Stopping the engine and everything it runs: `python -m labdock.daemon.stop`. Status 0 also when none runs."""

from __future__ import annotations

import os
import signal
import sys

from labdock.daemon import home
from labdock.errors import EngineUnreachable, Forbidden, LabdockError
from labdock.schema.paths import Paths, locate
from labdock.sys import pidfds

#: Seconds until outer, which has its own deadline for the engine, is killed.
PATIENCE = 100.0


def stop(paths: Paths, *, seconds: float = PATIENCE) -> bool:
    """Ask outer to end and return when it has, and with it every process, mount and socket of the sandbox.

    False when no engine runs. Raises Forbidden (it is another user's), EngineUnreachable (it had to be killed).
    """
    pid = home.read_holder(paths)
    if pid is None:
        return False
    if pid == 0:
        raise EngineUnreachable(
            f"the engine that holds {paths.run} is in another pid namespace", hint="stop it from where it was started"
        )
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # The pid may have gone to another process between the two calls; while the lock names it, it has not.
        if home.read_holder(paths) != pid:
            return stop(paths, seconds=seconds)
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if pidfds.block_until_ended(pidfd, seconds):
            return True
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        pidfds.block_until_ended(pidfd, seconds)
    except PermissionError as error:
        raise Forbidden(f"the engine of {paths.run} (pid {pid}) is another user's") from error
    except ProcessLookupError:
        return True
    finally:
        os.close(pidfd)
    raise EngineUnreachable(
        f"the engine (pid {pid}) did not end within {seconds:g} s and was killed",
        hint="`labdock engine logs` says more",
    )


def main() -> int:
    try:
        stopped = stop(locate(os.environ, os.getuid()))
    except LabdockError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    print("stopped" if stopped else "not running")
    return 0


if __name__ == "__main__":
    sys.exit(main())
