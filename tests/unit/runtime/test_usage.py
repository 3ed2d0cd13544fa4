"""What processes use, as /proc tells it."""

from __future__ import annotations

import os
import subprocess
import sys

from labdock.runtime import usage

#: Takes 40 MiB and a tenth of a second of processor time, says so, and waits.
BUSY = """
import sys, time
held = bytearray(b"x" * (40 << 20))
end = time.process_time() + 0.1
while time.process_time() < end: pass
print("ready", flush=True)
sys.stdin.read()
"""


def test_memory_time_and_threads_of_a_process_are_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = usage.measure([process.pid])
        bound = usage.bound_memory([process.pid])
        process.kill()
    assert 40 << 20 < found.memory < 100 << 20
    assert bound >= found.memory
    assert found.user + found.system >= 50_000_000
    assert found.threads == 1


def test_what_has_ended_counts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert usage.measure([process.pid]) == usage.Usage()
    assert usage.bound_memory([process.pid]) == 0
    assert usage.read_interfaces(process.pid) == {}


def test_interfaces_have_dockers_words_and_no_loopback() -> None:
    found = usage.read_interfaces(os.getpid())
    assert "lo" not in found
    words = {f"{way}_{word}" for way in ("rx", "tx") for word in ("bytes", "packets", "errors", "dropped")}
    assert all(set(counts) == words for counts in found.values())


def test_the_machines_time_grows() -> None:
    before = usage.read_system_time()
    assert 0 < before <= usage.read_system_time()
