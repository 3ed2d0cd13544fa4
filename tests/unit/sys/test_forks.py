"""fork into namespaces: from a process that has other threads too."""

from __future__ import annotations

import os
import threading

import pytest

from labdock.host import sandbox
from labdock.sys import pidfds
from tests.conftest import own_maps


@pytest.mark.parametrize("attempt", range(3))
def test_a_threaded_parent_does_not_hang_the_child(attempt: int) -> None:
    """The quirk of namespaces.become_root: glibc would wait in the child for threads that only the parent has."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        box = sandbox.spawn(own_maps(), lambda: 7 if os.getuid() == 0 and os.getgroups() == [] else 1)
        ended = False
        try:
            ended = pidfds.block_until_ended(box.pidfd, 10)
        finally:
            if not ended:
                os.kill(box.pid, 9)
            os.close(box.pidfd)
            _, status = os.waitpid(box.pid, 0)
    finally:
        done.set()
        thread.join()
    assert ended
    assert os.waitstatus_to_exitcode(status) == 7
