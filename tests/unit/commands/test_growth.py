"""Builds that grow from cell to cell, and the part of a Dockerfile up to a step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labdock.commands import growth
from labdock.commands.cell_context import through
from labdock.errors import InvalidRequest

NAME = "app"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    growth.forget(NAME)
    yield
    growth.forget(NAME)


def add(text: str, cell: str = "") -> str:
    """Build *text*'s step; the whole that was built."""
    before = growth.before(NAME, cell, text)
    growth.keep(NAME, cell, text)
    return before + text


def test_each_cell_goes_on() -> None:
    assert add("FROM a") == "FROM a"
    assert add("RUN 1\n") == "FROM a\nRUN 1\n"
    assert add("RUN 2") == "FROM a\nRUN 1\nRUN 2"


def test_a_step_that_failed_is_not_kept() -> None:
    add("FROM a\n")
    growth.before(NAME, "", "RUN broken")
    assert add("RUN 2") == "FROM a\nRUN 2"


def test_a_cell_run_again_takes_its_place_and_the_later_are_forgotten() -> None:
    add("FROM a\n", "c1")
    add("RUN 1\n", "c2")
    add("RUN 2\n", "c3")
    assert add("RUN one\n", "c2") == "FROM a\nRUN one\n"
    assert add("RUN 3\n", "c4") == "FROM a\nRUN one\nRUN 3\n"
    assert add("FROM b\n", "c1") == "FROM b\n"


def test_without_cells_the_text_tells() -> None:
    add("FROM a\n")
    add("RUN 1\n")
    add("RUN 2\n")
    assert add("RUN 1") == "FROM a\nRUN 1"
    assert add("FROM a") == "FROM a"
    assert add("# other\nFROM b") == "# other\nFROM b"


def test_a_further_stage_goes_on() -> None:
    add("FROM a AS one\n")
    assert add("FROM b\nCOPY --from=one /x /\n").startswith("FROM a AS one\n")


def test_a_build_begins_with_from() -> None:
    with pytest.raises(InvalidRequest, match="has no beginning"):
        growth.before(NAME, "", "RUN 1")
    assert growth.before(NAME, "", "ARG V=1\nFROM a:$V") == ""


SOURCE = "# c\nFROM a\nRUN x \\\n  y\n\nRUN <<e\n  z\ne\nCOPY a b\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "# c\nFROM a\n"),
        (3, "# c\nFROM a\nRUN x \\\n  y\n"),
        (6, "# c\nFROM a\nRUN x \\\n  y\n\nRUN <<e\n  z\ne\n"),
        (9, SOURCE),
    ],
)
def test_a_part_ends_with_its_instruction(line: int, text: str) -> None:
    assert through(SOURCE, line) == text
