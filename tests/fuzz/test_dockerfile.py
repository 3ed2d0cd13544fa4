"""Any text is a Dockerfile or a DockerfileError with a range, in linear time."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labdock.build.dockerfile import parse
from labdock.build.dockerfile.words import LexError, expand, split
from labdock.build.patterns import BadPattern, PathMatcher, translate_glob
from labdock.build.plan import make_plan
from labdock.errors import DockerfileError

PIECES = st.sampled_from(
    [
        "FROM a\n", "FROM a AS b\n", "RUN ", "COPY ", "ADD ", "ENV ", "ARG ", "LABEL ", "ONBUILD ", "HEALTHCHECK CMD ",
        "EXPOSE ", "SHELL ", "VOLUME ", "USER ", "# escape=`\n", "# syntax=x\n", "#", "\\\n", "`\n", "\n", "\r\n", " ",
        "\t", "<<E", "<<-'E'", "E\n", "[", "]", '"', "'", ",", "$", "${", "}", ":-", "//", "--from=", "--", "=", "a",
        "0", "\ufeff", "\0", "\x85", "\ud800", "<", "*", "?", "\\",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_any_text_parses_or_is_refused_with_a_range(text: str) -> None:
    try:
        found = make_plan(parse(text))
    except DockerfileError as error:
        lines = text.count("\n") + 1
        assert 1 <= error.line <= lines
        assert error.line <= error.end_line <= lines
        assert error.message
    else:
        assert found.stages


@settings(max_examples=200, deadline=None)
@given(st.binary())
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(DockerfileError):
        parse(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join), st.dictionaries(st.sampled_from("aEb0"), st.text(max_size=5)))
def test_any_word_expands_or_is_refused(text: str, env: dict[str, str]) -> None:
    for call in (expand, split):
        with contextlib.suppress(LexError):
            call(text, env)


@settings(max_examples=300, deadline=None)
@given(st.text("ab*?[]-^!\\/.", max_size=12), st.text("ab/.", max_size=8))
def test_any_pattern_matches_or_is_refused(pattern: str, path: str) -> None:
    try:
        translate_glob(pattern).match(path)
        PathMatcher([pattern]).matches(path)
    except BadPattern:
        return


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "FROM a\n" + "RUN x \\\n" * n,
        lambda n: "FROM a\n" + "# c\n" * n + "RUN x\n",
        lambda n: "FROM a\nRUN " + "<<E " * (n // 64) + "x\n" + "E\n" * (n // 64),
        lambda n: "FROM a\n" + "RUN [" * n,
        lambda n: "FROM a\nRUN " + "[" * min(n, 60_000),
        lambda n: "# escape = " + " " * min(n, 60_000) + "x\nFROM a\n",
        lambda n: "FROM a\nENV " + "a=b " * min(n, 15_000),
        lambda n: "FROM a\nENV a=" + "'" * min(n, 60_000),
        lambda n: "FROM a\nCOPY " + "--x\\" * min(n, 15_000) + " a b\n",
        lambda n: "FROM a\nRUN <<E\n" + "x\n" * n,
    ],
)
def test_time_is_linear(make: object) -> None:
    assert callable(make)

    def measure(size: int) -> float:
        text = make(size)
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(DockerfileError):
                parse(text)
            best = min(best, time.process_time() - began)
        return best

    small, large = measure(15_000), measure(60_000)
    # Four times the text; quadratic would be sixteen times the time.
    assert large < max(small, 0.01) * 9


def test_substitution_is_linear() -> None:
    value = "a" * 200_000
    began = time.process_time()
    for pattern in ("*a*a*a*a*b", "a*b", "*b", "?*?*?*b"):
        for form in ("${V#%s}", "${V##%s}", "${V%%%s}", "${V%%%%%s}", "${V/%s/x}", "${V//%s/x}"):
            assert expand(form % pattern, {"V": value}) == value
    assert time.process_time() - began < 5
