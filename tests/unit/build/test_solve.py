"""Whole builds on the real store: what ends up in the image, what the cache takes."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from typing import Any

import pytest

from labdock.build import BuildStepFailed
from labdock.errors import DockerfileError, InvalidRequest
from labdock.schema.build import BuildDone, BuildFailed, BuildNotice, StepOutput

MakeWorld = Callable[[], Any]


@pytest.mark.sandbox
def test_from_scratch_with_copy(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("a.txt", "hello", 0o640)
    world.write("sub/b.txt", "b")
    image = world.build('FROM scratch\nCOPY a.txt sub /data/\nWORKDIR /data\nCMD ["/data/a.txt"]\n', names=("x:1",))
    listing = world.listing(image)
    assert listing == {
        "data": (stat.S_IFDIR | 0o755, 0, 0),
        "data/a.txt": (stat.S_IFREG | 0o640, 0, 0),
        "data/b.txt": (stat.S_IFREG | 0o644, 0, 0),
    }
    assert world.read(image, "data/a.txt") == "hello"
    assert image.config.config.cmd == ("/data/a.txt",)
    assert image.config.config.working_dir == "/data"
    assert len(image.layers) == 1
    assert world.images.get("x:1").id == image.id
    assert isinstance(world.events[-1], BuildDone)
    assert world.active() == []
    world.close()


@pytest.mark.sandbox
def test_run_shell_and_exec_form_with_arguments(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    image = world.build(
        "ARG V=1\nFROM base\nARG V\nARG W=w\nENV E=$W-$V\nWORKDIR /work\n"
        'RUN echo "$E $V $PWD" > out; echo said; echo bad >&2\nRUN ["/bin/busybox", "touch", "/$E"]\n',
        build_args={"V": "2", "unused": "x", "none": None},
    )
    assert world.read(image, "work/out") == "w-2 2 /work\n"
    assert "$E" in world.listing(image)
    assert image.config.config.env == ("PATH=/bin", "E=w-2")
    said = [(event.stream, event.text) for event in world.events if isinstance(event, StepOutput)]
    assert said == [("stdout", "said\n"), ("stderr", "bad\n")]
    notices = [event.text for event in world.events if isinstance(event, BuildNotice)]
    assert notices == ["[Warning] One or more build-args [unused] were not consumed"]
    assert [entry.created_by for entry in image.config.history][-2] == (
        'RUN |2 V=2 W=w /bin/sh -c echo "$E $V $PWD" > out; echo said; echo bad >&2'
    )
    world.close()


@pytest.mark.sandbox
def test_everything_cached_gives_the_same_image(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "1")
    text = "FROM base\nENV A=1\nRUN echo x > /x\nCOPY f /f\nWORKDIR /w\nLABEL l=1\n"
    first = world.build(text)
    os.utime(world.context / "f", (1, 1))
    again = world.build(text)
    assert again.id == first.id
    assert world.steps == ["FROM base", "*ENV A=1", "*RUN echo x > /x", "*COPY f /f", "*WORKDIR /w", "*LABEL l=1"]
    assert len(world.runner.requests) == 1
    world.close()


@pytest.mark.sandbox
def test_a_changed_file_mode_or_name_misses_and_an_unrelated_file_does_not(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "1")
    text = "FROM base\nCOPY f /d/\nRUN true\n"
    world.build(text)
    world.write("other", "x")
    world.build(text)
    assert world.steps == ["FROM base", "*COPY f /d/", "*RUN true"]
    world.write("f", "1", 0o755)
    world.build(text)
    assert world.steps == ["FROM base", "COPY f /d/", "RUN true"]
    world.write("f", "2", 0o755)
    world.build(text)
    assert world.steps == ["FROM base", "COPY f /d/", "RUN true"]
    world.build(text, no_cache=True)
    assert world.steps == ["FROM base", "COPY f /d/", "RUN true"]
    world.close()


@pytest.mark.sandbox
def test_a_label_in_front_does_not_run_a_step_again_but_an_env_does(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.build("FROM base\nRUN echo a > /a\n")
    world.build("FROM base\nLABEL x=1\nRUN echo a > /a\n")
    assert world.steps[-1] == "*RUN echo a > /a"
    world.build("FROM base\nENV x=1\nRUN echo a > /a\n")
    assert world.steps[-1] == "RUN echo a > /a"
    world.close()


@pytest.mark.sandbox
def test_only_needed_stages_are_built(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    text = (
        "FROM base AS one\nRUN echo 1 > /one\nFROM base AS unused\nRUN exit 9\n"
        "FROM base AS two\nCOPY --from=ONE /one /from-one\nCOPY --from=0 /one /again\n"
    )
    image = world.build(text)
    assert world.read(image, "from-one") == "1\n"
    assert world.steps == [
        "FROM base AS one",
        "RUN echo 1 > /one",
        "FROM base AS two",
        "COPY --from=ONE /one /from-one",
        "COPY --from=0 /one /again",
    ]
    world.build(text)
    assert all(step.startswith("*") for step in world.steps if not step.startswith("FROM"))
    with pytest.raises(BuildStepFailed):
        world.build(text, target="UNUSED")
    world.close()


@pytest.mark.sandbox
def test_a_stage_that_ran_again_with_the_same_result_keeps_the_cache_of_its_copies(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    text = "FROM base AS one\nRUN echo 1 > /one; echo {} > /other\nFROM base\nCOPY --from=one /one /\n"
    world.build(text.format("a"))
    world.build(text.format("b"))
    assert world.steps[-1] == "*COPY --from=one /one /"
    world.close()


@pytest.mark.sandbox
def test_a_failing_run_says_so_in_dockers_words(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    with pytest.raises(BuildStepFailed) as raised:
        world.build("FROM base\nRUN for i in 1 2 3; do echo line $i; done; exit 3\n", names=("never",))
    words = "The command '/bin/sh -c for i in 1 2 3; do echo line $i; done; exit 3' returned a non-zero code: 3"
    assert raised.value.message == words
    failed = world.events[-1]
    assert isinstance(failed, BuildFailed)
    assert (failed.message, failed.exit_code, failed.step, failed.line) == (words, 3, 2, 2)
    assert failed.tail == ("line 1", "line 2", "line 3")
    assert world.active() == []
    assert "never" not in world.images.images
    world.close()


@pytest.mark.sandbox
def test_cancelling_stops_the_step_and_leaves_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()

    async def main() -> None:
        task = asyncio.create_task(world.build_async("FROM base\nRUN exec busybox sleep 100\n"))
        await asyncio.wait_for(world.runner.began.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert world.active() == []
    assert list((world.folder / "build").iterdir()) == []
    world.close()


@pytest.mark.sandbox
def test_the_same_inputs_give_the_same_image_id_with_source_date_epoch(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("d/f", "1")
    text = "FROM base\nRUN mkdir /m && echo 1 > /m/f\nCOPY d /d\nWORKDIR /w/x\nENV A=1\n"
    arguments = {"SOURCE_DATE_EPOCH": "1600000000"}
    first = world.build(text, build_args=arguments)
    os.utime(world.context / "d/f", (1_650_000_000, 1_650_000_000))
    again = world.build(text, build_args=arguments, no_cache=True)
    assert "*" not in "".join(world.steps)
    assert again.id == first.id
    assert first.config.created == "2020-09-13T12:26:40.000000000Z"
    world.close()


@pytest.mark.sandbox
def test_chown_by_name_number_and_chmod(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "1")
    world.write("d/g", "1")
    image = world.build(
        "FROM base\nCOPY --chown=app f /1\nCOPY --chown=app:staff d /2\nCOPY --chown=77 f /3\n"
        "COPY --chown=7:8 --chmod=u=rwX,go=rX f d /4/\nUSER app\nWORKDIR /home/app\n"
    )
    listing = world.listing(image)
    assert listing["1"][1:] == (1000, 1001)
    assert listing["2"][1:] == (1000, 50)
    assert listing["2/g"][1:] == (1000, 50)
    assert listing["3"][1:] == (77, 77)
    assert listing["4/g"] == (stat.S_IFREG | 0o644, 7, 8)
    assert listing["home/app"] == (stat.S_IFDIR | 0o755, 1000, 1001)
    with pytest.raises(DockerfileError, match="can't find user 'nobody-here' in /etc/passwd"):
        world.build("FROM base\nCOPY --chown=nobody-here f /1\n")
    world.close()


@pytest.mark.sandbox
def test_copy_merges_folders_and_refuses_what_does_not_fit(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("d/x", "new")
    world.write("d/sub/y", "y")
    (world.context / "d/link").symlink_to("/etc/passwd")
    image = world.build(
        "FROM base\nRUN mkdir /t /t/sub; echo old > /t/x; echo z > /t/sub/z\nCOPY d /t\nCOPY d/x /lib/\n"
    )
    assert world.read(image, "t/x") == "new"
    assert {"t/sub/y", "t/sub/z", "t/link", "usr/lib/x"} <= set(world.listing(image))
    with pytest.raises(DockerfileError, match="COPY failed: cannot copy to non-directory: sub"):
        world.build("FROM base\nRUN mkdir /t; echo > /t/sub\nCOPY d /t\n")
    assert world.active() == []
    world.close()


@pytest.mark.sandbox
def test_a_link_in_the_image_leads_nowhere_outside(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    outside = world.folder / "outside"
    outside.mkdir()
    world.write("f", "1")
    image = world.build(
        f"FROM base\nRUN busybox ln -s {outside} /way; busybox ln -s ../../../../x /up\nCOPY f /way/\nCOPY f /up\n"
    )
    assert list(outside.iterdir()) == []
    listing = world.listing(image)
    assert str(outside / "f").lstrip("/") in listing
    assert "x" in listing
    world.close()


@pytest.mark.sandbox
def test_run_heredocs(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    image = world.build(
        "FROM base\nENV N=name\nRUN <<EOF\necho $N > /a\necho two >> /a\nEOF\n"
        "RUN <<-E busybox cat > /b\n\tx\n\tE\nRUN <<S\n#!/bin/busybox ash\necho $0 > /c\nS\n"
        "COPY <<one <<'two' /files/\n$N \"q\"\none\n$N\ntwo\n"
    )
    assert world.read(image, "a") == "name\ntwo\n"
    assert world.read(image, "b") == "x\n"
    assert world.read(image, "c") == "/.labdock-run/script\n"
    assert world.read(image, "files/one") == 'name "q"\n'
    assert world.read(image, "files/two") == "$N\n"
    assert not [path for path in world.listing(image) if path.startswith(".labdock")]
    world.close()


@pytest.mark.sandbox
def test_onbuild_triggers_run_in_the_child(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "1")
    parent = world.build("FROM base\nONBUILD COPY f /f\nONBUILD RUN echo t > /t\n", names=("parent",))
    assert parent.config.config.on_build == ("COPY f /f", "RUN echo t > /t")
    child = world.build("FROM parent\n")
    assert world.read(child, "t") == "t\n"
    assert child.config.config.on_build == ()
    world.close()


@pytest.mark.sandbox
def test_dockerignore_is_applied_and_the_dockerfile_may_be_ignored(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("keep/a", "a")
    world.write("keep/b.log", "b")
    world.write("node/x", "x")
    world.write("node/y/z", "z")
    world.write(".dockerfile.123", "FROM scratch\nCOPY . /\n")
    world.write(".dockerignore", "*.log\n**/*.log\nnode\n!node/y\n.dockerfile.123\n.dockerignore\n")
    image = world.build(None, dockerfile=".dockerfile.123")
    assert sorted(world.listing(image)) == ["keep", "keep/a", "node", "node/y", "node/y/z"]
    world.write(".dockerfile.123.dockerignore", "*\n!keep/b.log\n")
    image = world.build(None, dockerfile=".dockerfile.123")
    assert sorted(world.listing(image)) == ["keep", "keep/b.log"]
    with pytest.raises(DockerfileError) as raised:
        world.build("FROM scratch\nCOPY node/x /\n")
    assert raised.value.message == (
        "COPY failed: file not found in build context or excluded by .dockerignore: stat node/x: file does not exist"
    )
    assert (raised.value.line, raised.value.column, raised.value.end_column) == (2, 5, 11)
    world.close()


@pytest.mark.sandbox
def test_what_can_not_begin_raises_before_any_event(make_world: MakeWorld) -> None:
    world = make_world()
    for text, error in (
        ("FROM base\nFOO x\n", "dockerfile parse error on line 2: unknown instruction: FOO"),
        ("FROM base\nRUN --security=insecure true\n", "RUN --security=insecure is not granted"),
        ("FROM $X\n", "base name"),
    ):
        with pytest.raises(DockerfileError, match=error):
            world.build(text)
        assert world.events == []
    with pytest.raises(InvalidRequest, match="Cannot locate specified Dockerfile: nope"):
        world.build("FROM scratch\n", dockerfile="nope")
    with pytest.raises(DockerfileError, match="No such image: nope"):
        world.build("FROM nope\n")
    assert isinstance(world.events[-1], BuildFailed)
    world.close()


@pytest.mark.sandbox
def test_cache_from_takes_only_the_named_images(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    text = "FROM base\nENV FOO=bar\nRUN echo > /baz\nRUN echo > /bax\n"
    world.build(text, names=("build1",))
    world.build(text, cache_from=("build1",))
    assert sum(step.startswith("*") for step in world.steps) == 3
    world.build(text, cache_from=("nosuchtag",))
    assert sum(step.startswith("*") for step in world.steps) == 0
    world.close()


@pytest.mark.sandbox
def test_labels_of_the_request_go_on_top_and_config_is_inherited(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base(labels={"a": "1", "b": "1"}, user="app", entrypoint=("/e",))
    image = world.build(
        'FROM base\nLABEL b=2\nENTRYPOINT exec x\nEXPOSE 80 53/udp 8000-8001\nVOLUME /v ["x"]\nSTOPSIGNAL INT\n'
        'MAINTAINER me\nSHELL ["/bin/ash", "-c"]\nCMD run\nHEALTHCHECK --interval=2s CMD true\n',
        labels={"c": "3", "a": "9"},
    )
    config = image.config.config
    assert config.labels == {"a": "9", "b": "2", "c": "3"}
    assert config.entrypoint == ("/bin/sh", "-c", "exec x")
    assert config.cmd == ("/bin/ash", "-c", "run")
    assert list(config.exposed_ports) == ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]
    assert config.stop_signal == "INT"
    assert config.healthcheck is not None
    assert config.healthcheck.interval == 2_000_000_000
    assert image.config.author == "me"
    assert image.config.rootfs.diff_ids == world.images.get("base").config.rootfs.diff_ids
    world.close()


@pytest.mark.sandbox
def test_what_a_containers_mounts_need_is_not_part_of_the_layer(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    before = set(world.listing(world.images.get("base")))
    image = world.build("FROM base\nRUN echo > /made\n")
    assert set(world.listing(image)) - before == {"made"}
    kept = world.build("FROM base\nRUN echo 127.0.0.1 x > /etc/hosts; echo > /dev/own\n")
    assert set(world.listing(kept)) - before == {"etc/hosts", "dev", "dev/own"}
    world.close()


@pytest.mark.sandbox
def test_wildcards_excludes_and_variables_in_copy(make_world: MakeWorld) -> None:
    world = make_world()
    for path in ("a1.txt", "a2.txt", "a.md", "src/x.c", "src/x.o", "src/deep/y.o", "src/deep/y.h"):
        world.write(path, path)
    image = world.build(
        "FROM scratch\nARG D=/out\nENV N=a\nCOPY ${N}[0-9].* none* $D/\n"
        "COPY --exclude=**/*.o --exclude=deep/*.h src /src\n"
    )
    assert sorted(path for path in world.listing(image)) == [
        "out", "out/a1.txt", "out/a2.txt", "src", "src/deep", "src/x.c",
    ]  # fmt: skip
    for line, words in (("COPY none* /x", r"stat none\*: file does not exist"), ("COPY $NO /x", r"\$NO is empty")):
        with pytest.raises(DockerfileError, match=words) as raised:
            world.build(f"FROM scratch\n{line}\n")
        assert raised.value.line == 2
    world.close()


@pytest.mark.sandbox
def test_copy_parents_keeps_the_folders_on_the_way(make_world: MakeWorld) -> None:
    world = make_world()
    for path in ("x/a.txt", "y/deep/a.txt", "y/b.md", "z/p/q/c.txt", "top.txt"):
        world.write(path, path)
    image = world.build(
        "FROM scratch\nCOPY --parents x/a.txt y /one/\nCOPY --parents z/./p/q /two\nCOPY --parents **/*.txt /three/\n"
    )
    files = sorted(path for path, (mode, _, _) in world.listing(image).items() if stat.S_ISREG(mode))
    assert files == [
        "one/x/a.txt", "one/y/b.md", "one/y/deep/a.txt",
        "three/top.txt", "three/x/a.txt", "three/y/deep/a.txt", "three/z/p/q/c.txt",
        "two/p/q/c.txt",
    ]  # fmt: skip
    world.close()


@pytest.mark.sandbox
def test_a_build_keeps_what_it_stands_on_from_being_collected(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    held: list[set[str]] = []

    async def main() -> None:
        task = asyncio.create_task(world.build_async("FROM base\nRUN echo > /x\nRUN exec busybox sleep 100\n"))
        while len(world.runner.requests) < 2:
            await asyncio.wait_for(world.runner.began.wait(), 10)
            await asyncio.sleep(0.01)
        held.append(world.images.leases.held())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    # The base's blob and snapshot (of a first layer they are one digest), the first step's blob and snapshot.
    assert len(held[0]) == 3
    assert world.images.leases.held() == set()
    world.close()
