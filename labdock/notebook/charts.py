"""Drawings as SVG, for widgets: lines over time, and bars side by side. Pure; all texts are escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 120
LEFT, TOP, BOTTOM = 64, 16, 18
FONT = 'font-family="sans-serif" font-size="11" fill="currentColor"'
COLOURS = {"run": "#3a7bd5", "cached": "#8a8a8a", "failed": "#d64541", "done": "#2e9e4f", "wasted": "#d64541"}


@dataclass(frozen=True, slots=True)
class Bar:
    """From ``start`` for ``length`` in any unit; ``kind`` names a colour, ``note`` stands at its end."""

    label: str
    start: float
    length: float
    kind: str = "run"
    note: str = ""


def _svg(width: int, height: int, title: str, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="100%" '
        f'style="max-width:{width}px" role="img" aria-label="{escape(title)}">{body}</svg>'
    )


def draw_line(
    values: Sequence[float],
    title: str,
    shown: str,
    *,
    most: float = 0.0,
    seconds: int = 60,
    words: Callable[[float], str] = "{:g}".format,
) -> str:
    """*values*, one a second, the newest at the right edge; *shown* is the newest in words, *most* the least top.

    *words* says what the top of the scale is.
    """
    top = max([most, *values]) or 1.0
    step = (WIDTH - LEFT) / max(seconds - 1, 1)
    recent = list(values)[-seconds:]
    points = " ".join(
        f"{WIDTH - (len(recent) - 1 - index) * step:.1f},{HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM):.1f}"
        for index, value in enumerate(recent)
    )
    base = HEIGHT - BOTTOM
    body = (
        f'<text x="0" y="12" {FONT}><tspan font-weight="bold">{escape(title)}</tspan> {escape(shown)}</text>'
        f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH}" y2="{base}" stroke="currentColor" stroke-opacity=".3"/>'
        f'<line x1="{LEFT}" y1="{TOP}" x2="{WIDTH}" y2="{TOP}" stroke="currentColor" stroke-opacity=".12"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 10}" {FONT} opacity=".7" text-anchor="end">{escape(words(top))}</text>'
        f'<polyline points="{points}" fill="none" stroke="{COLOURS["run"]}" stroke-width="1.5"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}" {FONT} opacity=".7">{seconds} s ago</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" {FONT} opacity=".7" text-anchor="end">now</text>'
    )
    return _svg(WIDTH, HEIGHT, f"{title}: {shown}", body)


def draw_bars(bars: Sequence[Bar], title: str, *, total: float = 0.0) -> str:
    """*bars* below each other on one scale, whose end is *total* or the last bar's."""
    end = max([total, *(bar.start + bar.length for bar in bars)]) or 1.0
    room, height = WIDTH, 26
    parts = []
    for index, bar in enumerate(bars):
        y = index * height
        x, width = bar.start / end * room, max(bar.length / end * room, 1.0)
        colour = COLOURS.get(bar.kind, COLOURS["run"])
        parts.append(
            f'<text x="0" y="{y + 11}" {FONT}>{escape(bar.label)}</text>'
            f'<text x="{WIDTH}" y="{y + 11}" {FONT} opacity=".7" text-anchor="end">{escape(bar.note)}</text>'
            f'<rect x="{x:.1f}" y="{y + 15}" width="{width:.1f}" height="7" rx="2" fill="{colour}"/>'
        )
    return _svg(WIDTH, max(len(bars), 1) * height, title, "".join(parts))
