"""The language: what of a context counts, what the cache goes by, what SOURCE_DATE_EPOCH does."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from labdock.build import BuildRequest
from labdock.build.opening import check_request, find_epoch
from labdock.build.patterns import PathMatcher, read_ignore_file
from labdock.errors import DockerfileError, InvalidRequest
from labdock.schema.build import BuildNotice
from tests.unit.build.language import draft_of

MakeWorld = Callable[[], Any]


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        ("*.log\n!keep.log\n", "a.log", True),
        ("*.log\n!keep.log\n", "keep.log", False),
        ("!keep.log\n*.log\n", "keep.log", True),
        ("/a/b\n", "a/b", True),
        ("b\n", "a/b", False),
        ("**/b\n", "a/b", True),
        ("# a\n\\#a\n", "#a", True),
        ("a\n!a/b\n", "a/b", False),
        ("a\n!a/b\n", "a/c", True),
    ],
)
def test_dockerignore_the_last_match_wins_and_patterns_stand_at_the_root(lines: str, path: str, ignored: bool) -> None:
    assert PathMatcher(read_ignore_file(lines.encode())).matches(path) is ignored


@pytest.mark.sandbox
def test_name_dockerignore_beside_the_dockerfile_wins(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("a")
    world.write("b")
    world.write(".dockerignore", "a\n")
    world.write("sub/My.file", "FROM scratch\nCOPY . /t/\n")
    world.write("sub/My.file.dockerignore", "b\nsub\n")
    found = set(world.listing(world.build(dockerfile="sub/My.file")))
    assert found == {"t", "t/a", "t/.dockerignore"}
    world.close()


@pytest.mark.sandbox
def test_the_cache_goes_by_content_names_and_modes_and_not_by_times_or_other_files(make_world: MakeWorld) -> None:
    world = make_world()
    path = world.write("d/f", "1")
    text = "FROM scratch\nCOPY d /d\n"
    world.build(text)
    os.utime(path, (5, 5))
    world.write("other")
    world.build(text)
    assert world.steps[-1] == "*COPY d /d"
    path.rename(path.with_name("g"))
    world.build(text)
    assert world.steps[-1] == "COPY d /d"
    world.close()


@pytest.mark.sandbox
def test_label_expose_and_cmd_run_no_later_step_again_and_workdir_does(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.build("FROM base\nRUN touch /x\n")
    world.build('FROM base\nLABEL a=b\nEXPOSE 80\nCMD ["x"]\nRUN touch /x\n')
    assert world.steps[-1] == "*RUN touch /x"
    world.build("FROM base\nWORKDIR /tmp\nRUN touch /x\n")
    assert world.steps[-1] == "RUN touch /x"
    world.close()


def test_source_date_epoch_is_a_build_argument_or_a_global_arg() -> None:
    assert find_epoch(draft_of("FROM a\n", build_args={"SOURCE_DATE_EPOCH": "5"}).plan) == 5
    assert find_epoch(draft_of("ARG SOURCE_DATE_EPOCH=6\nFROM a\n").plan) == 6
    assert find_epoch(draft_of("FROM a\nARG SOURCE_DATE_EPOCH=7\n").plan) is None
    with pytest.raises(InvalidRequest, match="invalid SOURCE_DATE_EPOCH: soon"):
        find_epoch(draft_of("FROM a\n", build_args={"SOURCE_DATE_EPOCH": "soon"}).plan)


@pytest.mark.sandbox
def test_a_build_says_what_the_checks_find_with_the_image_and_the_ignore_file_known(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base(env=("PATH=/bin", "OF_BASE=1"))
    world.write("seen", "x")
    world.write(".dockerignore", "hidden\n")
    text = "FROM base AS unused\nENV a b\nFROM base\nCOPY seen /$OF_BASE$NOBODY\nCMD x\n"
    world.build(text)
    notices = [event for event in world.events if isinstance(event, BuildNotice)]
    assert [(event.check, event.line) for event in notices] == [("UndefinedVar", 4), ("JSONArgsRecommended", 5)]
    assert notices[0].text == "Usage of undefined variable '$NOBODY'"
    with pytest.raises(DockerfileError, match="lint violation found for rules: JSONArgsRecommended, UndefinedVar"):
        world.build("# check=error=true\n" + text)
    assert world.events == []
    world.close()


@pytest.mark.sandbox
def test_only_the_checks_build_nothing_and_look_at_every_stage(make_world: MakeWorld) -> None:
    world = make_world()
    world.write(".dockerignore", "hidden\n")
    world.write("Dockerfile", "FROM nowhere AS a\nENV a b\nFROM nowhere\nCOPY hidden /\nRUN false\n")
    request = BuildRequest(world.context)
    found = check_request(request, world.images)
    assert [(one.name, one.range.line) for one in found] == [("LegacyKeyValueFormat", 2), ("CopyIgnoredFile", 4)]
    assert world.puller.asked == []
    world.close()
