"""WWW-Authenticate: a table of what is seen in the wild, and no input that is too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.registry.challenge import LONGEST, MOST, Challenge, choose, parse

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (
            HUB,
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:library/busybox:pull",
                    },
                )
            ],
        ),
        ('Basic realm="a, b = c"', [("basic", {"realm": "a, b = c"})]),
        ("Basic", [("basic", {})]),
        ("Basic realm=plain", [("basic", {"realm": "plain"})]),
        ('bEaReR Realm = "r" , SERVICE="s"', [("bearer", {"realm": "r", "service": "s"})]),
        (r'Basic realm="say \"hi\" \\ there"', [("basic", {"realm": r'say "hi" \ there'})]),
        ('Basic realm="x", Bearer realm="y"', [("basic", {"realm": "x"}), ("bearer", {"realm": "y"})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate YWJj/+==, Basic", [("negotiate", {}), ("basic", {})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ('Bearer realm="unclosed', [("bearer", {"realm": "unclosed"})]),
        ('Bearer realm="r",,,scope=""', [("bearer", {"realm": "r", "scope": ""})]),
        ('Bearer realm="r" scope="s"', [("bearer", {"realm": "r", "scope": "s"})]),
        ("=,;\x00", []),
        ('"quoted only"', []),
    ],
)
def test_parse(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(found.scheme, dict(found.parameters)) for found in parse([header])] == expected


def test_several_headers_are_one_list() -> None:
    assert [found.scheme for found in parse(["Basic realm=a", HUB])] == ["basic", "bearer"]


def test_several_scopes() -> None:
    found = parse(['Bearer realm="r",scope="repository:a:pull repository:b:pull,push"'])[0]
    assert found.scopes == ("repository:a:pull", "repository:b:pull,push")


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ([], None),
        (["Negotiate"], None),
        (["Basic"], "basic"),
        (['Basic realm="x"', 'Bearer realm="y"'], "bearer"),
        (["Bearer", "Basic"], "basic"),  # a Bearer without a realm can't be answered
        (["Bearer service=s"], None),
    ],
)
def test_choose(headers: list[str], scheme: str | None) -> None:
    chosen = choose(parse(headers))
    assert (chosen.scheme if chosen is not None else None) == scheme


def test_the_first_of_one_scheme_is_chosen() -> None:
    chosen = choose(parse(['Bearer realm="a"', 'Bearer realm="b"']))
    assert chosen is not None and chosen.parameters["realm"] == "a"


@given(st.lists(st.text(max_size=300), max_size=5))
def test_nothing_is_too_strange(headers: list[str]) -> None:
    for found in parse(headers):
        assert isinstance(found, Challenge)
        assert found.scheme == found.scheme.lower() and found.scheme


_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126))
_NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=5), st.sampled_from(["Bearer", "Basic", "Digest"]))
def test_what_is_quoted_comes_back(parameters: dict[str, str], scheme: str) -> None:
    quoted = ", ".join(f'{n}="' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for n, v in parameters.items())
    assert parse([f"{scheme} {quoted}"]) == (Challenge(scheme.lower(), parameters),)


@pytest.mark.parametrize(
    "header",
    ["Bearer " + "a=b," * 100_000, 'Bearer realm="' + "\\" * 200_000, "x " * 200_000, "," * 200_000, '="' * 100_000],
)
@pytest.mark.limit(5)
def test_a_giant_header_is_bounded(header: str) -> None:
    found = parse([header] * 50)
    assert len(found) <= MOST
    assert all(sum(map(len, one.parameters.values())) <= LONGEST for one in found)
