"""Words of a magic's line."""

from __future__ import annotations

import pytest

from labdock.errors import InvalidRequest
from labdock.notebook.variables import split

VARIABLES = {"name": "web", "spaced": "a b", "port": 8080, "json": "never"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stop {name}", ["stop", "web"]),
        ("run -p {port}:80 x", ["run", "-p", "8080:80", "x"]),
        ("run {spaced}", ["run", "a b"]),
        ("ps --format '{{.ID}} {{json .}}'", ["ps", "--format", "{{.ID}} {{json .}}"]),
        ("ps --format {{json}}", ["ps", "--format", "{{json}}"]),
        ("run -e A=$HOME -e B=${name} x", ["run", "-e", "A=$HOME", "-e", "B=${name}", "x"]),
        ("run {unknown} {0} {a.b}", ["run", "{unknown}", "{0}", "{a.b}"]),
        ("exec web sh -c 'echo {name} | wc'", ["exec", "web", "sh", "-c", "echo web | wc"]),
        ("", []),
    ],
)
def test_table(line: str, words: list[str]) -> None:
    assert split(line, VARIABLES) == words


def test_a_lone_quotation_mark() -> None:
    with pytest.raises(InvalidRequest, match="no closing quotation") as caught:
        split("exec web echo 'x", {})
    assert caught.value.hint
