"""Processor time of programs: what a busy machine does not change much."""

from __future__ import annotations

import resource
import subprocess
import sys


def cost(*programs: str, runs: int = 7) -> tuple[float, ...]:
    """Seconds of processor time that an interpreter takes for each program: the least of *runs*, run in turn."""
    found: list[list[float]] = [[] for _ in programs]
    for _ in range(runs):
        for program, times in zip(programs, found, strict=True):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return tuple(min(times) for times in found)
