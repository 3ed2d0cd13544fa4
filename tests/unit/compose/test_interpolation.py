"""Variables in Compose files, by the specification's table."""

from __future__ import annotations

import pytest

from labdock.compose.interpolation import substitute
from labdock.errors import InvalidRequest

KNOWN = {"SET": "value", "EMPTY": "", "OTHER": "other"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a$SET-b", "avalue-b"),
        ("$NONE.", "."),
        ("$$SET", "$SET"),
        ("$$$SET", "$value"),
        ("${NONE:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${NONE-default}", "default"),
        ("${SET:-default}", "value"),
        ("${NONE:-}", ""),
        ("${NONE:-${OTHER}}", "other"),
        ("${NONE:-${NEITHER-deep}}!", "deep!"),
        ("${NONE:-a}b}", "ab}"),
        ("${NONE:-$$x}", "$x"),
        ("${SET:+there}", "there"),
        ("${EMPTY:+there}", ""),
        ("${EMPTY+there}", "there"),
        ("${NONE+there}", ""),
        ("${SET:?must be}", "value"),
        ("${EMPTY?must be}", ""),
        ("${NONE:-http://x:80/?a=b}", "http://x:80/?a=b"),
    ],
)
def test_variables_become(text: str, expected: str) -> None:
    assert substitute(text, KNOWN) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${NONE:?give it}", "required variable NONE is missing a value: give it"),
        ("${EMPTY:?give it}", "required variable EMPTY is missing a value: give it"),
        ("${NONE?}", "required variable NONE is missing a value"),
        ("${NONE?see $SET}", "required variable NONE is missing a value: see value"),
        ("${SET", "is not closed"),
        ("${}", "invalid interpolation format"),
        ("${SET!x}", "invalid interpolation format"),
        ("${1}", "invalid interpolation format"),
        ("costs $5", "invalid interpolation format"),
        ("ends with $", "invalid interpolation format"),
    ],
)
def test_what_is_no_variable_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=r".*") as caught:
        substitute(text, KNOWN)
    assert says in caught.value.message


def test_unset_variables_are_told_of() -> None:
    heard: list[str] = []
    substitute("$ONE ${TWO} ${THREE:-x} $SET", KNOWN, heard.append)
    assert heard == ["ONE", "TWO"]


def test_defaults_nested_without_end_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        substitute("${A:-" * 100 + "}" * 100, {})
