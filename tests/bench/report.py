"""The figures as a table for people and as JSON for whoever compares runs."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.engines import Engine
from tests.bench.measures import Series
from tests.bench.processes import Usage

#: The engine whose ratios are told; all others are its peers.
OURS = "labdock"


@dataclass(frozen=True, slots=True)
class Row:
    """One timed measure. ``goal``: the highest ratio of labdock's median to the fastest peer's that is good enough."""

    title: str
    goal: float
    series: dict[str, Series]
    against: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        peers = [self.series[name].median for name in self.against if name in self.series]
        if not peers or OURS not in self.series:
            return None
        return self.series[OURS].median / min(peers)


@dataclass(frozen=True, slots=True)
class Amount:
    """One measure that is no time, and what is good enough of it for labdock, whatever the peers take."""

    title: str
    goal: float
    values: dict[str, float]


#: Idle memory that is good enough, in MiB of PSS.
MEMORY_GOAL = 90.0


def table(
    engines: Sequence[Engine],
    rows: Sequence[Row],
    memory: dict[str, list[Usage]],
    notes: Sequence[str],
    amounts: Sequence[Amount] = (),
) -> str:
    """Medians in milliseconds, ratios beside their goals."""
    names = [engine.name for engine in engines]
    names += sorted({name for row in rows for name in row.series} - set(names))
    width = max([10, *(len(name) + 2 for name in names)])
    lines = [f"{'median of each, ms':<44}" + "".join(f"{name:>{width}}" for name in names) + f"{'ratio':>9}{'goal':>9}"]
    for row in rows:
        cells = "".join(
            f"{row.series[n].median * 1000:>{width}.1f}" if n in row.series else f"{'-':>{width}}" for n in names
        )
        ratio = f"{row.ratio:>9.2f}" if row.ratio is not None else f"{'-':>9}"
        lines.append(f"{row.title:<44}{cells}{ratio}{f'≤ {row.goal:g}':>9}{_verdict(row.ratio, row.goal)}")
    total = {name: sum(u.pss for u in memory.get(name, ())) / 1024 for name in names}
    for amount in (*amounts, Amount("idle memory, MiB PSS", MEMORY_GOAL, {n: t for n, t in total.items() if t})):
        cells = "".join(f"{amount.values[n]:>{width}.2f}" if n in amount.values else f"{'-':>{width}}" for n in names)
        verdict = _verdict(amount.values.get(OURS), amount.goal)
        lines.append(f"{amount.title:<44}{cells}{'':>9}{f'≤ {amount.goal:g}':>9}{verdict}")
    lines.append("")
    for engine in engines:
        parts = ", ".join(f"{u.name} {u.pss / 1024:.1f}" for u in memory.get(engine.name, ()))
        lines.append(f"{engine.name} {engine.version}: {parts}")
    lines.extend(notes)
    return "\n".join(lines)


def _verdict(value: float | None, goal: float) -> str:
    if value is None:
        return ""
    return "  ok" if value <= goal else "  missed"


def save(
    path: Path,
    engines: Sequence[Engine],
    rows: Sequence[Row],
    memory: dict[str, list[Usage]],
    notes: Sequence[str],
    amounts: Sequence[Amount] = (),
) -> None:
    """Write all of it, single times included, to *path*."""
    value = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "engines": {engine.name: engine.version for engine in engines},
        "measures": [
            {
                "title": row.title,
                "goal": row.goal,
                "ratio": row.ratio,
                "median_ms": {name: series.median * 1000 for name, series in row.series.items()},
                "times_ms": {name: [t * 1000 for t in series.times] for name, series in row.series.items()},
            }
            for row in rows
        ],
        "amounts": [{"title": a.title, "goal": a.goal, "values": a.values} for a in amounts],
        "memory_goal_mib": MEMORY_GOAL,
        "memory_kib": {name: [[u.name, u.pss] for u in used] for name, used in memory.items()},
        "notes": list(notes),
    }
    path.write_text(json.dumps(value, indent=1) + "\n")
