"""What runs here, as JSON: `python -m labdock.daemon.status`. Status 0 when an engine runs, 3 when none does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from labdock.daemon import home
from labdock.errors import LabdockError
from labdock.schema.paths import Paths, locate

#: As of LSB's "program is not running".
NOT_RUNNING = 3


def describe(paths: Paths) -> dict[str, Any]:
    """``running``, ``socket``, ``data``, ``run``, ``log``; when it runs also ``pid`` (outer's), ``ready``, ``rung``,
    ``identity``, ``notices`` and ``processes`` (role, pid, ``pss``: proportional set size in bytes).
    """
    answer: dict[str, Any] = {
        "running": False,
        "socket": str(paths.socket),
        "data": str(paths.data),
        "run": str(paths.run),
        "log": str(paths.log),
    }
    pid = home.read_holder(paths)
    if pid is None:
        return answer
    answer |= {"running": True, "pid": pid, "ready": False}
    try:
        status = json.loads((paths.run / "status.json").read_text())
    except (FileNotFoundError, ValueError):
        return answer
    if status["outer"] != pid:
        # Left behind by an engine that was killed; this one is still starting.
        return answer
    plan = status["plan"]
    answer |= {name: plan[name] for name in ("rung", "identity", "notices")}
    return answer | {"ready": True, "processes": list(_processes(status["outer"], status["inner"]))}


def _processes(outer: int, inner: int) -> list[dict[str, Any]]:
    engines = [pid for pid in _children(inner) if _name(pid) == "labdock-engine"]
    known = (("outer", outer), ("inner", inner), *(("engine", pid) for pid in engines))
    return [{"role": role, "pid": pid, "pss": _pss(pid)} for role, pid in known]


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _pss(pid: int) -> int:
    """Proportional set size in bytes; 0 when it can't be read (man 5 proc, smaps_rollup)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)


def main() -> int:
    try:
        answer = describe(locate(os.environ, os.getuid()))
    except (LabdockError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2))
    return 0 if answer["running"] else NOT_RUNNING


if __name__ == "__main__":
    sys.exit(main())
