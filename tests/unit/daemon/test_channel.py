"""The fd-passing channel."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from labdock.daemon.channel import LONGEST, Channel, Descriptors, Handler, Params, preserve, revive
from labdock.errors import (
    Conflict,
    DockerfileError,
    EngineUnreachable,
    InvalidRequest,
    LabdockError,
    NoSuchContainer,
    SystemFailure,
    Unavailable,
)


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


async def echo(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    return params, ()


async def make_pipe(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    read, write = os.pipe()
    os.write(write, b"from inside")
    os.close(write)
    return None, (read,)


async def refuse(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    raise Conflict("it is taken", hint="take another")


async def fail(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    raise FileNotFoundError(2, "No such file", "/x")


async def hang(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    await asyncio.Event().wait()
    return None, ()


HANDLERS: dict[str, Handler] = {"echo": echo, "pipe": make_pipe, "refuse": refuse, "fail": fail, "hang": hang}


def with_pair(body: Callable[[Channel, Channel], Awaitable[None]]) -> None:
    """Run *body* with both ends; the descriptors of before are those of after."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        a, b = Channel(left, name="b"), Channel(right, HANDLERS, name="a")
        try:
            await body(a, b)
        finally:
            a.close()
            b.close()
            await asyncio.sleep(0)

    before = count_fds()
    asyncio.run(main())
    assert count_fds() == before


def test_results_and_descriptors_come_back() -> None:
    async def body(a: Channel, b: Channel) -> None:
        answers = await asyncio.gather(*(a.call("echo", {"n": n}) for n in range(500)))
        assert [result["n"] for result, _ in answers] == list(range(500))
        _, fds = await a.call("pipe")
        with os.fdopen(fds.take(), "rb") as source:
            assert source.read() == b"from inside"
        with pytest.raises(SystemFailure, match="without the descriptor"):
            fds.take()

    with_pair(body)


def test_descriptors_nobody_takes_are_closed() -> None:
    async def body(a: Channel, b: Channel) -> None:
        with open("/dev/null", "rb") as null:
            await a.call("echo", {}, (null.fileno(),) * 16)
            before = count_fds()
            for _ in range(50):
                await a.call("echo", {}, (null.fileno(),) * 16)
            assert count_fds() == before

    with_pair(body)


def test_errors_come_back_as_what_they_are() -> None:
    async def body(a: Channel, b: Channel) -> None:
        with pytest.raises(Conflict, match="it is taken") as caught:
            await a.call("refuse")
        assert caught.value.hint == "take another"
        with pytest.raises(SystemFailure, match="No such file"):
            await a.call("fail")
        with pytest.raises(SystemFailure, match="'nothing' is not a method"):
            await a.call("nothing")
        with pytest.raises(SystemFailure, match="does not fit the channel"):
            await a.call("echo", {"long": "x" * LONGEST})
        assert (await a.call("echo", {"n": 1}))[0] == {"n": 1}

    with_pair(body)


def test_every_error_survives_the_way() -> None:
    for error in (NoSuchContainer("web"), Conflict("c", hint="h"), EngineUnreachable("e"), LabdockError("x")):
        back = revive(preserve(error))
        assert (type(back), back.message, back.hint) == (type(error), error.message, error.hint)
    assert type(revive(preserve(DockerfileError("line 3", line=3)))) is InvalidRequest
    assert type(revive({"code": "from the future", "message": "m"})) is LabdockError


def test_the_end_of_the_peer_fails_open_calls() -> None:
    async def body(a: Channel, b: Channel) -> None:
        waiting = asyncio.create_task(a.call("hang"))
        await asyncio.sleep(0.01)
        b.close()
        with pytest.raises(EngineUnreachable, match="closed"):
            await waiting
        await a.wait_closed()
        with pytest.raises(EngineUnreachable):
            a.notify("echo")
        with pytest.raises(EngineUnreachable):
            await a.call("echo")

    with_pair(body)


def test_deadlines_and_cancelling_leave_the_channel_working() -> None:
    async def body(a: Channel, b: Channel) -> None:
        with pytest.raises(Unavailable, match=r"did not answer 'hang' within 0\.01 s"):
            await a.call("hang", seconds=0.01)
        task = asyncio.create_task(a.call("pipe"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await a.call("echo", {"n": 2}))[0] == {"n": 2}

    with_pair(body)


def test_a_peer_that_does_not_read_blocks_nobody_and_loses_nothing() -> None:
    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        a = Channel(left)
        calls = [asyncio.create_task(a.call("echo", {"n": n, "pad": "x" * 2000})) for n in range(400)]
        await asyncio.sleep(0.05)
        b = Channel(right, HANDLERS)
        assert [(await call)[0]["n"] for call in calls] == list(range(400))
        a.close()
        b.close()

    asyncio.run(main())


def test_answers_for_a_dead_engine_are_dropped_with_their_descriptors() -> None:
    """Two incarnations of one end: the second gets the answer to the first's request, and ignores it."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = left.dup()
        first = Channel(left)
        asked = asyncio.create_task(first.call("pipe"))
        await asyncio.sleep(0)
        first.close()
        with pytest.raises(EngineUnreachable):
            await asked
        b = Channel(right, HANDLERS)
        await asyncio.sleep(0.02)
        second = Channel(kept)
        before = count_fds()
        assert (await second.call("echo", {"n": 3}))[0] == {"n": 3}
        assert count_fds() == before
        waiting = asyncio.create_task(b.call("anything"))
        await asyncio.sleep(0)
        b.forget_calls("the engine died")
        with pytest.raises(EngineUnreachable, match="the engine died"):
            await waiting
        second.close()
        b.close()

    before = count_fds()
    asyncio.run(main())
    assert count_fds() == before


@pytest.mark.parametrize("data", [b"not json", b"[]", b"17", b"\xff"])
def test_garbage_closes_the_channel_and_nothing_else(data: bytes) -> None:
    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel = Channel(left, HANDLERS)
        right.send(data)
        await asyncio.wait_for(channel.wait_closed(), 5)
        right.close()

    asyncio.run(main())


def test_a_peer_that_a_call_finds_gone_is_said_to_be_gone_at_once() -> None:
    async def main() -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel = Channel(near, name="the other")
        far.close()
        # Nothing was read in between: sending is what finds it out.
        with pytest.raises(EngineUnreachable, match="the other"):
            await asyncio.wait_for(channel.call("anything"), 20)
        channel.close()

    asyncio.run(main())
