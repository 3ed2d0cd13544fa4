"""Planning: arguments in FROM, needed stages, what is refused and where."""

from __future__ import annotations

from typing import Any

import pytest

from labdock.build.dockerfile import parse
from labdock.build.plan import Plan, make_plan
from labdock.errors import DockerfileError


def plan(text: str, **options: Any) -> Plan:
    return make_plan(parse(text), **options)


def test_global_arguments_are_for_from_and_a_build_argument_beats_the_default() -> None:
    text = "ARG A=1\nARG B=$A-2\nFROM img:${B}\n"
    assert plan(text).target.base == "img:1-2"
    assert plan(text, build_args={"A": "x"}).target.base == "img:x-2"
    assert plan(text, build_args={"A": None}).target.base == "img:1-2"
    assert plan(text, build_args={"B": ""}).target.base == "img:"


def test_platform_arguments_need_no_arg_in_from() -> None:
    text = "FROM --platform=$BUILDPLATFORM x-$TARGETARCH$TARGETVARIANT\n"
    found = plan(text, platform="linux/arm/v7", native="linux/amd64").target
    assert (found.base, found.platform) == ("x-armv7", "linux/amd64")


def test_only_reachable_stages_in_file_order() -> None:
    text = "FROM a AS A\nFROM b AS b\nFROM a AS c\nCOPY --from=3 / /\n".replace("--from=3", "--from=b")
    assert [entry.stage.name for entry in plan(text).stages] == ["a", "b", "c"]
    assert [entry.stage.name for entry in plan(text, target="B").stages] == ["b"]
    assert plan(text).stages[2].base == 0
    assert plan(text).total == 4


def test_a_stage_name_used_twice_means_the_last() -> None:
    text = "FROM x AS a\nFROM y AS a\nFROM a\n"
    assert plan(text).target.base == 1


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("FROM $NO\n", r"base name \(\$NO\) should not be blank", 1),
        ("FROM a\nCOPY --from=9 / /\n", "invalid from flag value 9", 2),
        ("FROM a\nCOPY --from=$x / /\n", "variable expansion is not supported for --from", 2),
        ("FROM a AS me\nCOPY --from=me / /\n", "circular dependency", 2),
        ("FROM a\nCOPY --from=later / /\nFROM b AS later\nCOPY --from=0 / /\n", "must be defined before", 2),
        ("FROM a\nCOPY http://x /\n", "source can't be a URL for COPY", 2),
        ("FROM a\nRUN --security=insecure y\n", "RUN --security=insecure is not granted", 2),
        ("FROM ${X?say-X}\n", "X: say-X", 1),
    ],
)
def test_refused_with_a_line(text: str, words: str, line: int) -> None:
    with pytest.raises(DockerfileError, match=words) as raised:
        plan(text)
    assert raised.value.line == line


def test_what_is_not_needed_may_use_what_is_not_supported() -> None:
    assert plan("FROM a AS x\nRUN --mount=type=cache,target=/c y\nFROM b\n").total == 1


def test_an_unknown_target() -> None:
    with pytest.raises(DockerfileError, match="target stage 'x' could not be found") as raised:
        plan("FROM a AS one\n", target="x")
    assert raised.value.hint == "its stages are: one"


def test_unused_build_arguments() -> None:
    arguments = {"A": "1", "B": "1", "http_proxy": "p", "SOURCE_DATE_EPOCH": "1", "N": None}
    assert plan("ARG A\nFROM a\n", build_args=arguments).unused == ("B",)
