"""Logs, wait, events, builds, pulls, loads and saves: answers that come in pieces."""

from __future__ import annotations

import asyncio

import pytest

from labdock.api.streams.frames import MULTIPLEXED, RAW, FrameReader
from labdock.schema.build_query import BuildQuery
from labdock.schema.container import HostConfig

from .fake import IMAGE, make_event
from .harness import serve, until

HELLO = [("stdout", b"hello there\n"), ("stderr", b"done\n")]


def test_logs_come_in_frames() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("say hello there")
            reply = await served.ask("GET", "/containers/web/logs?stdout=1&stderr=1")
            assert reply.headers["content-type"] == MULTIPLEXED
            assert list(FrameReader().feed(reply.body)) == HELLO
            old = await served.ask("GET", "/v1.41/containers/web/logs?stdout=1")
            assert old.headers["content-type"] == RAW
            assert list(FrameReader().feed(old.body)) == HELLO[:1]

    asyncio.run(main())


def test_logs_of_a_terminal_are_raw() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("say hello there", tty=True)
            reply = await served.ask("GET", "/containers/web/logs?stdout=1&stderr=1")
            assert (reply.headers["content-type"], reply.body) == (RAW, b"hello there\ndone\n")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("tail=1", "tail", 1),
        ("tail=all", "tail", None),
        ("tail=-1", "tail", None),
        ("since=0", "since", None),
        ("since=1.5", "since", 1_500_000_000),
        ("until=1970-01-01T00:00:02Z", "until", 2_000_000_000),
        ("timestamps=True", "timestamps", True),
        ("timestamps=False", "timestamps", False),
    ],
)
def test_log_parameters(query: str, name: str, expected: object) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("say hi")
            assert (await served.ask("GET", f"/containers/web/logs?stdout=1&{query}")).status == 200
            assert served.engine.containers.log_sources[0].asked[name] == expected

    asyncio.run(main())


def test_followed_logs_flush_at_once_end_with_the_container_and_keep_the_connection() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat")
            program = served.engine.containers.get("web").program
            await program.emit("stdout", b"first\n")
            client.send("GET", "/containers/web/logs?stdout=1&follow=1")
            await client.head()
            assert list(FrameReader().feed(await client.chunk())) == [("stdout", b"first\n")]
            await program.end(0)
            assert await client.chunk() == b""
            assert (await client.ask("GET", "/_ping")).body == b"OK"

    asyncio.run(main())


@pytest.mark.parametrize("half", [False, True])
def test_a_follower_that_leaves_is_let_go_though_nothing_is_logged(half: bool) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            async with served.connect() as client:
                client.send("GET", "/containers/web/logs?stdout=1&follow=1")
                await client.head()
                if half:
                    client.writer.write_eof()
                    assert await client.reader.read() == b""
            await until(lambda: served.engine.containers.log_sources[0].closed)

    asyncio.run(main())


def test_many_log_lines_arrive_whole_and_in_few_pieces() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")
            program = served.engine.containers.get("web").program
            program.past = [("stdout", f"line {n}\n".encode()) for n in range(50_000)]
            client.send("GET", "/containers/web/logs?stdout=1")
            await client.head()
            body, pieces = b"", 0
            while piece := await client.chunk():
                body, pieces = body + piece, pieces + 1
            lines = [data for _, data in FrameReader().feed(body)]
            assert lines == [line for _, line in program.past]
            assert pieces < 50

    asyncio.run(main())


def test_stats_are_a_line_a_sample_or_one_answer() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("say hi")
            streamed = await served.ask("GET", "/containers/web/stats")
            assert [sample["number"] for sample in streamed.lines()] == [0, 1, 2]
            once = await served.ask("GET", "/containers/web/stats?stream=false&one-shot=true")
            assert once.json() == {"name": "/web", "number": 0, "one_shot": True}
            both = await served.ask("GET", "/containers/web/stats?stream=1&one-shot=1")
            assert (both.status, both.json()["message"]) == (400, "cannot have stream=true and one-shot=true")
            assert (await served.ask("GET", "/containers/nope/stats")).status == 404

    asyncio.run(main())


def test_wait_sends_its_head_at_once_and_its_body_at_the_end() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")
            client.send("POST", "/containers/web/wait?condition=next-exit")
            head = await client.head()
            assert (head.status, head.headers["content-type"]) == (200, "application/json")
            await served.ask("POST", "/containers/web/kill")
            assert await client.chunk() == b'{"StatusCode":137}\n'
            assert await client.chunk() == b""
            assert (await served.ask("POST", "/containers/web/wait")).json() == {"StatusCode": 137}

    asyncio.run(main())


def test_the_same_connection_serves_the_next_request_after_a_wait() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("fail 3")
            for _ in range(3):
                assert (await client.ask("POST", "/containers/web/wait")).json() == {"StatusCode": 3}
            assert (await client.ask("GET", "/_ping")).body == b"OK"

    asyncio.run(main())


def test_requests_pipelined_behind_a_wait_are_answered_after_it() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")
            client.send("POST", "/containers/web/wait")
            await client.head()
            client.send("GET", "/_ping")
            client.send("GET", "/version")
            await asyncio.sleep(0.05)
            await served.ask("POST", "/containers/web/kill")
            assert await client.chunk() == b'{"StatusCode":137}\n'
            assert await client.chunk() == b""
            assert (await client.reply()).body == b"OK"
            assert (await client.reply()).json()["ApiVersion"] == "1.51"

    asyncio.run(main())


def test_an_old_client_gets_its_answer_unchunked() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("fail 3")
            client.send("POST", "/containers/web/wait", version="1.0")
            reply = await client.reply()
            assert "transfer-encoding" not in reply.headers
            assert reply.json() == {"StatusCode": 3}

    asyncio.run(main())


def test_events_stream_as_lines_at_once_with_the_old_fields() -> None:
    async def main() -> None:
        async with serve() as served:
            async with served.connect() as client:
                client.send("GET", '/events?filters={"type":["container"]}&since=10'.replace('"', "%22"))
                assert (await client.head()).headers["content-type"] == "application/json"
                served.engine.events.queue.put_nowait(make_event("start"))
                line = await client.chunk()
                assert line.endswith(b"\n")
                assert b'"status":"start","id":"0101' in line
                assert b'"from":"busybox","Type":"container","Action":"start","Actor":{"ID":"0101' in line
                assert b'"timeNano":1000000001' in line
                assert served.engine.events.asked["since"] == 10_000_000_000
                assert served.engine.events.asked["filters"] == {"type": ["container"]}
            await asyncio.wait_for(served.engine.events.closed.wait(), 5)

    asyncio.run(main())


def test_events_with_an_end_end() -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await served.ask("GET", "/events?since=1&until=2")).body == b""

    asyncio.run(main())


BUILT = [
    {"stream": "Step 1/1 : RUN x"},
    {"stream": "\n"},
    {"stream": " ---> Running in cdcdcdcdcdcd\n"},
    {"stream": "\x1b[91moops\n\x1b[0m"},
    {"stream": " ---> Removed intermediate container cdcdcdcdcdcd\n"},
    {"stream": " ---> abababababab\n"},
    {"aux": {"ID": IMAGE}},
    {"stream": "Successfully built abababababab\n"},
    {"stream": "Successfully tagged app:1\n"},
]


@pytest.mark.parametrize("headers", [None, {"Transfer-Encoding": "chunked"}])
def test_build_reads_its_context_and_answers_dockers_lines(headers: dict[str, str] | None) -> None:
    async def main() -> None:
        context = b"3\r\nabc\r\n0\r\n\r\n" if headers else b"abc"
        async with serve() as served:
            reply = await served.ask("POST", "/build?t=app:1&t=app:2&rm=1", context, headers)
            assert reply.lines() == [*BUILT, {"stream": "Successfully tagged app:2\n"}]
            assert served.engine.builds.context == b"abc"

    asyncio.run(main())


def test_build_takes_compressed_contexts() -> None:
    async def main() -> None:
        import gzip

        async with serve() as served:
            await served.ask("POST", "/build", gzip.compress(b"context"), {"Content-Encoding": "gzip"})
            assert served.engine.builds.context == b"context"

    asyncio.run(main())


def test_build_parameters() -> None:
    async def main() -> None:
        async with serve() as served:
            path = (
                '/build?dockerfile=Other&t=a&t=b&buildargs={"A":"1","B":null}&labels={"l":"v"}&target=&nocache=True'
                "&pull=1&networkmode=host&platform=linux/amd64&rm=False&forcerm=0&q=1&extrahosts=a:1,b:2&shmsize=64"
                '&cachefrom=["x"]&memory=5&securityopt=x'
            )
            reply = await served.ask("POST", path.replace('"', "%22"), b"abc")
            assert reply.lines() == [{"stream": f"{IMAGE}\n"}]
            assert served.engine.builds.query == BuildQuery(
                dockerfile="Other",
                names=("a", "b"),
                build_args={"A": "1", "B": None},
                labels={"l": "v"},
                no_cache=True,
                pull=True,
                network="host",
                platform="linux/amd64",
                quiet=True,
                rm=False,
                extra_hosts=("a:1", "b:2"),
                shm_size=64,
                cache_from=("x",),
                limits=HostConfig(memory=5),
                extra={"securityopt": "x"},
            )

    asyncio.run(main())


def test_a_failed_step_ends_the_stream_with_its_code() -> None:
    async def main() -> None:
        async with serve() as served:
            reply = await served.ask("POST", "/build?target=broken", b"abc")
            assert reply.status == 200
            text = "The command '/bin/sh -c x' returned a non-zero code: 3"
            detail = {"message": text, "code": 3, "hint": "fix x"}
            assert reply.lines()[-1] == {"errorDetail": detail, "error": text}

    asyncio.run(main())


def test_typed_events_for_those_who_ask() -> None:
    async def main() -> None:
        async with serve() as served:
            lines = (await served.ask("POST", "/build?labdock=1&t=app", b"abc")).lines()
            assert [line["event"] for line in lines] == ["started", "running", "output", "done", "built"]
            assert lines[-1]["image"] == IMAGE

    asyncio.run(main())


def test_a_build_that_stops_reading_early_still_answers_and_the_rest_is_thrown_away() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            assert (await client.ask("POST", "/build?target=early", b"z" * (8 << 20))).lines()[:2] == BUILT[:2]
            assert (await client.ask("GET", "/_ping")).body == b"OK"

    asyncio.run(main())


def test_a_build_whose_client_leaves_is_stopped() -> None:
    async def main() -> None:
        async with serve() as served:
            async with served.connect() as client:
                client.send("POST", "/build?target=stuck", b"abc")
                await client.head()
            await served.engine.builds.cancelled.wait()

    asyncio.run(main())


def test_a_build_whose_client_does_not_read_is_stopped() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send("POST", "/build?target=flood", b"abc")
            await served.engine.builds.cancelled.wait()

    asyncio.run(main())


def test_a_pull_whose_client_leaves_before_its_first_line_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def pull(*_: object) -> None:  # of a registry that does not answer
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        async with serve() as served:
            monkeypatch.setattr(served.engine.images, "pull", pull)
            async with served.connect() as client:
                client.send("POST", "/images/create?fromImage=busybox")
                await asyncio.sleep(0.05)
                assert not ended.is_set()
            await asyncio.wait_for(ended.wait(), 5)

    asyncio.run(main())


def test_pull_streams_progress_and_late_errors_as_lines() -> None:
    async def main() -> None:
        async with serve() as served:
            line = {"status": "Pulling from busybox", "id": "latest"}
            assert (await served.ask("POST", "/images/create?fromImage=busybox")).lines() == [line]
            late = await served.ask("POST", "/images/create?fromImage=busybox&tag=broken")
            assert late.status == 200
            assert late.lines()[1] == {"errorDetail": {"message": "manifest unknown"}, "error": "manifest unknown"}

    asyncio.run(main())


def test_load_answers_200_even_for_what_is_no_archive() -> None:
    async def main() -> None:
        async with serve() as served:
            good = await served.ask("POST", "/images/load", b"tar" + b"x" * 100_000)
            assert good.lines() == [{"stream": "Loaded image: busybox:latest\n"}]
        async with serve() as served:
            bad = await served.ask("POST", "/images/load", b"no archive")
            assert bad.status == 200
            assert bad.lines()[0]["errorDetail"] == {"message": "invalid tar header"}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "size"),
    [("/images/busybox/get", 7), ("/images/get?names=busybox&names=json", 11), ("/images/get?names=busybox,json", 11)],
)
def test_save_streams_a_tar(path: str, size: int) -> None:
    async def main() -> None:
        async with serve() as served:
            reply = await served.ask("GET", path)
            assert reply.headers["content-type"] == "application/x-tar"
            assert len(reply.body) == size * 1000

    asyncio.run(main())


def test_bootstrap_streams() -> None:
    async def main() -> None:
        async with serve() as served:
            reply = await served.ask("POST", "/labdock/images/bootstrap?name=debian:bookworm")
            assert reply.lines() == [{"status": "making debian:bookworm"}]

    asyncio.run(main())


def test_two_hundred_followers_come_and_go_and_nothing_stays() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")

            async def follow() -> None:
                async with served.connect() as client:
                    client.send("GET", "/containers/web/logs?stdout=1&follow=1")
                    await client.head()

            for _ in range(10):
                await asyncio.gather(*(follow() for _ in range(20)))
            await until(lambda: len(served.wires) == 0)
            await until(lambda: all(source.closed for source in served.engine.containers.log_sources))
            assert len(served.engine.containers.log_sources) == 200

    asyncio.run(main())
