"""fork into namespaces: from a process that has other threads too."""

from __future__ import annotations

import _thread
import os

from labdock.host import sandbox
from labdock.sys import pidfds
from tests.conftest import own_maps


def test_a_parent_that_is_starting_a_thread_does_not_hang_the_child() -> None:
    """The quirk of namespaces.become_root; with os.setgroups() there, about one in six of these hangs.

    One may: clone(2) leaves malloc's locks as the other thread had them, once in some hundreds of times.
    """
    maps = own_maps()
    hung = 0
    for _ in range(40):
        lock = _thread.allocate_lock()
        lock.acquire()
        _thread.start_new_thread(lock.acquire, ())
        box = sandbox.spawn(maps, lambda: 7 if os.getuid() == 0 and os.getgroups() == [] else 1)
        ended = pidfds.block_until_ended(box.pidfd, 10)
        if not ended:
            os.kill(box.pid, 9)
        os.close(box.pidfd)
        _, status = os.waitpid(box.pid, 0)
        lock.release()
        hung += not ended
        assert hung <= 1
        assert not ended or os.waitstatus_to_exitcode(status) == 7
