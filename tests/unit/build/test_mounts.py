"""RUN --mount on the real store: what each shows, what stays, what counts for the cache, what never shows up."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labdock.build import BuildStepFailed
from labdock.errors import DockerfileError
from labdock.schema.build import StepOutput

MakeWorld = Callable[[], Any]


def said(world: Any) -> str:
    return "".join(event.text for event in world.events if isinstance(event, StepOutput) and event.stream == "stdout")


@pytest.mark.sandbox
def test_bind_of_the_context_is_read_only_and_in_no_layer(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("src/a.txt", "one")
    world.write("src/run.sh", "#!/bin/sh\n", 0o755)
    text = (
        "FROM base\nWORKDIR /work\n"
        "RUN --mount=target=ctx,source=src busybox cat ctx/a.txt; "
        "ls -l ctx/run.sh | cut -c1-10; touch ctx/b || echo refused\n"
    )
    image = world.build(text)
    assert said(world).startswith("one-rwxr-xr-x\n")
    assert said(world).endswith("refused\n")
    assert not any(path.startswith("work/") for path in world.listing(image))
    assert world.active() == []
    assert not [info.key for info in world.snapshotter.walk() if info.key.startswith("build-")]
    world.close()


@pytest.mark.sandbox
def test_bind_content_counts_for_the_cache_and_other_files_do_not(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("a/f", "1")
    text = "FROM base\nRUN --mount=target=/x,source=a true\n"
    world.build(text)
    world.write("other", "x")
    world.build(text)
    assert world.steps[-1].startswith("*")
    world.write("a/f", "2")
    world.build(text)
    assert not world.steps[-1].startswith("*")
    world.close()


@pytest.mark.sandbox
def test_writes_to_a_writable_bind_are_discarded(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "1")
    image = world.build(
        "FROM base AS one\nRUN echo s > /s\nFROM base\n"
        "RUN --mount=target=/x,rw echo new > /x/f && busybox cat /x/f\nRUN --mount=target=/x,rw busybox cat /x/f\n"
        "RUN --mount=from=one,target=/y,rw busybox cat /y/s && echo t > /y/s\n"
        "RUN --mount=from=one,source=/s,target=/z busybox cat /z\n"
    )
    assert said(world) == "new\n1s\ns\n"
    assert set(world.listing(image)) == set(world.listing(world.images.get("base")))
    world.close()


@pytest.mark.sandbox
def test_bind_of_what_is_not_there_is_an_error_at_the_flag(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    with pytest.raises(DockerfileError, match="mount source /nothing: not found") as caught:
        world.build("FROM base\nRUN --mount=target=/x,source=/nothing true\n")
    assert (caught.value.line, caught.value.column) == (2, 4)
    with pytest.raises(DockerfileError, match="invalid mount target"):
        world.build("FROM base\nRUN --mount=target=/ true\n")
    world.close()


@pytest.mark.sandbox
def test_a_cache_outlives_builds_and_is_in_no_image_and_no_key(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    count = "echo x >> /c/log; busybox wc -l < /c/log"
    image = world.build(f"FROM base\nRUN --mount=type=cache,target=/c {count}\n")
    assert said(world) == "1\n"
    assert "c" not in world.listing(image)
    world.build(f"FROM base\nENV other=1\nRUN --mount=type=cache,target=/c {count}\n")
    assert said(world) == "2\n"
    world.build(f"FROM base\nENV other=1\nRUN --mount=type=cache,target=/c,id=another {count}\n")
    assert world.steps[-1].startswith("*"), "the id is not in the key"
    world.build(f"FROM base\nENV other=2\nRUN --mount=type=cache,target=/c,id=another {count}\n")
    assert said(world) == "1\n"
    world.build(f"FROM base\nRUN --mount=type=cache,target=/c {count}\n", no_cache=True)
    assert said(world) == "1\n", "without the cache it starts empty"
    world.close()


@pytest.mark.sandbox
def test_a_cache_is_seeded_and_has_mode_and_owner(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("seed/f", "from the context")
    world.build(
        "FROM base AS one\nRUN mkdir /s && echo 1 > /s/f\nFROM base\n"
        "RUN --mount=type=cache,target=/c,from=one,source=/s,mode=0700,uid=5,gid=6 "
        "busybox cat /c/f; stat -c '%a %u %g' /c\n"
        "RUN --mount=type=cache,target=/r,ro sh -c 'touch /r/x || echo refused'\n"
    )
    assert said(world).startswith("1\n700 5 6\n")
    assert said(world).endswith("refused\n")
    world.close()


@pytest.mark.sandbox
def test_a_locked_cache_is_one_step_at_a_time_and_a_private_one_is_its_own(make_world: MakeWorld) -> None:
    world = make_world()
    taken: list[str] = []

    async def use(sharing: str, name: str) -> None:
        async with world.builder.caches.take("k", sharing, lambda folder: None) as folder:
            taken.append(f"+{name} {folder.parent.name[32:]}")
            await asyncio.sleep(0.05)
            taken.append(f"-{name}")

    async def both(sharing: str) -> list[str]:
        taken.clear()
        await asyncio.gather(use(sharing, "a"), use(sharing, "b"))
        return list(taken)

    assert asyncio.run(both("locked")) == ["+a ", "-a", "+b ", "-b"]
    assert sorted(asyncio.run(both("private"))[:2]) == ["+a ", "+b -1"]
    assert sorted(asyncio.run(both("shared"))[:2]) == ["+a ", "+b "]
    found = world.builder.caches.list()
    assert [(one.name, one.in_use) for one in found] == [("k", False), ("k", False)]
    assert all(world.builder.caches.remove(one.id) for one in found)
    assert world.builder.caches.list() == ()
    world.close()


@pytest.mark.sandbox
def test_tmpfs_is_empty_bounded_and_gone(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    image = world.build(
        "FROM base\nRUN --mount=type=tmpfs,target=/t,size=64k busybox ls /t; "
        "busybox head -c 100000 /bin/busybox > /t/big || echo full; stat -c %s /t/big\n"
    )
    assert said(world) == "full\n65536\n"
    assert "t" not in world.listing(image)
    world.close()


SECRET = b"hunter2-is-the-secret"


@pytest.mark.sandbox
def test_a_secret_is_a_file_or_a_variable_and_never_stays(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world()
    world.add_base()
    text = (
        "FROM base\nRUN --mount=type=secret,id=token busybox wc -c < /run/secrets/token; "
        "stat -c '%a %u' /run/secrets/token\n"
        "RUN --mount=type=secret,id=token,target=/etc/tok,mode=0440,uid=3 stat -c '%a %u' /etc/tok\n"
        'RUN --mount=type=secret,id=token,env=TOKEN echo "${#TOKEN}"; ls /run 2>/dev/null || true\n'
    )
    image = world.build(text, secrets={"token": SECRET})
    assert said(world) == "21\n400 0\n440 3\n21\n"
    names = set(world.listing(image))
    assert not names & {"run/secrets/token", "run/secrets", "run", "etc/tok"}
    # A build with another value finds every step in the cache; so does one without.
    assert world.build(text, secrets={"token": b"other"}).id == image.id
    assert all(step.startswith("*") for step in world.steps[1:])
    world.database.close()
    files = [Path(here, name) for here, _, names in os.walk(world.folder) for name in names]
    places = [path for path in files if path.is_file() and SECRET in path.read_bytes()]
    assert places == []
    assert SECRET.decode() not in repr(world.events) + repr(image.config)
    world.snapshotter.close()


@pytest.mark.sandbox
def test_a_secret_that_is_not_given(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.build("FROM base\nRUN --mount=type=secret,id=no ls /run/secrets/no 2>/dev/null || echo none\n")
    assert said(world) == "none\n"
    with pytest.raises(DockerfileError, match="secret no: not found"):
        world.build("FROM base\nRUN --mount=type=secret,id=no,required true\n")
    # A name that looks like a path is only a name.
    with pytest.raises(DockerfileError, match="not found"):
        world.build("FROM base\nRUN --mount=type=secret,id=../../etc/passwd,required true\n", secrets={"passwd": b"x"})
    world.close()


@pytest.mark.sandbox
def test_an_agent_is_reached_through_its_socket(make_world: MakeWorld) -> None:
    import socket

    world = make_world()
    world.add_base()
    seen: list[bytes] = []

    async def dial() -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours)

        async def answer() -> None:
            seen.append(await reader.read(5))
            writer.write(b"agent")
            writer.close()

        world.answering = asyncio.create_task(answer())
        theirs.setblocking(False)
        return theirs

    class Runner:
        async def run(self, request: Any, on_output: Any) -> int:
            mount = request.mounts[0]
            assert "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.default" in request.env
            assert mount.target == "/run/buildkit/ssh_agent.default"
            found = os.stat(mount.source)
            assert stat.S_ISSOCK(found.st_mode)
            assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, 7)
            fd = os.open(os.path.dirname(mount.source), os.O_RDONLY)
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{fd}/agent")
            os.close(fd)
            writer.write(b"hello")
            assert await reader.read() == b"agent"
            writer.close()
            return 0

    world.builder.runner = Runner()
    world.build("FROM base\nRUN --mount=type=ssh,uid=7 ssh\n", agents={"default": dial})
    assert seen == [b"hello"]
    with pytest.raises(DockerfileError, match="unset ssh forward key other"):
        world.build("FROM base\nRUN --mount=type=ssh,id=other,required ssh\n", agents={"default": dial})
    world.close()


@pytest.mark.sandbox
def test_a_failed_step_leaves_no_mount(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f")
    with pytest.raises(BuildStepFailed):
        world.build(
            "FROM base\nRUN --mount=target=/x --mount=type=secret,id=s --mount=type=cache,target=/c exit 3\n",
            secrets={"s": b"1"},
        )
    assert str(world.folder) not in Path("/proc/self/mountinfo").read_text().replace(str(world.folder / "snap"), "")
    assert world.active() == []
    assert list((world.folder / "build").iterdir()) == []
    world.close()
