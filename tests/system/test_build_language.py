"""Parts of the Dockerfile language that only a real build shows: owners, volumes, groups, what a URL's file becomes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.conftest import EngineUnderTest
from tests.system.test_build_parts import serving

MOMENT = 1_700_000_000


def build(engine: EngineUnderTest, dockerfile: str, *options: str) -> str:
    """The image's id."""
    return engine.docker("build", "-q", *options, "-", stdin=dockerfile)


def look(engine: EngineUnderTest, image: str, *command: str) -> str:
    return engine.docker("run", "--rm", image, *command)


def test_a_workdir_belongs_to_the_user_it_was_made_under(engine: EngineUnderTest) -> None:
    made = build(engine, "FROM busybox\nWORKDIR /of/root\nUSER 33:100\nWORKDIR /of/user/deep\n")
    assert look(engine, made, "stat", "-c", "%u:%g %a", "/of/root") == "0:0 755"
    assert look(engine, made, "stat", "-c", "%u:%g %a", "/of/user/deep") == "33:100 755"


def test_what_is_written_under_a_volume_after_its_line_is_kept(engine: EngineUnderTest) -> None:
    made = build(engine, "FROM busybox\nVOLUME /data\nRUN mkdir /data && echo kept > /data/file\n")
    assert look(engine, made, "cat", "/data/file") == "kept"
    assert engine.docker("inspect", "-f", "{{json .Config.Volumes}}", made) == '{"/data":{}}'


@pytest.mark.parametrize(
    ("user", "groups"),
    [("worker", "1000 2000 2001"), ("worker:extra", "2000"), ("1000", "1000 2000 2001"), ("77", "0"), ("77:5", "5")],
)
def test_a_users_groups_in_a_step_and_in_the_container(engine: EngineUnderTest, user: str, groups: str) -> None:
    made = build(
        engine,
        "FROM busybox\n"
        "RUN echo worker:x:1000:1000::/home/worker:/bin/sh >> /etc/passwd; "
        "printf 'worker:x:1000:\\nextra:x:2000:worker\\nmore:x:2001:worker\\n' >> /etc/group; mkdir -m 777 /told\n"
        f"USER {user}\n"
        "RUN id -G > /told/groups; echo $HOME > /told/home\n",
    )
    assert look(engine, made, "cat", "/told/groups") == groups
    assert look(engine, made, "id", "-G") == groups
    assert look(engine, made, "cat", "/told/home") == ("/home/worker" if user[0] in "w1" else "/")


def test_a_file_from_a_url_is_roots_alone_with_the_servers_time(engine: EngineUnderTest, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("from a server")
    os.utime(tmp_path / "page", (MOMENT, MOMENT))
    with serving(tmp_path) as (url, _):
        made = build(engine, f"FROM busybox\nUSER 33\nADD {url}/page /named\nADD {url}/page /folder/\n")
        refused = engine.docker("build", "-q", "-", stdin=f"FROM busybox\nADD {url}/missing /x\n", check=False)
        copied = engine.docker("build", "-q", "-", stdin=f"FROM busybox\nCOPY {url}/page /x\n", check=False)
    assert refused == copied == ""
    for path in ("/named", "/folder/page"):
        assert look(engine, made, "stat", "-c", "%u:%g %a %Y", path) == f"0:0 600 {MOMENT}"


def test_a_process_left_in_the_background_does_not_hold_up_a_step(engine: EngineUnderTest) -> None:
    made = build(engine, "FROM busybox\nRUN sleep 1000 & echo done > /done\n")
    assert look(engine, made, "cat", "/done") == "done"


def test_deletions_and_changes_of_kind_in_one_step_are_in_its_layer(engine: EngineUnderTest) -> None:
    made = build(
        engine,
        "FROM busybox\n"
        "RUN mkdir -p /a/b /c /d; touch /a/b/old /c/old /d/old /gone; ln -s /a /link\n"
        "RUN rm -r /a/b && mkdir /a/b && touch /a/b/new; rm -r /c && ln -s /d /c; rm /gone; rm /link && mkdir /link\n",
    )
    assert look(engine, made, "ls", "/a/b") == "new"
    assert look(engine, made, "readlink", "/c") == "/d"
    assert look(engine, made, "sh", "-c", "test ! -e /gone && test -d /link && ls /link | wc -l") == "0"


def test_same_size_and_time_with_other_content_is_another_layer(engine: EngineUnderTest) -> None:
    made = build(
        engine,
        "FROM busybox\nRUN echo one > /f; touch -d @1000 /f\nRUN echo two > /f; touch -d @1000 /f\n",
    )
    assert look(engine, made, "cat", "/f") == "two"
