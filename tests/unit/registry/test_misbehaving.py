"""The client against a registry that misbehaves: success after another try, or a clear error, always in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from labdock.errors import Corrupt, LabdockError, RateLimited, SystemFailure, Unauthorized, Unavailable
from labdock.registry import upload
from labdock.registry.client import LONGEST_MANIFEST
from labdock.registry.exchange import MOST_REDIRECTS
from labdock.registry.settings import Settings
from tests.registries import (
    Bearer,
    Cut,
    Deaf,
    Fault,
    Flip,
    Longer,
    NoRange,
    Raw,
    Registry,
    Short,
    Stall,
    Status,
    Trickle,
    serving,
)
from tests.unit.registry.standins import QuickClock, blob_of, client_of, collect, make_bytes, repository, source_of

DATA = make_bytes(300_000)

#: What passes when the next answer is a good one.
PASSING: list[Fault] = [
    Status(500),
    Status(502, {}, b"<html>bad gateway</html>"),
    Status(503, {"Retry-After": "20"}),
    Status(504),
    Status(408),
    Status(429, {"Retry-After": "3"}),
    Status(429),
    Cut(),
    Cut(0),
    Stall(),
    Raw(b""),
    Raw(b"HTTP/1.1 200"),
    Raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    Raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
]


@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_what_passes_is_tried_again(fault: Fault) -> None:
    async def main() -> None:
        clock = QuickClock()
        async with serving(Registry()) as registry, client_of(clock=clock) as client:
            registry.put("a/b", "v1", b"{}")
            registry.add_blob(DATA)
            registry.misbehave("GET", "/manifests/", fault)
            registry.misbehave("GET", "/blobs/", fault)
            registry.misbehave("POST", "/uploads/", fault)
            registry.misbehave("PUT", "/uploads/", fault)
            await client.manifest(repository(registry), "v1")
            assert await collect(client.blob(repository(registry), blob_of(DATA))) == DATA
            assert await client.upload_blob(repository(registry), blob_of(b"new"), source_of(b"new"))
            # aiohttp itself asks once more on a connection that was kept and is found closed.
            assert clock.slept or isinstance(fault, Cut | Raw)

    asyncio.run(main())


@pytest.mark.parametrize("fault", [*PASSING, Status(404), Status(403), Status(307), Status(299)], ids=repr)
@pytest.mark.limit(60)
def test_what_does_not_pass_ends_in_a_clear_error(fault: Fault) -> None:
    async def main() -> None:
        clock = QuickClock()
        async with serving(Registry()) as registry, client_of(clock=clock) as client:
            registry.misbehave("", "/", fault, times=1000)
            for work in (
                client.manifest(repository(registry), "v1"),
                collect(client.blob(repository(registry), blob_of(DATA))),
                client.upload_blob(repository(registry), blob_of(DATA), source_of(DATA)),
            ):
                with pytest.raises(LabdockError) as caught:
                    await work
                assert caught.value.message.strip()
        assert sum(clock.slept) < 300
        assert len(registry.seen) <= 40

    asyncio.run(main())


@pytest.mark.parametrize("fault", [Cut(100_000), Cut(1), Stall(100_000), Short(100_000)], ids=repr)
def test_a_broken_blob_is_gone_on_with(fault: Fault) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.add_blob(DATA)
            registry.misbehave("GET", "/blobs/", fault)
            assert await collect(client.blob(repository(registry), blob_of(DATA))) == DATA
            ranges = [seen.headers.get("range") for seen in registry.asked("GET", "/blobs/")]
            if isinstance(fault, Short):
                assert ranges == [None, None]  # a wrong length is no beginning
            else:
                assert ranges[0] is None and (ranges[1] or "").startswith("bytes=")

    asyncio.run(main())


def test_a_blob_that_breaks_again_and_again_comes_as_long_as_something_comes() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            big = make_bytes(2_000_000)
            registry.add_blob(big)
            registry.misbehave("GET", "/blobs/", Cut(150_000), times=99)
            assert await collect(client.blob(repository(registry), blob_of(big))) == big
            assert len(registry.seen) > 10

    asyncio.run(main())


def test_a_blob_that_breaks_at_once_each_time_ends() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.add_blob(DATA)
            registry.misbehave("GET", "/blobs/", Cut(10), times=999)
            with pytest.raises(Unavailable):
                await collect(client.blob(repository(registry), blob_of(DATA)))
            assert len(registry.seen) <= 10

    asyncio.run(main())


def test_a_server_that_knows_no_range() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.add_blob(DATA)
            registry.misbehave("GET", "/blobs/", Cut(100_000))
            registry.misbehave("GET", "/blobs/", NoRange())
            assert await collect(client.blob(repository(registry), blob_of(DATA))) == DATA
            registry.misbehave("GET", "/blobs/", NoRange())
            assert await collect(client.blob(repository(registry), blob_of(DATA), 299_990)) == DATA[299_990:]

    asyncio.run(main())


@pytest.mark.parametrize("content_range", ["bytes 0-5/300000", "bytes 7-299999/999", "nonsense", ""])
def test_another_range_than_asked_for(content_range: str) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            fault = Status(206, {"Content-Range": content_range}, b"x" * 299_993)
            registry.misbehave("GET", "/blobs/", fault, times=99)
            with pytest.raises(Corrupt, match="its Content-Range is"):
                await collect(client.blob(repository(registry), blob_of(DATA), 7))

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault", [Short(10), Longer(10), Longer(10, announced=False), Flip(0), Flip(299_999)], ids=repr
)
def test_wrong_bytes_are_never_taken_for_right(fault: Fault) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.add_blob(DATA)
            registry.misbehave("GET", "/blobs/", fault, times=99)
            got = bytearray()
            with pytest.raises(Corrupt, match=r"not what was asked for|by its manifest, but"):
                async for data in client.blob(repository(registry), blob_of(DATA)):
                    got += data
            assert len(got) <= len(DATA)

    asyncio.run(main())


@pytest.mark.parametrize("fault", [Deaf(), Stall()], ids=repr)
def test_a_registry_that_takes_nothing_more(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "STALL", 0.3)
    monkeypatch.setattr(upload, "SETTLE", 0.3)

    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            big = make_bytes(20_000_000)
            registry.misbehave("PUT", "/uploads/", fault)
            assert await client.upload_blob(repository(registry), blob_of(big), source_of(big))
            registry.misbehave("PUT", "/uploads/", fault, times=99)
            with pytest.raises(Unavailable, match="i/o timeout"):
                await client.upload_blob(repository(registry), blob_of(big), source_of(big))

    asyncio.run(main())


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b""])
def test_a_source_with_other_bytes_than_said(data: bytes) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            with pytest.raises(Corrupt, match="bytes"):
                await client.upload_blob(repository(registry), blob_of(DATA), source_of(data))
            assert not registry.blobs

    asyncio.run(main())


def test_a_source_that_fails_is_not_asked_again() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise SystemFailure("the disk is gone")

    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            with pytest.raises(SystemFailure, match="the disk is gone"):
                await client.upload_blob(repository(registry), blob_of(DATA), broken)

    asyncio.run(main())


@pytest.mark.parametrize("challenge", ['Basic realm="x"', "BEARER", "Negotiate", None])
def test_401_without_end(challenge: str | None) -> None:
    async def main() -> None:
        async with serving(Registry(Bearer())) as registry, client_of() as client:
            asked = challenge
            if challenge == "BEARER":
                asked = f'Bearer realm="http://{registry.host}/token",service="s"'
            headers = {"WWW-Authenticate": asked} if asked else {}
            registry.misbehave("", "/v2/", Status(401, headers), times=999)
            with pytest.raises(LabdockError, match="pull access denied"):
                await client.manifest(repository(registry), "v1")
            with pytest.raises(Unauthorized):
                await client.upload_blob(repository(registry), blob_of(DATA), source_of(DATA))
            assert len(registry.seen) <= 14

    asyncio.run(main())


@pytest.mark.parametrize("answer", [Status(500), Status(200, {}, b"no"), Status(200, {}, b"x" * 2_000_000), Cut()])
def test_a_token_server_that_misbehaves(answer: Fault) -> None:
    async def main() -> None:
        async with serving(Registry(Bearer())) as registry, client_of() as client:
            registry.misbehave("GET", "/token", answer, times=99)
            with pytest.raises((Unavailable, SystemFailure), match=r"/token"):
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_redirects_in_a_circle() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.misbehave("GET", "", Status(307, {"Location": "/v2/round/and/round"}), times=999)
            with pytest.raises(SystemFailure, match=f"stopped after {MOST_REDIRECTS} redirects"):
                await client.manifest(repository(registry), "v1")
            assert len(registry.seen) == MOST_REDIRECTS + 1

    asyncio.run(main())


@pytest.mark.parametrize("headers", [{"Retry-After": "7200"}, {"RateLimit-Reset": "7200"}])
def test_a_rate_limit_is_shown_and_not_waited_for(headers: dict[str, str]) -> None:
    async def main() -> None:
        clock = QuickClock()
        async with serving(Registry()) as registry, client_of(clock=clock) as client:
            registry.misbehave(
                "GET", "/manifests/", Status(429, {**headers, "RateLimit-Limit": "100;w=21600"}), times=9
            )
            with pytest.raises(RateLimited, match=r"\(100 in 6 h\); try again in 2 h") as caught:
                await client.manifest(repository(registry), "v1")
            assert caught.value.seconds == 7200 and not clock.slept

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"x" * (LONGEST_MANIFEST + 1), "longer than 4194304 bytes"),
        (b"", "no JSON object"),
        (b"not json", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'{"mediaType": 7}', "no JSON object"),
        (b"[" * 1_000_000, "no JSON object"),
        (b'{"a":' * 100_000, "no JSON object"),
        (b"\xff\xfe{}", "no JSON object"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_giant_and_hostile_manifests(body: bytes, words: str) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.put("a/b", "v1", body)
            with pytest.raises((Corrupt, SystemFailure), match=words):
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_a_manifest_that_is_another_than_its_digest() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            digest = registry.put("a/b", "v1", {"a": 1})
            for reference in ("v1", digest):
                registry.misbehave("GET", "/manifests/", Flip(2), times=1)
                with pytest.raises(Corrupt, match=r"the manifest is sha256:[0-9a-f]{64}, not sha256:"):
                    await client.manifest(repository(registry), reference)
            await client.manifest(repository(registry), digest)

    asyncio.run(main())


def test_a_trickle_of_a_manifest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.registry.exchange.WHOLE", 0.3)

    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.put("a/b", "v1", b" " * 1000 + b"{}")
            registry.misbehave("GET", "/manifests/", Trickle(), times=99)
            with pytest.raises(Unavailable, match="did not come in time"):
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_a_trickle_of_a_blob_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.registry.download.WINDOW", 0.3)

    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.add_blob(DATA)
            registry.misbehave("GET", "/blobs/", Trickle(), times=99)
            with pytest.raises(Unavailable, match="the registry stalled"):
                await collect(client.blob(repository(registry), blob_of(DATA)))

    asyncio.run(main())


def test_a_slow_consumer_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.registry.download.WINDOW", 0.5)

    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            big = make_bytes(6_000_000)
            registry.add_blob(big)
            got = bytearray()
            async for data in client.blob(repository(registry), blob_of(big)):
                if len(got) < 300_000:
                    await asyncio.sleep(1.2)
                got += data
            assert bytes(got) == big and len(registry.asked("GET", "/blobs/")) == 1

    asyncio.run(main())


def test_giant_headers_are_refused() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.misbehave("GET", "", Status(200, {"X-Giant": "x" * 200_000}, b"{}"), times=99)
            with pytest.raises(Unavailable, match="malformed HTTP response"):
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_plain_http_only_where_it_is_listed() -> None:
    async def main() -> None:
        async with serving(Registry(), name="registry.example") as registry:
            registry.put("a/b", "v1", b"{}")
            async with client_of(settings=Settings()) as client:
                with pytest.raises(LabdockError):
                    await client.manifest(repository(registry), "v1")
            assert not registry.seen
            async with client_of(settings=Settings(insecure=("registry.example",))) as client:
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())
