"""Shared fixtures, and the ``sandbox`` mark: such a test runs as root of a fresh sandbox of its own."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import hypothesis
import pytest

from labdock.daemon import sandbox
from labdock.host.ids import IdMaps, map_ids, read_ranges
from labdock.sys import mounts

# The machine may be busy and the checkout somebody else's: no deadline for one example, nothing kept between runs.
hypothesis.settings.register_profile("labdock", deadline=None, database=None)
hypothesis.settings.load_profile("labdock")


def own_maps() -> IdMaps:
    """The id maps that this user's sandbox has here."""
    uid, gid = os.getuid(), os.getgid()
    return IdMaps(
        map_ids(uid, read_ranges(Path("/etc/subuid"), uid)), map_ids(gid, read_ranges(Path("/etc/subgid"), uid))
    )


def _settle() -> None:
    """What inner does first: private mounts, a fresh /proc, cgroup2 where crun looks for it."""
    mounts.mount("none", "/", None, mounts.REC | mounts.PRIVATE)
    mounts.mount("proc", "/proc", "proc", mounts.NOSUID | mounts.NODEV | mounts.NOEXEC)
    mounts.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", mounts.NOSUID | mounts.NODEV | mounts.NOEXEC)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests marked ``sandbox`` in a forked process; its outcome comes back through a pipe."""
    if pyfuncitem.get_closest_marker("sandbox") is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    read, write = os.pipe()

    def main() -> int:
        os.close(read)
        outcome: tuple[str, str] = ("passed", "")
        try:
            _settle()
            pyfuncitem.obj(**arguments)
        except pytest.skip.Exception as skipped:
            outcome = ("skipped", str(skipped))
        except BaseException:
            info = pytest.ExceptionInfo.from_current()
            outcome = ("failed", str(info.getrepr(style="long", chain=True)))
        with os.fdopen(write, "wb") as out:
            pickle.dump(outcome, out)
        return 0

    started = sandbox.spawn(own_maps(), main)
    os.close(write)
    with os.fdopen(read, "rb") as source:
        data = source.read()
    os.close(started.pidfd)
    _, status = os.waitpid(started.pid, 0)
    if not data:
        pytest.fail(f"the sandbox ended without a word (status {status})", pytrace=False)
    kind, text = pickle.loads(data)
    if kind == "failed":
        pytest.fail(f"in the sandbox:\n{text}", pytrace=False)
    if kind == "skipped":
        pytest.skip(text)
    return True
