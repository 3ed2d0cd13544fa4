"""The language: FROM, stages and what they stand on, ONBUILD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labdock.build.dockerfile import parse, parse_trigger
from labdock.build.plan import make_plan
from labdock.errors import DockerfileError
from tests.unit.build.language import draft_of, message_of

MakeWorld = Callable[[], Any]


def needed(text: str, **options: Any) -> list[int]:
    return [entry.stage.index for entry in make_plan(parse(text), **options).stages]


def test_from_takes_one_word_or_three_and_lower_cases_the_name() -> None:
    stages = parse("FROM a\nFROM b aS My-Stage_1.x\n").stages
    assert [stage.name for stage in stages] == ["", "my-stage_1.x"]
    assert "FROM requires either one or three arguments" in message_of("FROM a AS\n")
    assert "FROM requires either one or three arguments" in message_of("FROM a IS b\n")
    assert "name can't start with a number or contain symbols" in message_of("FROM a AS 1b\n")
    assert "name can't start with a number or contain symbols" in message_of("FROM a AS b/c\n")


def test_a_base_that_is_blank_after_expansion_is_an_error() -> None:
    assert "base name ($X) should not be blank" in message_of("FROM $X\n")
    assert "base name (${X}) should not be blank" in message_of("ARG X=1\nFROM ${X}\n", build_args={"X": ""})


def test_a_platform_that_is_blank_or_none_is_an_error() -> None:
    assert "empty platform value from expression $X" in message_of("FROM --platform=$X a\n")
    assert "failed to parse platform" in message_of("FROM --platform=a/b/c/d a\n")


def test_a_stage_as_base_gives_its_files_and_config() -> None:
    draft = draft_of(
        'FROM scratch AS one\nENV A=1\nUSER u\nWORKDIR /w\nLABEL l=1\nSHELL ["/s"]\nCMD ["c"]\nFROM ONE\nWORKDIR x\n'
    )
    config = draft.config
    assert draft.scope.env["A"] == "1"
    assert (config.user, config.working_dir, config.labels, config.shell) == ("u", "/w/x", {"l": "1"}, ("/s",))
    assert config.cmd == ("c",)


def test_copy_from_a_stage_by_name_in_any_case_or_by_number_or_from_an_image() -> None:
    text = "FROM a AS one\nFROM b\nFROM c\nCOPY --from={} / /\n"
    assert needed(text.format("ONE")) == [0, 2]
    assert needed(text.format("1")) == [1, 2]
    assert needed(text.format("busybox")) == [2]
    assert "variable expansion is not supported for --from" in message_of(text.format("$x"))


def test_a_target_by_name_in_any_case_or_by_number_builds_only_what_it_needs() -> None:
    text = "FROM a AS one\nFROM b AS two\nCOPY --from=one / /\nFROM c AS three\n"
    assert needed(text, target="TWO") == [0, 1]
    assert needed(text) == [2]
    assert needed(text, target="0") == [0]
    with pytest.raises(DockerfileError, match="target stage 'four' could not be found"):
        needed(text, target="four")


def test_itself_and_later_stages_can_not_be_copied_from() -> None:
    assert "circular dependency" in message_of("FROM a AS me\nCOPY --from=me / /\n")
    assert "must be defined before" in message_of("FROM a\nCOPY --from=x / /\nFROM b AS x\nCOPY --from=0 / /\n")
    assert "circular dependency" in message_of("FROM a AS me\nRUN --mount=from=me,target=/x true\n")
    assert "no such stage before this one" in message_of("FROM a\nCOPY --from=0 / /\n")


def test_scratch_has_a_path() -> None:
    assert "PATH" in draft_of("FROM scratch\n").scope.env


def test_named_contexts_go_before_stages_and_images() -> None:
    plan = make_plan(parse("FROM a AS one\nFROM x\nCOPY --from=one / /\n"), contexts=frozenset({"one", "x"}))
    assert [(entry.stage.index, entry.base) for entry in plan.stages] == [(1, "x")]


def test_onbuild_keeps_the_text_and_its_heredocs() -> None:
    draft = draft_of("FROM scratch\nONBUILD RUN a  \\\n b\nonbuild copy <<E /x\n$y\nE\n")
    assert draft.config.on_build == ("RUN a   b", "copy <<E /x\n$y\nE")
    assert parse_trigger(draft.config.on_build[1]).keyword == "COPY"


def test_onbuild_takes_no_onbuild_from_or_maintainer_and_its_child_is_checked() -> None:
    assert "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed" in message_of("FROM a\nONBUILD ONBUILD RUN x\n")
    assert "FROM isn't allowed as an ONBUILD trigger" in message_of("FROM a\nONBUILD FROM x\n")
    assert "MAINTAINER isn't allowed as an ONBUILD trigger" in message_of("FROM a\nONBUILD MAINTAINER x\n")
    assert "unknown instruction: NOPE" in message_of("FROM a\nONBUILD NOPE x\n")
    assert "unknown flag: --nope" in message_of("FROM a\nONBUILD COPY --nope a b\n")
    assert "ONBUILD requires at least one argument" in message_of("FROM a\nONBUILD\n")
    for text in ("FROM x", "ONBUILD RUN x", "RUN a\nRUN b"):
        with pytest.raises(DockerfileError):
            parse_trigger(text)


def test_a_stage_that_triggers_of_its_base_copy_from_is_needed() -> None:
    text = (
        "FROM a AS files\nFROM b AS base\nONBUILD COPY --from=files / /\nONBUILD RUN --mount=from=more,target=/m x\n"
        "FROM c AS more\nFROM base\n"
    )
    assert needed(text) == [0, 1, 2, 3]
    assert needed(text, target="base") == [1]


@pytest.mark.sandbox
def test_onbuild_runs_right_after_the_childs_from_in_order_once(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "data")
    world.build(
        "FROM base\nONBUILD ENV A=1\nONBUILD COPY f /got\nONBUILD RUN <<E\necho $A$B > /order\nE\n", names=("parent",)
    )
    child = world.build("FROM parent\nENV B=2\nRUN echo $A$B > /later\n", names=("child",))
    assert (world.read(child, "got"), world.read(child, "order"), world.read(child, "later")) == ("data", "1\n", "12\n")
    assert child.config.config.on_build == ()
    grandchild = world.build("FROM child\nRUN rm /order\n")
    assert "order" not in world.listing(grandchild)
    world.close()


@pytest.mark.sandbox
def test_triggers_of_a_stage_run_in_the_stages_based_on_it_and_copy_from_the_childs_file(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    text = (
        "FROM base AS files\nRUN echo x > /x\nFROM base AS parent\nONBUILD COPY --from=files /x /y\nRUN touch /own\n"
        "FROM parent\n"
    )
    image = world.build(text)
    assert world.read(image, "y") == "x\n"
    world.build("FROM base\nONBUILD COPY --from=files /x /z\n", names=("outside",))
    image = world.build("FROM base AS files\nRUN echo 2 > /x\nFROM outside\n")
    assert world.read(image, "z") == "2\n"
    world.close()
