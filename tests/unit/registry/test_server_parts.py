"""The pure parts of the registry's server: routes, ranges, uploads, pages, accounts, manifests."""

from __future__ import annotations

import base64

import hypothesis
import pytest
from hypothesis import strategies as some

from labdock.errors import InvalidRequest, NotFound, StorageFull
from labdock.registry.server import manifests, pages, ranges
from labdock.registry.server.accounts import Accounts, read_basic, seal
from labdock.registry.server.refusals import STATUS, Code, Refusal, refuse
from labdock.registry.server.routes import Resource, Route, is_name, parse
from labdock.registry.server.uploads import Uploads

HERE = "sha256:" + "1" * 64


class Bytes:
    """An Arriving that keeps nothing."""

    def write(self, data: bytes) -> None: ...
    def commit(self, digest: str) -> None: ...
    def drop(self) -> None: ...


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/blobs/uploads/blobs/uploads/", Route(Resource.UPLOADS, "blobs/uploads")),
        ("/v2/tags/list/tags/list", Route(Resource.TAGS, "tags/list")),
        ("/v2/manifests/manifests/manifests", Route(Resource.MANIFEST, "manifests", "manifests")),
        ("/v2/a/blobs/blobs/" + HERE, Route(Resource.BLOB, "a/blobs", HERE)),
        ("/v2/ghcr.io/a_b/c--d/manifests/v1.0", Route(Resource.MANIFEST, "ghcr.io/a_b/c--d", "v1.0")),
        ("/v2/a/blobs/uploads/" + "f" * 32, Route(Resource.UPLOAD, "a", "f" * 32)),
    ],
)
def test_names_may_hold_the_words_of_paths(path: str, route: Route) -> None:
    assert parse(route.allowed[0], path) == route


@hypothesis.given(some.text(max_size=200), some.sampled_from(["GET", "PUT", "FROB"]))
def test_every_path_is_a_route_or_a_refusal(text: str, method: str) -> None:
    for path in (text, f"/v2/{text}", f"/v2/{text}/manifests/{text}", f"/v2/{text}/blobs/uploads/"):
        try:
            route = parse(method, path)
        except Refusal as refusal:
            assert refusal.http in (400, 404, 405)
            continue
        assert method in route.allowed
        assert route.resource in (Resource.BASE, Resource.CATALOG) or is_name(route.name)


def test_statuses_of_all_codes() -> None:
    assert set(STATUS) == set(Code)
    full = refuse(StorageFull("no room", hint="make some"))
    assert (full.http, full.kind) == (507, Code.UNKNOWN)
    assert full.body() == b'{"errors":[{"code":"UNKNOWN","message":"no room","detail":{"hint":"make some"}}]}\n'
    assert refuse(NotFound("x")).http == 404
    refusal = Refusal(Code.DENIED, "no")
    assert refuse(refusal) is refusal


@hypothesis.given(some.integers(0, 10**9), some.integers(0, 10**9), some.integers(0, 10**9))
def test_a_chunk_fits_or_is_refused(offset: int, first: int, last: int) -> None:
    try:
        size = ranges.check_chunk(offset, f"{first}-{last}", None)
    except Refusal as refusal:
        assert first != offset or last < first
        assert refusal.http == (416 if first != offset else 400)
    else:
        assert first == offset
        assert size == last - first + 1


def test_ranges_in_words() -> None:
    assert [ranges.show(offset) for offset in (0, 1, 10)] == ["0-0", "0-0", "0-9"]
    assert ranges.check_chunk(5, None, 7) == 7
    assert ranges.check_chunk(5, None, None) is None
    assert ranges.check_chunk(5, "bytes 5-9/*", 5) == 5
    single = ["bytes=0-", "bytes=0-1", "bytes=-5"]
    other = [None, "", "bytes=-", "bytes=0-1,2-3", "bytes=a-b", "items=0-1", "bytes=" + "9" * 40 + "-"]
    assert [ranges.is_single(text) for text in single] == [True] * 3
    assert [ranges.is_single(text) for text in other] == [False] * 7


def test_an_upload_expires_when_it_was_idle_and_not_while_it_is_written() -> None:
    now = [0.0]
    uploads = Uploads(lambda: now[0], most=2, idle=10)
    first, second = uploads.begin("a", Bytes), uploads.begin("a", Bytes)
    with pytest.raises(Refusal, match="more are not taken"):
        uploads.begin("a", Bytes)
    now[0] = 9
    uploads.add(second, 5)
    now[0] = 10
    assert uploads.expire() == [first]
    with pytest.raises(Refusal) as caught:
        uploads.find("a", first.id)
    assert caught.value.kind is Code.BLOB_UPLOAD_UNKNOWN
    with uploads.writing(second):
        now[0] = 100
        assert uploads.expire() == []
        with pytest.raises(Refusal) as caught, uploads.writing(second):
            raise AssertionError("two wrote at a time")
        assert caught.value.http == 409
    assert uploads.find("a", second.id).headers() == {
        "Location": f"/v2/a/blobs/uploads/{second.id}",
        "Range": "0-4",
        "Docker-Upload-UUID": second.id,
    }
    now[0] = 110
    assert uploads.expire() == [second]
    assert len(uploads) == 0


@hypothesis.given(some.lists(some.text("abcABC.-_", min_size=1, max_size=4), unique=True), some.integers(1, 5))
def test_pages_give_each_entry_once(entries: list[str], size: int) -> None:
    ordered = sorted(entries, key=lambda entry: (entry.lower(), entry))
    found: list[str] = []
    query = {"n": str(size)}
    for _ in range(len(ordered) + 1):
        page = pages.cut(ordered, query, "/x")
        found += page.entries
        if not page.headers:
            break
        query = {"n": str(size), "last": page.entries[-1]}
    assert found == ordered


def test_passwords_are_sealed_and_never_shown() -> None:
    sealed = seal(["ada:secret", "bob:a:b"])
    assert "secret" not in repr(sealed)
    assert seal([f"ada:{sealed['ada']}"]) == {"ada": sealed["ada"]}
    accounts = Accounts(sealed)

    def header(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert not accounts.knows(header("ada:secret"))
    assert accounts.check(header("ada:secret"))
    assert accounts.knows(header("ada:secret"))
    assert accounts.check(header("bob:a:b"))
    assert not accounts.check(header("ada:secret2"))
    assert not accounts.check(header(f"ada:{sealed['ada']}"))
    assert not accounts.check(header("eve:"))
    assert read_basic("Basic " + base64.b64encode(b"nocolon").decode()) is None
    assert read_basic("Basic " + base64.b64encode(b"\xff:\xff").decode()) is None


@pytest.mark.parametrize(
    "login",
    [
        "nocolon",
        ":x",
        "a:",
        "a:" + "x" * 2000,
        "a:$2y$05$abcdefghijklmnopqrstuu",
        "a:$apr1$x$y",
        "a:scrypt$16777216$8$1$00112233445566778899aabbccddeeff$" + "0" * 64,
        "a:scrypt$15$8$1$00112233445566778899aabbccddeeff$" + "0" * 64,
    ],
)
def test_logins_that_can_not_be_kept(login: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        seal([login])
    assert "$2y$" not in caught.value.explain()


@hypothesis.given(some.binary(max_size=200))
def test_every_manifest_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(Refusal):
        manifests.read(data, "")


def test_what_makes_an_image() -> None:
    def read(config: str, layer: str, **more: str) -> manifests.Parsed:
        extra = "".join(f',"{name}":{value}' for name, value in more.items())
        text = (
            f'{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{HERE}","size":1}},'
            f'"layers":[{{"mediaType":"{layer}","digest":"{HERE}","size":1{extra}}}],"annotations":null}}'
        )
        return manifests.read(text.encode(), "application/json")

    config = "application/vnd.oci.image.config.v1+json"
    tar = "application/vnd.oci.image.layer.v1.tar"
    assert read(config, tar).is_runnable
    assert read(config, tar + "+zstd").is_runnable
    assert not read("application/vnd.cncf.helm.config.v1+json", tar).is_runnable
    assert not read(config, "application/vnd.dev.cosign.simplesigning.v1+json").is_runnable
    foreign = read(config, tar, urls='["https://example.com/x"]')
    assert not foreign.is_runnable
    assert len(foreign.blobs) == 1
    assert len(read(config, tar).blobs) == 2
