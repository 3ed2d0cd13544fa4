"""Attaching with the log first: nothing is lost between what was and what comes, and a prompt is there at once."""

from __future__ import annotations

import asyncio
import hashlib

from tests.system.conftest import EngineUnderTest

DEADLINE = 120
LINES = 60_000
HEAD = b"\r\n\r\n"


async def _attach(
    engine: EngineUnderTest, container: str, query: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The raw stream after the answer's head."""
    reader, writer = await asyncio.open_unix_connection(str(engine.run / "docker.sock"))
    writer.write(
        f"POST /containers/{container}/attach?{query} HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\n"
        "Connection: Upgrade\r\n\r\n".encode()
    )
    head = await reader.readuntil(HEAD)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return reader, writer


def test_the_log_and_what_follows_are_one_stream(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    script = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done"
    container = engine.docker("run", "-d", "-t", "busybox", "sh", "-c", script)
    whole = hashlib.sha256(b"".join(b"line %d\r\n" % number for number in range(LINES))).hexdigest()

    async def digest(query: str) -> str:
        reader, writer = await _attach(engine, container, query)
        found = hashlib.sha256(await reader.read()).hexdigest()
        writer.close()
        return found

    async def read() -> list[str]:
        async with asyncio.timeout(DEADLINE):
            followed = "logs=1&stream=1&stdout=1&stderr=1"
            # Two while it writes; then it has ended.
            both = await asyncio.gather(digest(followed), digest(followed))
            await asyncio.to_thread(engine.docker, "wait", container)
            return [*both, await digest("logs=1&stdout=1")]

    assert asyncio.run(read()) == [whole] * 3


def test_a_prompt_from_before_is_seen_and_answered(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    container = engine.docker(
        "run", "-d", "-i", "-t", "busybox", "sh", "-c", "printf 'name? '; read n; echo hello $n; cat"
    )

    async def talk() -> bytes:
        async with asyncio.timeout(DEADLINE):
            reader, writer = await _attach(engine, container, "logs=1&stream=1&stdin=1&stdout=1")
            seen = b""
            while b"name? " not in seen:
                seen += await reader.read(4096)
            writer.write(b"you\n")
            while b"hello you\r\n" not in seen:
                piece = await reader.read(4096)
                assert piece, seen
                seen += piece
            # Whoever goes away while it waits for more leaves the container as it is.
            writer.close()
            return seen

    assert asyncio.run(talk()).count(b"name? ") == 1
    assert engine.docker("inspect", "-f", "{{.State.Running}}", container) == "true"
