"""Shared fixtures, and the ``sandbox`` mark: such a test runs as root of a fresh sandbox of its own."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import hypothesis
import pytest

from labdock.daemon import sandbox
from labdock.host.ids import IdMaps, map_ids, read_ranges
from labdock.sys import mounts

# The machine may be busy and the checkout somebody else's: no deadline for one example, nothing kept between runs.
hypothesis.settings.register_profile("labdock", deadline=None, database=None)
hypothesis.settings.load_profile("labdock")

#: Seconds for one test; a test that needs more says so: ``@pytest.mark.limit(300)``.
LIMIT = 120
#: What the outside of a sandbox waits longer than its inside, which can say where it hangs.
GRACE = 10


class TookTooLong(BaseException):
    """A test ran out of its time. No ``Exception``: what is under test must not swallow it."""


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise TookTooLong("the test ran out of its time")


def _limit(item: pytest.Item) -> int:
    mark = item.get_closest_marker("limit")
    return int(mark.args[0]) if mark else LIMIT


@contextmanager
def _bounded(item: pytest.Item) -> Iterator[None]:
    """Bounded by an alarm: a watchdog thread would not do beside tests that fork."""
    outside = item.get_closest_marker("sandbox") is not None
    before = signal.signal(signal.SIGALRM, _ring)
    signal.alarm(_limit(item) + (GRACE if outside else 0))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _bounded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _bounded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with _bounded(item):
        return (yield)


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
        # An alarm is not inherited; its handler is.
        signal.alarm(_limit(pyfuncitem))
        try:
            _settle()
            pyfuncitem.obj(**arguments)
        except pytest.skip.Exception as skipped:
            outcome = ("skipped", str(skipped))
        except BaseException:
            info = pytest.ExceptionInfo.from_current()
            outcome = ("failed", str(info.getrepr(style="long", chain=True)))
        signal.alarm(0)
        with os.fdopen(write, "wb") as out:
            pickle.dump(outcome, out)
        return 0

    started = sandbox.spawn(own_maps(), main)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as source:
            data = source.read()
    except TookTooLong:
        signal.pidfd_send_signal(started.pidfd, signal.SIGKILL)
        raise
    finally:
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
