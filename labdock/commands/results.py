"""What commands give back: text for a terminal, HTML for a notebook, and the values themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from labdock.commands import units
from labdock.errors import Unsupported

T = TypeVar("T")
Row = Mapping[str, Any]

#: What JupyterLab, with labdock's extension, shows as a card that stays alive; others show the HTML beside it.
LIVE_TYPE = "application/vnd.labdock.v1+json"
#: Things that one live card names at most; a longer table stays a table.
MOST_LIVE = 500

#: What makes widgets of results: the notebook's, once it is loaded.
make_widget: Callable[[Any], Any] | None = None


class Result:
    """Base: ``str()`` is what a terminal prints, ``_repr_html_`` what a notebook shows."""

    exit_code = 0
    #: What a live card needs, see `live_card`. Ids and names, nothing secret.
    live: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return str(self)

    def widget(self) -> Any:
        """This as a widget, alive as long as the kernel is. Raises Unsupported where there is none."""
        if make_widget is None:
            raise Unsupported("widgets are a notebook's", hint="%load_ext labdock")
        return make_widget(self)

    def _repr_html_(self) -> str | None:
        from labdock.commands import html

        text = str(self)
        return html.preformatted(text) if text else None

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Always plain text; HTML beside it, which a reader without scripts or trust shows as well."""
        found: dict[str, Any] = {"text/plain": str(self)}
        if shown := self._repr_html_():
            found["text/html"] = shown
        if self.live is not None:
            found[LIVE_TYPE] = self.live
        return found


def live_card(kind: str, ids: Iterable[str], names: Iterable[str], title: str = "") -> dict[str, Any]:
    """What a live card asks the engine for.

    *kind* is container, image, network, volume (or one of these with an s), or build (whose id is the
    image's). Volumes have names for ids. *names* are for saying what is gone, in the order of *ids*.
    """
    found: dict[str, Any] = {"kind": kind, "ids": list(ids), "names": list(names)}
    return {**found, "title": title} if title else found


class Text(Result):
    """Words or data, printed as they are."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Exited(Result):
    """A program ran in the foreground to its end; its output has been shown. ``stdout``/``stderr`` when kept."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code

    def __str__(self) -> str:
        return ""


class Records(Result, Generic[T], Sequence[T]):
    """A list of things: a sequence in code, a table to look at. ``rows`` are the columns' values by field."""

    def __init__(
        self,
        items: Sequence[T],
        rows: Sequence[Row],
        columns: Sequence[tuple[str, str]],
        *,
        cell: Callable[[str, Row], str | None] | None = None,
        empty: str = "nothing here",
        kind: str = "",
    ) -> None:
        self.items = tuple(items)
        self.kind = kind
        if kind and 0 < len(self.items) <= MOST_LIVE:
            ids = [str(getattr(item, "id", None) or getattr(item, "name", "")) for item in self.items]
            self.live = live_card(kind, ids, [_name(item) for item in self.items])
        self.rows = tuple(rows)
        self.columns = tuple(columns)
        self._cell = cell
        self._empty = empty

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __str__(self) -> str:
        titles = [title for title, _ in self.columns]
        return align([titles, *([str(row[field]) for _, field in self.columns] for row in self.rows)])

    def _repr_html_(self) -> str:
        from labdock.commands import html

        if not self.items:
            return f'<span style="{html.FAINT}">{html.escape(self._empty)}</span>'
        rows = []
        for row in self.rows:
            values = []
            for _, field in self.columns:
                special = self._cell(field, row) if self._cell else None
                values.append(html.escape(str(row[field])) if special is None else special)
            rows.append(values)
        return html.table([_heading(title) for title, _ in self.columns], rows)


def _name(item: Any) -> str:
    """What a container, image, network or volume is called, "" for nothing."""
    tags = getattr(item, "repo_tags", None)
    if tags is not None:
        return str(tags[0]) if tags else ""
    return str(getattr(item, "name", "")).lstrip("/")


def _heading(title: str) -> str:
    """``Image ID`` for ``IMAGE ID``; ps' own titles stay."""
    if title in ("C", "CMD", "PID", "PPID", "STIME", "TTY", "UID"):
        return title
    return title.capitalize().replace(" id", " ID") if title.isupper() else title


def align(lines: Sequence[Sequence[str]], gap: int = 3, least: int = 10) -> str:
    """Columns as Docker's tabwriter makes them, *least* wide; control characters can't break the table."""
    clean = [[printable(value) for value in line] for line in lines]
    widths = [max(least, *(len(line[index]) + gap for line in clean)) for index in range(len(clean[0]))]
    return "\n".join(
        "".join(value.ljust(width) for value, width in zip(line[:-1], widths, strict=False)) + line[-1]
        for line in clean
    )


def printable(text: str) -> str:
    """*text* with control characters (line ends, escape sequences) made visible."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def visible(text: str) -> str:
    """*text* with its line ends and tabs, and all other control characters, and marks of direction, made visible."""
    if text.isprintable():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def render(
    items: Sequence[T],
    rows: Sequence[Row],
    columns: Sequence[tuple[str, str]],
    *,
    form: str | None = None,
    quiet: str | None = None,
    cell: Callable[[str, Row], str | None] | None = None,
    empty: str = "nothing here",
    kind: str = "",
) -> Result:
    """*items* as a table, by a ``--format`` template, as JSON lines, or (``quiet``) only that field."""
    if quiet is not None and not form:
        return Text("\n".join(str(row[quiet]) for row in rows))
    if not form or form == "table":
        return Records(items, rows, columns, cell=cell, empty=empty, kind=kind)
    from labdock.commands.template import Template

    if form == "json":
        form = "{{json .}}"
        rows = [dict(sorted(row.items())) for row in rows]
    elif form.startswith("table "):
        return _formatted_table(items, rows, columns, unescape(form.removeprefix("table ")))
    template = Template(unescape(form))
    return Text("\n".join(template.render(row) for row in rows))


def _formatted_table(items: Sequence[T], rows: Sequence[Row], columns: Sequence[tuple[str, str]], form: str) -> Result:
    import re

    from labdock.commands.template import Template

    titles = {field: title for title, field in columns}
    head = re.sub(
        r"\{\{.*?\.(\w+).*?\}\}", lambda found: titles.get(found[1], _spaced(found[1])), form, flags=re.DOTALL
    )
    template = Template(form)
    lines = [head.split("\t"), *(template.render(row).split("\t") for row in rows)]
    wide = max(len(line) for line in lines)
    return Text(align([line + [""] * (wide - len(line)) for line in lines]))


def _spaced(name: str) -> str:
    """``CREATED AT`` for ``CreatedAt``, ``IMAGE ID`` for ``ImageID``."""
    import re

    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()


def unescape(form: str) -> str:
    """``\\t`` and ``\\n`` typed in a shell mean a tab and a line end."""
    return form.replace("\\t", "\t").replace("\\n", "\n")


def mark_short(identity: str, *, whole: bool) -> str:
    return identity if whole else units.short(identity)
