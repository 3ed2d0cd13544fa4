"""Resource limits of processes that the sandbox may not raise: what was asked for, within what this user has."""

from __future__ import annotations

import resource
from pathlib import Path

from labdock.runtime.spec import Rlimit
from labdock.schema.container import HostConfig


def bound_rlimits(host: HostConfig) -> tuple[tuple[Rlimit, ...], list[str]]:
    """``Ulimits`` as they can be had, and a warning for each that is less than was asked for."""
    found, warnings = [], []
    for limit in host.ulimits or ():
        number = getattr(resource, f"RLIMIT_{limit.name.upper().removeprefix('RLIMIT_')}", None)
        if number is None:
            # An unknown name is refused where the spec is made.
            found.append(Rlimit(limit.name, limit.soft, limit.hard))
            continue
        most = resource.getrlimit(number)[1]
        soft, hard = _least(limit.soft, most), _least(limit.hard, most)
        found.append(Rlimit(limit.name, soft, hard))
        if (soft, hard) != (limit.soft, limit.hard):
            warnings.append(
                f"The {limit.name} limit {limit.soft}:{limit.hard} is above what this user has; {soft}:{hard} is kept."
            )
    return tuple(found), warnings


def _least(asked: int, most: int) -> int:
    """The smaller of two limits, of which -1 is none at all."""
    if most == resource.RLIM_INFINITY:
        return asked
    return most if asked < 0 else min(asked, most)


def bound_score(host: HostConfig) -> tuple[int | None, bool]:
    """``OomScoreAdj`` as it can be had (None: left alone), and whether that is more than was asked for."""
    asked = host.oom_score_adj or 0
    own = int(Path("/proc/self/oom_score_adj").read_text())
    if not asked or asked < own:
        return None, asked < min(own, 0)
    return asked, False
