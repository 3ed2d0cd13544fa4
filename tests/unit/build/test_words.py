"""The lexer of words: quotes, escapes, every form of a variable."""

from __future__ import annotations

import pytest

from labdock.build.dockerfile.words import LexError, expand, split

ENV = {"A": "alpha", "E": "", "P": "/usr/lib/python3.11/lib", "S": "two  words", "X": "xx**"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A", "alpha"),
        ("${A}x$A.", "alphaxalpha."),
        ("$N", ""),
        ("\\$A '$A' \"$A\"", "$A $A alpha"),
        ('"a\\b\\"c"', 'a\\b"c'),
        ("a\\bc", "abc"),
        ("end\\", "end"),
        ("${N:-d} ${E:-d} ${E-d} ${N-d} ${A:-d}", "d d  d alpha"),
        ("${N:+s}|${E:+s}|${E+s}|${A:+s}", "||s|s"),
        ("${N:-${M:-$A}}", "alpha"),
        ("${A?no} ${E?no}", "alpha "),
        ("${P#*/}", "usr/lib/python3.11/lib"),
        ("${P##*/}", "lib"),
        ("${P%/*}", "/usr/lib/python3.11"),
        ("${P%%/lib*}", "/usr"),
        ("${P/lib/L}", "/usr/L/python3.11/lib"),
        ("${P//lib/L}", "/usr/L/python3.11/L"),
        ("${P//\\//-}", "-usr-lib-python3.11-lib"),
        ("${X%\\*}", "xx*"),
        ("${X%%\\**}", "xx"),
        ("${A#?}", "lpha"),
        ("${A//[a]/x}", "alpha"),
        ("$1 $$ $?", "  "),
        ("a $", "a $"),
        ("한$A국", "한"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, ENV) == expected


def test_the_escape_character_is_the_directives() -> None:
    assert expand("a\\b`$A", ENV, "`") == "a\\b$A"


@pytest.mark.parametrize(
    "text",
    ["'open", '"open', "${}", "${A", "${A:x}", "${A^^}", "${:A}", "${A/x}", "${A//x}", "${A=x}", "${A:#x}", "${A#\\a}"],
)
def test_what_is_malformed(text: str) -> None:
    with pytest.raises(LexError, match="failed to process"):
        expand(text, ENV)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${N?give me N}", "N: give me N"),
        ("${E:?}", "E: is not allowed to be empty"),
        ("${N:?}", "N: is not allowed to be unset"),
    ],
)
def test_required_variables(text: str, words: str) -> None:
    with pytest.raises(LexError, match=words):
        expand(text, ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ("$S x", ["two", "words", "x"]),
        ('"$S" x', ["two  words", "x"]),
        ("a\\ b", ["a b"]),
        ("a$S", ["atwo", "words"]),
        ("$N", []),
        ("x${N:-a b}y", ["xa", "by"]),
    ],
)
def test_split(text: str, expected: list[str]) -> None:
    assert split(text, ENV) == expected


def test_unset_names_are_collected() -> None:
    unset: set[str] = set()
    expand("$A $N ${M:-x}", ENV, unset=unset)
    assert unset == {"N", "M"}


def test_growth_and_depth_are_bounded() -> None:
    with pytest.raises(LexError, match="grow"):
        expand("$B" * 100, {"B": "b" * 20_000})
    with pytest.raises(LexError, match="nested"):
        expand("${N:-" * 200 + "x" + "}" * 200, {})
