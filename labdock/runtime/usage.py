"""What processes use, read from /proc: for stats and limits where no cgroup controller counts it. man 5 proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TICK = 10**9 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of some processes together. Times in ns, with those of their ended children; sizes in bytes.

    Pages that several share are counted once. ``anonymous`` and ``shared`` can't be written back to a file, so
    only they press on the memory; ``file`` can.
    """

    user: int = 0
    system: int = 0
    anonymous: int = 0
    shared: int = 0
    file: int = 0
    threads: int = 0
    read: int = 0
    written: int = 0

    @property
    def memory(self) -> int:
        """What a memory limit is held against."""
        return self.anonymous + self.shared


def measure(pids: Iterable[int]) -> Usage:
    """The usage of *pids*; one that has ended meanwhile counts nothing. Blocks: well under a millisecond each."""
    user = system = anonymous = shared = file = threads = read = written = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is None:
            continue
        user += (int(fields[11]) + int(fields[13])) * TICK
        system += (int(fields[12]) + int(fields[14])) * TICK
        threads += int(fields[17])
        rollup = _numbers(f"/proc/{pid}/smaps_rollup")
        anonymous += rollup.get("Pss_Anon", 0) * 1024
        shared += rollup.get("Pss_Shmem", 0) * 1024
        file += rollup.get("Pss_File", 0) * 1024
        counted = _numbers(f"/proc/{pid}/io")
        read += counted.get("read_bytes", 0)
        written += counted.get("write_bytes", 0)
    return Usage(user, system, anonymous, shared, file, threads, read, written)


def bound_memory(pids: Iterable[int]) -> int:
    """At most this many bytes of memory do *pids* hold: quick, but what they share is counted for each."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as source:
                total += int(source.read(256).split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            continue
    return total


def read_interfaces(pid: int) -> dict[str, dict[str, int]]:
    """The network interfaces that process *pid* sees, without ``lo``, in the API's words; {} when it has ended."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as source:
            lines = source.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        values = [int(word) for word in rest.split()]
        if name.strip() == "lo" or len(values) < 12:
            continue
        received, sent = values[:4], values[8:12]
        words = ("bytes", "packets", "errors", "dropped")
        found[name.strip()] = {
            **{f"rx_{word}": value for word, value in zip(words, received, strict=True)},
            **{f"tx_{word}": value for word, value in zip(words, sent, strict=True)},
        }
    return found


def read_system_time() -> int:
    """The processor time that the machine has spent so far, idle or not, in ns (all processors together)."""
    with open("/proc/stat", "rb") as source:
        words = source.readline().split()
    # user nice system idle iowait irq softirq, as Docker adds them up; guests are in user already.
    return sum(int(word) for word in words[1:8]) * TICK


def _stat(pid: int) -> list[bytes] | None:
    """The fields of stat(5) from the third on."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            # The name, in brackets, may hold anything.
            fields = source.read(4096).rpartition(b")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > 21 else None


def _numbers(path: str) -> Mapping[str, int]:
    """``Name: 12 kB`` lines as numbers; {} when the process has ended, or is a zombie."""
    try:
        with open(path, "rb") as source:
            lines = source.read(16384).splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name.decode("ascii", "replace")] = int(words[0])
    return found
