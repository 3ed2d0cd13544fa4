"""Any text is a Dockerfile or a DockerfileError with a range, in linear time."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labdock.build.checks import check, enforce
from labdock.build.dockerfile import parse
from labdock.build.dockerfile.remotes import BadSource, settle
from labdock.build.dockerfile.words import LexError, expand, split
from labdock.build.patterns import BadPattern, PathMatcher, translate_glob
from labdock.build.plan import make_plan
from labdock.errors import DockerfileError

PIECES = st.sampled_from(
    [
        "FROM a\n", "FROM a AS b\n", "RUN ", "COPY ", "ADD ", "ENV ", "ARG ", "LABEL ", "ONBUILD ", "HEALTHCHECK CMD ",
        "EXPOSE ", "SHELL ", "VOLUME ", "USER ", "# escape=`\n", "# syntax=x\n", "#", "\\\n", "`\n", "\n", "\r\n", " ",
        "\t", "<<E", "<<-'E'", "E\n", "[", "]", '"', "'", ",", "$", "${", "}", ":-", "//", "--from=", "--", "=", "a",
        "RUN --mount=", "type=cache", "target=/x", "from=", "# check=", "skip=all", ";error=true", "MAINTAINER a\n",
        "CMD x\n", "--platform=", "@h:", ".git", "#", "?ref=", "0", "\ufeff", "\0", "\x85",
        "\ud800", "<", "*", "?", "\\",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_any_text_parses_or_is_refused_with_a_range(text: str) -> None:
    try:
        dockerfile = parse(text)
        enforce(dockerfile, check(dockerfile, PathMatcher(["a"])))
        found = make_plan(dockerfile)
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
@given(
    st.lists(st.sampled_from(["git@h:", "https://h/", "x.git", "#", ":", "?", "ref=", "&", "%", "[", "a"])).map("".join)
)
def test_any_source_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadSource):
        settle((text,), checksum="sha256:" + "0" * 64)


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


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "FROM a\n" * n,
        lambda n: "FROM a AS s\n" + "FROM s AS s\n" * n,
        lambda n: "FROM a AS x\n" * n + "FROM b\n" + "COPY --from=x / /\n" * n,
        lambda n: "FROM a\n" + "".join(f"ENV V{i}=$W{i}\n" for i in range(n)),
        lambda n: "ARG X=1\n" * n + "FROM a$X\n",
    ],
)
def test_planning_and_checking_take_linear_time(make: object) -> None:
    assert callable(make)

    def measure(size: int) -> float:
        dockerfile = parse(make(size))
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(DockerfileError):
                make_plan(dockerfile)
            check(dockerfile)
            best = min(best, time.process_time() - began)
        return best

    small, large = measure(2_000), measure(8_000)
    assert large < max(small, 0.02) * 9


def test_ignoring_takes_time_for_the_patterns_and_the_path_but_not_for_their_stars() -> None:
    began = time.process_time()
    for pattern in ("*a" * 60 + "b", "**/a" * 40 + "/b", "**a" * 40 + "b", "?*" * 80 + "b"):
        for path in ("a" * 4000, "a/" * 2000 + "a"):
            assert not PathMatcher([pattern]).descend(path)[0]
            assert translate_glob(pattern.replace("**", "*")).match(path) is None
    many = PathMatcher([f"dir{number}" for number in range(5000)])
    for number in range(5000):
        assert not many.descend(f"src/file{number}")[0]
    assert time.process_time() - began < 5


def test_substitution_is_linear() -> None:
    value = "a" * 200_000
    began = time.process_time()
    for pattern in ("*a*a*a*a*b", "a*b", "*b", "?*?*?*b"):
        for form in ("${V#%s}", "${V##%s}", "${V%%%s}", "${V%%%%%s}", "${V/%s/x}", "${V//%s/x}"):
            assert expand(form % pattern, {"V": value}) == value
    assert time.process_time() - began < 5
