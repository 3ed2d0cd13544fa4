"""The drawing of a network map: networks are lines from top to bottom, containers stations on them.

::

       host 8080 → 80/tcp ── ┌─────────┐     shop      back
                             │ web     │──────●         │
                             └─────────┘      │         │
                             ┌─────────┐      │         │
                             │ api     │──────●─────────●
                             └─────────┘

Its own layout: rows and columns, so that nothing crosses but lines with lines. Self-contained, without a script; text
has the page's colour, so that it can be read on light and dark ones; whatever is named by others is escaped.
"""

from __future__ import annotations

from typing import Final

from labdock.commands.html import escape, state_colour
from labdock.commands.network_map import Line, Map, Station, Stop

#: Colours that are told apart on white and on black; one per network, and again from the start.
COLOURS: Final = ("#3a7bd5", "#d9822b", "#2e9e4f", "#a855c7", "#d64541", "#1f9fa8", "#b8860b", "#7a7f87")
_ROW, _TOP, _CARD, _GAP = 56, 62, 170, 34
#: Pixels per character of the fonts below, generously.
_WIDE, _SMALL = 7.6, 6.4
_MOST_CHARACTERS: Final = 40


def draw(found: Map) -> str:
    """An SVG document."""
    ports = max((len(_ports(station)) for station in found.stations), default=0)
    left = 14 + (ports * _SMALL + _GAP if ports else 0)
    card = max([_CARD, *(_WIDE * len(_cut(station.name)) + 32 for station in found.stations)])
    columns, at = [], left + card + _GAP
    for line in found.lines:
        columns.append(at + 10)
        at += 20 + _column_width(found, line)
    width, height = max(at, left + card + 20), _TOP + max(len(found.stations), 1) * _ROW + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
        f' height="{height}" role="img" font-family="system-ui,sans-serif" font-size="13" fill="currentColor"'
        ' style="color:var(--jp-content-font-color1,CanvasText);color-scheme:light dark">',
        f"<title>{escape(_summary(found))}</title>",
    ]
    where: dict[str, tuple[float, str]] = {}
    for number, (line, x) in enumerate(zip(found.lines, columns, strict=True)):
        parts += _draw_line(line, x, height, COLOURS[number % len(COLOURS)])
    where = {
        line.name: (x, COLOURS[n % len(COLOURS)]) for n, (line, x) in enumerate(zip(found.lines, columns, strict=True))
    }
    for row, station in enumerate(found.stations):
        parts += _draw_station(station, left, card, _TOP + row * _ROW, where)
    if not found.stations:
        parts.append(_text(left, _TOP + 20, "no containers", opacity=".7"))
    return "".join((*parts, "</svg>"))


def _draw_line(line: Line, x: float, height: int, colour: str) -> list[str]:
    dash = ' stroke-dasharray="7 5"' if line.internal else ""
    return [
        f'<line x1="{x:.0f}" y1="{_TOP - 18}" x2="{x:.0f}" y2="{height - 6}" stroke="{colour}" stroke-width="5"'
        f' stroke-linecap="round" opacity=".75"{dash}/>',
        _text(x - 6, 20, line.name, weight="bold"),
        _text(x - 6, 36, line.about, size=11, opacity=".7"),
    ]


def _draw_station(
    station: Station, left: float, card: float, top: int, where: dict[str, tuple[float, str]]
) -> list[str]:
    middle = top + 18
    colour = state_colour(station.state)
    below = f"shares {station.shares}" if station.shares else station.state
    parts = []
    stops = [stop for stop in station.stops if stop.line in where]
    if stops:
        end = max(where[stop.line][0] for stop in stops)
        parts.append(
            f'<line x1="{left + card:.0f}" y1="{middle}" x2="{end:.0f}" y2="{middle}" stroke="currentColor"'
            ' opacity=".45"/>'
        )
    parts += [
        f'<rect x="{left:.0f}" y="{top}" width="{card:.0f}" height="36" rx="6" fill="none" stroke="currentColor"'
        ' stroke-opacity=".45"/>',
        f'<circle cx="{left + 14:.0f}" cy="{middle}" r="4" fill="{colour}"/>',
        _text(left + 25, top + 16, station.name, weight="bold"),
        _text(left + 25, top + 30, below, size=11, opacity=".7"),
    ]
    if station.ports:
        parts.append(_text(left - 8, middle + 4, _ports(station), size=11, anchor="end"))
    for stop in stops:
        x, line_colour = where[stop.line]
        parts.append(
            f'<circle cx="{x:.0f}" cy="{middle}" r="7" fill="{line_colour}" stroke="Canvas" stroke-width="2"/>'
        )
        parts.append(_text(x + 11, middle - 5, stop.ip, size=11))
        if stop.names:
            parts.append(_text(x + 11, middle + 14, _names(stop), size=11, opacity=".7"))
    return parts


def _column_width(found: Map, line: Line) -> float:
    texts = [line.about, *(stop.ip for _, stop in found.of(line.name)), *(_names(s) for _, s in found.of(line.name))]
    return max(_WIDE * len(_cut(line.name)), *(_SMALL * len(_cut(text)) for text in texts)) + 14


def _names(stop: Stop) -> str:
    return ", ".join(stop.names)


def _ports(station: Station) -> str:
    return _cut("  ".join(f"{host} → {port}" for host, port in station.ports))


def _summary(found: Map) -> str:
    return f"{len(found.stations)} containers in {len(found.lines)} networks"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: str = "", opacity: str = "", anchor: str = ""
) -> str:
    """One line of text; the whole of it as a tip when it had to be cut."""
    given = {"font-size": str(size), "font-weight": weight, "opacity": opacity, "text-anchor": anchor}
    attributes = "".join(f' {name}="{value}"' for name, value in given.items() if value)
    tip = f"<title>{escape(text)}</title>" if _cut(text) != text else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{attributes}>{escape(_cut(text))}{tip}</text>'
