"""The client against a registry that behaves: pulling, pushing, tokens, redirects, mirrors, lists."""

from __future__ import annotations

import asyncio
import json

import pytest

from labdock.errors import Forbidden, LabdockError, NotFound, SystemFailure, Unauthorized, Unavailable
from labdock.registry import Found, Repository
from labdock.registry.client import RegistryClient
from labdock.registry.credentials import Credentials
from labdock.registry.settings import Mirror, Settings
from tests.registries import Basic, Bearer, Cut, Flip, Raw, Registry, Status, digest_of, serving, threaded
from tests.unit.registry.standins import (
    QuickClock,
    blob_of,
    client_of,
    collect,
    make_bytes,
    repository,
    source_of,
)

DATA = make_bytes(300_000)
USER = Credentials("user", "secret")


def with_user(registry: Registry, credentials: Credentials = USER) -> RegistryClient:
    return client_of(credentials={registry.host: credentials})


def test_what_is_pushed_is_pulled() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            where, blob = repository(registry), blob_of(DATA)
            sent: list[int] = []
            assert not await client.blob_exists(where, blob)
            assert await client.upload_blob(where, blob, source_of(DATA), on_progress=sent.append)
            assert sent == [100_000, 200_000, 300_000]
            assert await client.blob_exists(where, blob)
            body = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode()
            digest = await client.put_manifest(where, "v1", body, "application/vnd.oci.image.manifest.v1+json")
            assert digest == digest_of(body) == await client.resolve(where, "v1")
            for reference in ("v1", digest):
                fetched = await client.manifest(where, reference)
                assert fetched == (body, "application/vnd.oci.image.manifest.v1+json", digest)
            assert await collect(client.blob(where, blob)) == DATA
            assert await collect(client.blob(where, blob, 299_999)) == DATA[299_999:]
            assert await collect(client.blob(where, blob, 300_000)) == b""
            assert await client.tags(where) == ("v1",)

    asyncio.run(main())


def test_a_blob_of_no_bytes() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            assert await client.upload_blob(repository(registry), blob_of(b""), source_of(b""))
            assert await collect(client.blob(repository(registry), blob_of(b""))) == b""

    asyncio.run(main())


def test_a_neighbour_s_blob_is_mounted_when_it_may_be() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            blob, neighbour = blob_of(DATA), repository(registry, "x/y")
            registry.add_blob(DATA, "x/y")
            assert not await client.upload_blob(repository(registry), blob, source_of(DATA), neighbour)
            assert not registry.asked("PUT", "")
            assert await collect(client.blob(repository(registry), blob)) == DATA
            # One that has not got it, and one of another host: it is sent.
            absent = repository(registry, "no/such")
            assert await client.upload_blob(repository(registry, "c"), blob_of(b"1"), source_of(b"1"), absent)
            foreign = Repository("other.example", "x/y")
            assert await client.upload_blob(repository(registry, "d"), blob, source_of(DATA), foreign)
            assert "mount" not in registry.asked("POST", "/v2/d/")[0].path

    asyncio.run(main())


def test_a_refused_mount_is_sent_instead() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.misbehave("POST", "mount=", Status(403))
            assert await client.upload_blob(
                repository(registry), blob_of(DATA), source_of(DATA), repository(registry, "secret")
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("reference", "path", "kind", "words"),
    [
        (
            "nope",
            "a/b",
            NotFound,
            r"manifest for 127\.0\.0\.1:\d+/a/b:nope not found: manifest unknown",
        ),
        ("sha256:" + "0" * 64, "a/b", NotFound, r"a/b@sha256:0{64} not found"),
    ],
)
def test_what_is_not_there(reference: str, path: str, kind: type[LabdockError], words: str) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            with pytest.raises(kind, match=words):
                await client.manifest(repository(registry, path), reference)
            with pytest.raises(NotFound, match="blob unknown"):
                await collect(client.blob(repository(registry), blob_of(b"?")))
            with pytest.raises(NotFound, match="name unknown"):
                await client.tags(repository(registry))

    asyncio.run(main())


def test_a_host_that_is_none_and_one_that_refuses() -> None:
    async def main() -> None:
        clock = QuickClock()
        async with client_of(clock=clock) as client:
            with pytest.raises(Unavailable, match=r"dial tcp localhost:1: connect: connection refused"):
                await client.manifest(Repository("localhost:1", "a"), "b")

    asyncio.run(main())


# -- who may


def test_basic() -> None:
    async def main() -> None:
        async with serving(Registry(Basic())) as registry:
            registry.put("a/b", "v1", b"{}")
            async with with_user(registry) as client:
                await client.manifest(repository(registry), "v1")
                await client.manifest(repository(registry), "v1")
            # Asked once, and then sent without being asked.
            assert [bool(seen.headers.get("authorization")) for seen in registry.seen] == [False, True, True]
            for client in (client_of(), with_user(registry, Credentials("user", "wrong"))):
                async with client:
                    with pytest.raises(NotFound, match=r"pull access denied for .*a/b, repository does not exist"):
                        await client.manifest(repository(registry), "v1")
                    with pytest.raises(Unauthorized) as caught:
                        await client.upload_blob(repository(registry), blob_of(DATA), source_of(DATA))
                    assert f"labdock login {registry.host}" in (caught.value.hint or "")

    asyncio.run(main())


def test_tokens_are_asked_for_once_per_scope() -> None:
    async def main() -> None:
        async with serving(Registry(Bearer())) as registry, with_user(registry) as client:
            registry.put("a/b", "v1", b"{}")
            registry.add_blob(DATA, "a/b")
            await client.manifest(repository(registry), "v1")
            await asyncio.gather(*(collect(client.blob(repository(registry), blob_of(DATA))) for _ in range(5)))
            assert len(registry.asked("GET", "/token")) == 1
            assert len([seen for seen in registry.seen if seen.path == "/v2/a/b/manifests/v1"]) == 2
            await client.upload_blob(repository(registry), blob_of(b"new"), source_of(b"new"))
            tokens = registry.asked("GET", "/token")
            assert len(tokens) == 2
            assert "scope=repository%3Aa%2Fb%3Apull%2Cpush" in tokens[1].path
            assert "service=a+test" in tokens[1].path and "account=user" in tokens[1].path
            assert tokens[1].headers["authorization"].startswith("Basic ")

    asyncio.run(main())


def test_anonymous_tokens() -> None:
    async def main() -> None:
        async with serving(Registry(Bearer())) as registry, client_of() as client:
            registry.put("a/b", "v1", b"{}")
            await client.manifest(repository(registry), "v1")
            assert "authorization" not in registry.asked("GET", "/token")[0].headers
            with pytest.raises(Unauthorized, match="unauthorized: authentication required"):
                await client.upload_blob(repository(registry), blob_of(DATA), source_of(DATA))

    asyncio.run(main())


def test_a_token_that_ends_too_early_is_replaced() -> None:
    async def main() -> None:
        async with serving(Registry(Bearer(lifetime=1))) as registry, client_of() as client:
            registry.put("a/b", "v1", b"{}")
            for _ in range(4):
                await client.manifest(repository(registry), "v1")
            assert len(registry.asked("GET", "/token")) == 4

    asyncio.run(main())


def test_a_token_is_not_used_after_its_time() -> None:
    async def main() -> None:
        clock = QuickClock()
        async with serving(Registry(Bearer())) as registry, client_of(clock=clock) as client:
            registry.put("a/b", "v1", b"{}")
            for step in (0.0, 280.0, 20.0):
                clock.time += step
                await client.manifest(repository(registry), "v1")
            assert len(registry.asked("GET", "/token")) == 2
            # Replaced before it was refused.
            assert len(registry.asked("GET", "/v2/a/b/manifests")) == 4

    asyncio.run(main())


def test_an_identity_token_buys_tokens() -> None:
    async def main() -> None:
        async with serving(Registry(Bearer(anonymous=False))) as registry:
            registry.put("a/b", "v1", b"{}")
            async with with_user(registry, Credentials("<token>", identity_token="identity-token")) as client:
                await client.manifest(repository(registry), "v1")
            bought = registry.asked("POST", "/token")[0]
            assert b"grant_type=refresh_token" in bought.body and b"refresh_token=identity-token" in bought.body
            async with with_user(registry, Credentials("<token>", identity_token="too-old")) as client:
                with pytest.raises(NotFound, match=r"pull access denied.*incorrect username or password"):
                    await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_a_registry_token_is_sent_as_it_is() -> None:
    async def main() -> None:
        async with serving(Registry(auth := Bearer())) as registry:
            auth.issued["given"] = (frozenset({"repository:a/b:pull"}), 0)
            registry.put("a/b", "v1", b"{}")
            async with with_user(registry, Credentials(registry_token="given")) as client:
                await client.manifest(repository(registry), "v1")
            assert not registry.asked("GET", "/token")

    asyncio.run(main())


@pytest.mark.parametrize("auth", [Basic(), Bearer(anonymous=False), Bearer()])
def test_logins(auth: Basic | Bearer) -> None:
    async def main() -> None:
        async with serving(Registry(auth)) as registry, client_of() as client:
            token = await client.check_login(f"http://{registry.host}", USER)
            assert token == ("identity-token" if isinstance(auth, Bearer) else "")
            with pytest.raises(Unauthorized, match=r"unauthorized: (incorrect username|authentication required)"):
                await client.check_login(registry.host, Credentials("user", "wrong"))

    asyncio.run(main())


def test_a_login_where_nobody_is_asked() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            assert await client.check_login(registry.host, USER) == ""
            # What is not a registry does not become one by a login.
            registry.misbehave("GET", "/v2/", Status(404))
            with pytest.raises(SystemFailure, match="is no registry"):
                await client.check_login(registry.host, USER)

    asyncio.run(main())


# -- redirects


def test_credentials_stay_behind_at_a_redirect() -> None:
    async def main() -> None:
        async with (
            serving(Registry(Basic())) as registry,
            serving(Registry()) as other,
            with_user(registry) as client,
        ):
            registry.add_blob(DATA, "a/b")
            other.add_blob(DATA)
            registry.storage = f"http://{other.host}/v2/x/blobs/"
            assert await collect(client.blob(repository(registry), blob_of(DATA))) == DATA
            assert [seen.path for seen in other.seen] == [f"/v2/x/blobs/{blob_of(DATA).digest}?signed=yes"]
            assert "authorization" not in other.seen[0].headers
            assert "authorization" in registry.asked("GET", "/blobs/")[-1].headers

    asyncio.run(main())


def test_credentials_do_not_come_back_with_a_redirect_back() -> None:
    async def main() -> None:
        async with serving(Registry(Basic())) as registry, serving(Registry()) as other, with_user(registry) as client:
            blob = blob_of(DATA)
            back = f"http://{registry.host}/v2/evil/blobs/{blob.digest}"
            registry.storage = f"http://{other.host}/v2/x/blobs/"
            registry.add_blob(DATA, "a/b")
            other.misbehave("GET", "", Status(302, {"Location": back}), times=9)
            with pytest.raises(LabdockError):
                await collect(client.blob(repository(registry), blob))
            assert ["authorization" in seen.headers for seen in registry.asked("GET", "/evil/")] == [False]

    asyncio.run(main())


def test_an_upload_that_is_sent_elsewhere_takes_no_credentials_along() -> None:
    async def main() -> None:
        async with serving(Registry(Basic())) as registry, serving(Registry()) as other, with_user(registry) as client:
            await client.check_login(registry.host, USER)
            other.misbehave("PUT", "", Status(201), times=9)
            registry.misbehave("POST", "", Status(202, {"Location": f"http://{other.host}/v2/up?state=1"}), times=9)
            assert await client.upload_blob(repository(registry), blob_of(DATA), source_of(DATA))
            assert [seen.path.partition("&")[0] for seen in other.seen] == ["/v2/up?state=1"]
            assert other.seen[0].body == DATA
            assert "authorization" not in other.seen[0].headers

    asyncio.run(main())


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("ftp://x/", "is not the address"),
        ("file:///etc/passwd", "is not the address"),
        ("http://[", "is not an? "),
        ("//", "."),
        ("http://x:99999/", "is not the address"),
        ("http://unlisted.invalid/a", "lookup unlisted.invalid: no such host"),
    ],
)
def test_redirects_to_nowhere(location: str, words: str) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.misbehave("GET", "/blobs/", Status(302, {"Location": location}), times=99)
            with pytest.raises(LabdockError, match=words):
                await collect(client.blob(repository(registry), blob_of(DATA)))

    asyncio.run(main())


def test_nobody_outside_sends_us_to_ourselves() -> None:
    async def main() -> None:
        async with serving(Registry(), name="registry.example") as registry, client_of() as client:
            registry.misbehave("GET", "/blobs/", Status(302, {"Location": "http://127.0.0.1:9/"}), times=9)
            with pytest.raises(SystemFailure, match=r"refused to follow a redirect to .* which is this machine itself"):
                await collect(client.blob(repository(registry), blob_of(DATA)))

    asyncio.run(main())


def test_a_token_server_without_tls_gets_no_password() -> None:
    async def main() -> None:
        auth = Bearer(realm="http://tokens.invalid/token")
        async with serving(Registry(auth)) as registry, with_user(registry) as client:
            with pytest.raises(SystemFailure, match=r"http://tokens.invalid asks for credentials without TLS"):
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


# -- mirrors


def mirrored(*mirrors: Registry, scheme: str = "") -> Settings:
    found = tuple(Mirror(mirror.host, scheme=scheme) for mirror in mirrors)
    return Settings(mirrors={"registry.example": found}, insecure=("registry.example",))


def test_mirrors_are_tried_in_order() -> None:
    async def main() -> None:
        async with serving(Registry()) as empty, serving(Registry()) as full, serving(Registry()) as origin:
            origin.host = f"registry.example:{origin.host.partition(':')[2]}"
            settings = Settings(
                mirrors={origin.host: (Mirror(empty.host), Mirror(full.host, "hub"))}, insecure=("registry.example",)
            )
            full.put("hub/a/b", "v1", b"{}")
            full.add_blob(DATA)
            async with client_of(settings=settings) as client:
                await client.manifest(repository(origin), "v1")
                assert await collect(client.blob(repository(origin), blob_of(DATA))) == DATA
                # The registry itself was not asked; what it alone has comes from there.
                assert not origin.seen and len(empty.seen) == 2
                origin.put("a/b", "v2", b"{}")
                await client.manifest(repository(origin), "v2")
                assert [seen.path for seen in full.seen][-1] == "/v2/hub/a/b/manifests/v2"
                with pytest.raises(NotFound, match=r"manifest for registry.example:\d+/a/b:v3 not found"):
                    await client.manifest(repository(origin), "v3")

    asyncio.run(main())


def test_tags_are_a_mirrors_when_the_registry_cannot_be_reached() -> None:
    async def main() -> None:
        async with serving(Registry()) as mirror, serving(Registry()) as origin:
            origin.host = f"registry.example:{origin.host.partition(':')[2]}"
            settings = Settings(mirrors={origin.host: (Mirror(mirror.host),)}, insecure=("registry.example",))
            mirror.put("a/b", "v1", b"{}")
            for tag in ("v1", "v2"):
                origin.put("a/b", tag, b"{}")
            async with client_of(settings=settings) as client:
                assert set(await client.tags(repository(origin))) == {"v1", "v2"}
                origin.misbehave("", "", Status(503), times=99)
                assert await client.tags(repository(origin)) == ("v1",)
                mirror.misbehave("", "", Status(500), times=99)
                with pytest.raises(Unavailable):
                    await client.tags(repository(origin))

    asyncio.run(main())


@pytest.mark.parametrize("fault", [Status(500), Status(401), Status(429), Cut(), Raw(b"HTTP/1.1 what\r\n\r\n")])
def test_a_mirror_that_does_not_work_costs_no_pull(fault: Status | Cut | Raw) -> None:
    async def main() -> None:
        async with serving(Registry()) as bad, serving(Registry()) as origin:
            origin.host = f"registry.example:{origin.host.partition(':')[2]}"
            dead = Mirror("127.0.0.1:1")
            settings = Settings(mirrors={origin.host: (dead, Mirror(bad.host))}, insecure=("registry.example",))
            bad.misbehave("", "", fault, times=99)
            origin.put("a/b", "v1", b"{}")
            origin.add_blob(DATA)
            async with client_of(settings=settings) as client:
                await client.manifest(repository(origin), "v1")
                assert await collect(client.blob(repository(origin), blob_of(DATA))) == DATA

    asyncio.run(main())


def test_a_mirror_that_breaks_off_is_gone_on_with_elsewhere() -> None:
    async def main() -> None:
        async with serving(Registry()) as bad, serving(Registry()) as origin:
            origin.host = f"registry.example:{origin.host.partition(':')[2]}"
            settings = Settings(mirrors={origin.host: (Mirror(bad.host),)}, insecure=("registry.example",))
            for registry in (bad, origin):
                registry.add_blob(DATA)
            bad.misbehave("GET", "/blobs/", Cut(100_000))
            bad.misbehave("GET", "/blobs/", Status(500), times=9)
            async with client_of(settings=settings) as client:
                assert await collect(client.blob(repository(origin), blob_of(DATA))) == DATA
            assert origin.asked("GET", "/blobs/")[0].headers["range"].startswith("bytes=")

    asyncio.run(main())


def test_a_mirror_that_lies_is_asked_no_more() -> None:
    async def main() -> None:
        async with serving(Registry()) as liar, serving(Registry()) as origin:
            origin.host = f"registry.example:{origin.host.partition(':')[2]}"
            settings = Settings(mirrors={origin.host: (Mirror(liar.host),)}, insecure=("registry.example",))
            for registry in (liar, origin):
                registry.add_blob(DATA)
            for verify in (True, False):
                liar.misbehave("GET", "/blobs/", Flip(7), times=9)
                async with client_of(settings=settings) as client:
                    if verify:
                        with pytest.raises(LabdockError, match="not what was asked for"):
                            await collect(client.blob(repository(origin), blob_of(DATA)))
                    else:
                        assert await collect(client.blob(repository(origin), blob_of(DATA), verify=False)) != DATA
                        client.reject(blob_of(DATA))
                    assert await collect(client.blob(repository(origin), blob_of(DATA))) == DATA

    asyncio.run(main())


def test_a_mirror_gets_no_credentials_of_the_registry() -> None:
    async def main() -> None:
        async with serving(Registry(Basic())) as mirror, serving(Registry(Basic())) as origin:
            origin.host = f"registry.example:{origin.host.partition(':')[2]}"
            settings = Settings(mirrors={origin.host: (Mirror(mirror.host),)}, insecure=("registry.example",))
            origin.put("a/b", "v1", b"{}")
            async with client_of(settings=settings, credentials={origin.host: USER}) as client:
                await client.manifest(repository(origin), "v1")
            assert mirror.seen and not [seen for seen in mirror.seen if "authorization" in seen.headers]

    asyncio.run(main())


# -- lists


def test_tags_come_in_pages() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.page = 7
            names = [f"v{number:02}" for number in range(30)]
            for name in names:
                registry.put("a/b", name, b"{}")
            assert await client.tags(repository(registry)) == tuple(names)

    asyncio.run(main())


@pytest.mark.parametrize("link", ["</v2/a/b/tags/list?n=1000>; rel=next", '<http://evil.invalid/>; rel="next"'])
def test_pages_that_go_nowhere(link: str) -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            registry.headers["Link"] = link
            registry.put("a/b", "v1", b"{}")
            if "evil" in link:
                with pytest.raises(SystemFailure, match="on another host"):
                    await client.tags(repository(registry))
            else:
                assert await client.tags(repository(registry)) == ("v1",)

    asyncio.run(main())


def test_search_by_the_index_or_by_names() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            for name in ("lab/alpine", "alpine", "busybox"):
                registry.put(name, "v1", b"{}")
            found = await client.search(registry.host, "alp", 10)
            assert [one.name for one in found] == [f"{registry.host}/alpine", f"{registry.host}/lab/alpine"]
            answer = {"results": [{"name": "alpine", "description": "small", "star_count": 9, "is_official": True}] * 3}
            registry.misbehave("GET", "/v1/search?q=alp&n=2", Status(200, {}, json.dumps(answer).encode()))
            assert await client.search(registry.host, "alp", 2) == (Found("alpine", "small", 9, True),) * 2

    asyncio.run(main())


def test_more_blobs_than_slots_all_come() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            blobs = [make_bytes(50_000, seed) for seed in range(30)]
            for data in blobs:
                registry.add_blob(data)
            got = await asyncio.gather(*(collect(client.blob(repository(registry), blob_of(data))) for data in blobs))
            assert got == blobs

    asyncio.run(main())


def test_a_pull_that_is_given_up_leaves_nothing_open() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            big = make_bytes(8_000_000)
            registry.add_blob(big)
            for _ in range(20):
                stream = client.blob(repository(registry), blob_of(big))
                async for _data in stream:
                    break
                await stream.aclose()  # type: ignore[attr-defined]
            assert await collect(client.blob(repository(registry), blob_of(big))) == big

    asyncio.run(main())


def test_the_stand_in_serves_from_a_thread_too() -> None:
    with threaded(Registry()) as registry:
        registry.put("a/b", "v1", b"{}")

        async def main() -> None:
            async with client_of() as client:
                await client.manifest(repository(registry), "v1")

        asyncio.run(main())
    assert len(registry.asked("GET", "manifests")) == 1
    with pytest.raises(Unavailable):
        asyncio.run(main())


def test_forbidden_is_said_as_docker_says_it() -> None:
    async def main() -> None:
        async with serving(Registry()) as registry, client_of() as client:
            body = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
            registry.misbehave("POST", "uploads", Status(403, {}, body), times=9)
            with pytest.raises(Forbidden, match=r"^denied: requested access to the resource is denied$"):
                await client.upload_blob(repository(registry), blob_of(DATA), source_of(DATA))

    asyncio.run(main())
