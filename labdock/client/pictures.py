"""How the client's values look in a notebook: a name, a state, and the rest in rows. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape as _escape

LINE = "1px solid rgba(128,128,128,.35)"
#: What a value shows of a long text.
WIDE = 120


def escape(text: str) -> str:
    """*text* as HTML; control characters are made visible, line ends too."""
    clean = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return _escape(clean if len(clean) <= WIDE else clean[: WIDE - 1] + "…")


def picture(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A small table: *title*, then a row for each (name, value) whose value is not empty. All are texts."""
    cell = "padding:1px 12px 1px 0;text-align:left;vertical-align:top;background:none"
    body = "".join(
        f'<tr><td style="{cell};opacity:.7">{escape(name)}</td><td style="{cell}">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    head = f'<caption style="text-align:left;color:inherit"><b>{escape(title)}</b></caption>'
    style = f"border-collapse:collapse;color:inherit;border-left:4px solid currentColor;border-top:{LINE}"
    return f'<table style="{style}">{head}<tbody>{body}</tbody></table>'
