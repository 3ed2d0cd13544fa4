"""Pieces of HTML for results: everything escaped, no script, colours that work on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape as _escape

from labdock.commands.results import visible

LINE = "1px solid rgba(128,128,128,.35)"
FAINT = "opacity:.7"
MONO = "font-family:monospace;font-size:90%"
GOOD, BAD, BUSY = "#2e9e4f", "#d64541", "#3a7bd5"


def escape(text: str) -> str:
    """*text* as HTML text or attribute; control characters but line ends and tabs are made visible."""
    return _escape(visible(text))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table; *rows* are HTML already, *titles* and *caption* are text."""
    cell = f"padding:2px 12px 2px 0;text-align:left;border-bottom:{LINE};vertical-align:top"
    head = "".join(f'<th style="{cell}">{escape(title)}</th>' for title in titles)
    body = "".join("<tr>" + "".join(f'<td style="{cell}">{value}</td>' for value in row) + "</tr>" for row in rows)
    title = f'<caption style="text-align:left;{FAINT}">{escape(caption)}</caption>' if caption else ""
    parts = f"{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table style="border-collapse:collapse;color:inherit">{parts}</table>'


def code(text: str) -> str:
    return f'<code style="background:none;color:inherit;white-space:nowrap">{escape(text)}</code>'


def preformatted(text: str) -> str:
    return f'<pre style="margin:2px 0;white-space:pre-wrap;background:none;color:inherit;{MONO}">{escape(text)}</pre>'


def state_colour(state: str) -> str:
    return {"running": GOOD, "paused": BUSY, "restarting": BUSY, "dead": BAD}.get(state, "currentColor")


def badge(text: str, colour: str = "currentColor") -> str:
    """A word in a frame: the state is in the word, the colour only repeats it."""
    return (
        f'<span style="border:1px solid {colour};border-radius:8px;padding:0 6px;font-size:85%;'
        f'white-space:nowrap"><span style="color:{colour}">●</span> {escape(text)}</span>'
    )


def card(title: str, lines: Iterable[str], colour: str = "currentColor") -> str:
    """A framed box; *title* and *lines* are HTML already."""
    body = "".join(f'<div style="margin-top:2px">{line}</div>' for line in lines)
    return (
        f'<div style="border:{LINE};border-left:4px solid {colour};border-radius:4px;padding:6px 10px;'
        f'margin:4px 0;max-width:60em"><div>{title}</div>{body}</div>'
    )
