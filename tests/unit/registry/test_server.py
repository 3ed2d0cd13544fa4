"""The registry's server over holdings made of dicts: what each method on each path answers, uploads, hostile input."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import io
from pathlib import Path

import msgspec
import pytest

from labdock.registry.server import handlers
from labdock.schema import oci

from .shelves import Answer, Served, digest_of, make_manifest, serve

NONE = "sha256:" + "0" * 64
BLOB = b"a blob of some bytes"
HERE = digest_of(BLOB)

#: method, path, status, the error's code; HERE is a blob, a/b:1 an image.
TABLE = [
    ("GET", "/v2/", 200, None),
    ("HEAD", "/v2/", 200, None),
    ("GET", "/v2", 200, None),
    ("POST", "/v2/", 405, "UNSUPPORTED"),
    ("GET", "/", 404, "NAME_UNKNOWN"),
    ("GET", "/v1/", 404, "NAME_UNKNOWN"),
    ("GET", "/v2/a/b/nothing", 404, "NAME_UNKNOWN"),
    ("GET", "/v2/_catalog", 200, None),
    ("DELETE", "/v2/_catalog", 405, "UNSUPPORTED"),
    ("GET", "/v2/a/b/tags/list", 200, None),
    ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
    ("GET", "/v2/a/b/tags/list?n=x", 400, "UNSUPPORTED"),
    ("GET", "/v2/a/b/tags/list?n=-1", 400, "UNSUPPORTED"),
    ("GET", "/v2/A/b/tags/list", 400, "NAME_INVALID"),
    ("GET", "/v2/a/../b/tags/list", 400, "NAME_INVALID"),
    ("GET", "/v2/a/%2e%2e/b/tags/list", 400, "NAME_INVALID"),
    ("GET", "/v2/a%2f..%2f..%2fb/tags/list", 400, "NAME_INVALID"),
    ("GET", f"/v2/{'a/' * 200}b/tags/list", 400, "NAME_INVALID"),
    ("GET", "/v2/a/b/manifests/1", 200, None),
    ("HEAD", "/v2/a/b/manifests/1", 200, None),
    ("GET", "/v2/a/b/manifests/2", 404, "MANIFEST_UNKNOWN"),
    ("GET", f"/v2/a/b/manifests/{NONE}", 404, "MANIFEST_UNKNOWN"),
    ("GET", "/v2/a/b/manifests/sha256:xyz", 400, "DIGEST_INVALID"),
    ("GET", "/v2/a/b/manifests/-tag", 400, "MANIFEST_INVALID"),
    ("GET", f"/v2/a/b/manifests/{'t' * 129}", 400, "MANIFEST_INVALID"),
    ("POST", "/v2/a/b/manifests/1", 405, "UNSUPPORTED"),
    ("DELETE", "/v2/a/b/manifests/2", 404, "MANIFEST_UNKNOWN"),
    ("DELETE", "/v2/a/b/manifests/1", 202, None),
    ("GET", "/v2/a/b/manifests/broken", 500, "UNKNOWN"),
    ("GET", f"/v2/a/b/blobs/{HERE}", 200, None),
    ("HEAD", f"/v2/a/b/blobs/{HERE}", 200, None),
    ("GET", f"/v2/a/b/blobs/{HERE.replace(':', '%3A')}", 200, None),
    ("GET", f"/v2/a/b/blobs/{NONE}", 404, "BLOB_UNKNOWN"),
    ("GET", "/v2/a/b/blobs/sha512:" + "0" * 128, 400, "DIGEST_INVALID"),
    ("GET", "/v2/a/b/blobs/../../../etc/passwd", 404, "NAME_UNKNOWN"),
    ("GET", "/v2/a/b/blobs/..%2f..%2fetc%2fpasswd", 404, "NAME_UNKNOWN"),
    ("PUT", f"/v2/a/b/blobs/{HERE}", 405, "UNSUPPORTED"),
    ("DELETE", f"/v2/a/b/blobs/{HERE}", 202, None),
    ("DELETE", f"/v2/a/b/blobs/{NONE}", 404, "BLOB_UNKNOWN"),
    ("POST", "/v2/a/b/blobs/uploads/", 202, None),
    ("POST", "/v2/a/b/blobs/uploads", 202, None),
    ("GET", "/v2/a/b/blobs/uploads/", 405, "UNSUPPORTED"),
    ("POST", f"/v2/a/b/blobs/uploads/?mount={HERE}&from=c", 201, None),
    ("POST", f"/v2/a/b/blobs/uploads/?mount={HERE}", 201, None),
    ("POST", f"/v2/a/b/blobs/uploads/?mount={NONE}&from=c", 202, None),
    ("POST", "/v2/a/b/blobs/uploads/?mount=nonsense&from=c", 202, None),
    ("POST", "/v2/a/b/blobs/uploads/?digest=nonsense", 400, "DIGEST_INVALID"),
    ("PATCH", "/v2/a/b/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PUT", "/v2/a/b/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
    ("GET", "/v2/a/b/blobs/uploads/nonsense", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("DELETE", "/v2/a/b/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
    ("GET", f"/v2/a/b/referrers/{NONE}", 200, None),
    ("GET", f"/v2/none/referrers/{NONE}", 200, None),
    ("GET", "/v2/a/b/referrers/nonsense", 400, "DIGEST_INVALID"),
]


def names(row: tuple[str, str, int, str | None]) -> str:
    return f"{row[0]} {row[1][:60]}"


@pytest.mark.parametrize("row", TABLE, ids=names)
def test_what_each_endpoint_answers(tmp_path: Path, row: tuple[str, str, int, str | None]) -> None:
    method, path, status, code = row

    async def go() -> None:
        async with serve(tmp_path) as served:
            served.shelves.add(BLOB)
            await put(served, "a/b", "1", served.image(b"layer"))
            # By hand: clients tidy up paths before they send them.
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
            )
            head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
            writer.close()
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            assert int(first.split()[1]) == status, body
            assert headers["docker-distribution-api-version"] == "registry/2.0"
            if code is not None and method != "HEAD":
                assert headers["content-type"] == "application/json"
                assert msgspec.json.decode(body)["errors"][0]["code"] == code
            if status == 405:
                assert headers["allow"]
            if method == "HEAD":
                assert body == b""

    asyncio.run(go())


async def put(served: Served, name: str, reference: str, data: bytes, kind: str = oci.MANIFEST) -> Answer:
    path = f"/v2/{name}/manifests/{reference}"
    return await served.ask("PUT", path, data=io.BytesIO(data), headers={"Content-Type": kind})


def test_a_manifest_comes_back_byte_for_byte(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            data = served.image(b"layer").replace(b',"', b' ,\n\t"')
            made = await put(served, "a", "x", data)
            assert (made.status, made.headers["Docker-Content-Digest"]) == (201, digest_of(data))
            assert made.headers["Location"] == f"/v2/a/manifests/{digest_of(data)}"
            for reference in ("x", digest_of(data)):
                got = await served.ask("GET", f"/v2/a/manifests/{reference}")
                assert (got.body, got.headers["Content-Type"]) == (data, oci.MANIFEST)
                head = await served.ask("HEAD", f"/v2/a/manifests/{reference}")
                assert (head.headers["Content-Length"], head.body) == (str(len(data)), b"")
            known = {"If-None-Match": got.headers["ETag"]}
            assert (await served.ask("GET", "/v2/a/manifests/x", headers=known)).status == 304

    asyncio.run(go())


def test_manifests_that_are_refused(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            good = served.image(b"layer")
            config = digest_of(b'{"architecture":"amd64"}')
            cases = [
                (b"", "MANIFEST_INVALID", 400),
                (b"[]", "MANIFEST_INVALID", 400),
                (b"[" * 100_000, "MANIFEST_INVALID", 400),
                (b'{"schemaVersion":1}', "MANIFEST_INVALID", 400),
                (b'{"schemaVersion":2}', "MANIFEST_INVALID", 400),
                (b"\xff\xfe", "MANIFEST_INVALID", 400),
                (good.replace(oci.MANIFEST.encode(), oci.DOCKER_MANIFEST.encode()), "MANIFEST_INVALID", 400),
                (make_manifest(config, 24, [(NONE, 5)]), "MANIFEST_BLOB_UNKNOWN", 404),
                (make_manifest(config, 25, []), "SIZE_INVALID", 400),
                (make_manifest(config, -1, []), "MANIFEST_INVALID", 400),
                (make_manifest("sha256:../../x", 24, []), "DIGEST_INVALID", 400),
                (good + b" " * (4 << 20), "MANIFEST_INVALID", 413),
            ]
            for data, code, status in cases:
                got = await put(served, "a", "x", data)
                assert (got.status, got.code) == (status, code), data[:80]
            got = await put(served, "a", NONE, good)
            assert (got.status, got.code) == (400, "DIGEST_INVALID")
            got = await put(served, "a", "x", good, "text/html")
            assert got.code == "MANIFEST_INVALID"
            old = "application/vnd.docker.distribution.manifest.v1+prettyjws"
            got = await put(served, "a", "x", good, old)
            assert "schema 1" in got.json()["errors"][0]["message"]
            assert not served.shelves.manifests

    asyncio.run(go())


def test_tags_come_in_pages(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            data = served.image(b"layer")
            for tag in ("b", "a", "C", "d", "e"):
                await put(served, "r", tag, data)
            whole = await served.ask("GET", "/v2/r/tags/list")
            assert whole.json() == {"name": "r", "tags": ["a", "b", "C", "d", "e"]}
            assert "Link" not in whole.headers
            found, path = [], "/v2/r/tags/list?n=2"
            while path:
                page = await served.ask("GET", path)
                found.append(page.json()["tags"])
                link = page.headers.get("Link", "")
                assert not link or link.endswith('>; rel="next"')
                path = link.partition(">")[0].removeprefix("<")
            assert found == [["a", "b"], ["C", "d"], ["e"]]
            assert (await served.ask("GET", "/v2/r/tags/list?n=0")).json()["tags"] == []
            # A tag that is gone meanwhile is still a place to go on from.
            assert (await served.ask("GET", "/v2/r/tags/list?last=bb")).json()["tags"] == ["C", "d", "e"]
            assert (await served.ask("GET", "/v2/_catalog")).json() == {"repositories": ["r"]}

    asyncio.run(go())


def test_referrers_tell_what_points_at_a_manifest(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            subject = {"mediaType": oci.MANIFEST, "digest": NONE, "size": 1}
            first = served.image(subject=subject, artifactType="text/one", annotations={"k": "v"})
            second = served.image(b"x", subject=subject)
            for data in (first, second):
                made = await put(served, "r", digest_of(data), data)
                assert made.headers["OCI-Subject"] == NONE
            got = await served.ask("GET", f"/v2/r/referrers/{NONE}")
            assert got.headers["Content-Type"] == oci.INDEX
            found = {entry["digest"]: entry for entry in got.json()["manifests"]}
            assert found[digest_of(first)]["artifactType"] == "text/one"
            assert found[digest_of(first)]["annotations"] == {"k": "v"}
            assert found[digest_of(second)]["artifactType"] == oci.CONFIG
            one = await served.ask("GET", f"/v2/r/referrers/{NONE}?artifactType=text/one")
            assert [entry["digest"] for entry in one.json()["manifests"]] == [digest_of(first)]
            assert one.headers["OCI-Filters-Applied"] == "artifactType"
            assert (await served.ask("GET", f"/v2/other/referrers/{NONE}")).json()["manifests"] == []

    asyncio.run(go())


def test_a_blob_in_parts(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            data = bytes(range(256)) * 1024
            path = f"/v2/r/blobs/{served.shelves.add(data)}"
            whole = await served.ask("GET", path)
            assert (whole.status, whole.body) == (200, data)
            assert whole.headers["Accept-Ranges"] == "bytes"
            assert whole.headers["Docker-Content-Digest"] == digest_of(data)
            size = len(data)
            for asked, status, expected in [
                ("bytes=0-0", 206, data[:1]),
                ("bytes=10-19", 206, data[10:20]),
                (f"bytes=1000-{size * 2}", 206, data[1000:]),
                ("bytes=1000-", 206, data[1000:]),
                ("bytes=-7", 206, data[-7:]),
                ("bytes=0-1,5-6", 200, data),
                ("lines=1-2", 200, data),
                ("bytes=x", 200, data),
            ]:
                got = await served.ask("GET", path, headers={"Range": asked})
                assert (got.status, got.body) == (status, expected), asked
            assert got.headers["Accept-Ranges"] == "bytes"
            got = await served.ask("GET", path, headers={"Range": f"bytes={size}-"})
            assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{size}")
            empty = await served.ask("GET", f"/v2/r/blobs/{served.shelves.add(b'')}")
            assert (empty.status, empty.body) == (200, b"")

    asyncio.run(go())


async def begin(served: Served, query: str = "") -> str:
    got = await served.ask("POST", f"/v2/r/blobs/uploads/{query}")
    assert got.status == 202
    assert got.headers["Range"] == "0-0"
    return got.headers["Location"]


async def in_pieces(data: bytes):  # type: ignore[no-untyped-def]
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def test_the_ways_to_upload(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            # One request.
            one = await served.ask("POST", f"/v2/r/blobs/uploads/?digest={digest_of(b'one')}", data=b"one")
            assert (one.status, one.headers["Location"]) == (201, f"/v2/r/blobs/{digest_of(b'one')}")
            # POST, then PUT with all of it.
            where = await begin(served)
            two = await served.ask("PUT", f"{where}?digest={digest_of(b'two')}", data=b"two")
            assert (two.status, two.headers["Docker-Content-Digest"]) == (201, digest_of(b"two"))
            # As docker does: one PATCH of unknown length, then an empty PUT.
            data = b"0123456789" * 300_000
            where = await begin(served)
            patched = await served.ask("PATCH", where, data=in_pieces(data))
            assert (patched.status, patched.headers["Range"]) == (202, f"0-{len(data) - 1}")
            assert (await served.ask("PUT", f"{where}?digest={digest_of(data)}")).status == 201
            assert (await served.ask("GET", f"/v2/r/blobs/{digest_of(data)}")).body == data
            # In chunks, the last of them in the PUT.
            where = await begin(served)
            for start in (0, 3):
                chunk = {"Content-Range": f"{start}-{start + 2}"}
                got = await served.ask("PATCH", where, data=b"abc", headers=chunk)
                assert (got.status, got.headers["Range"]) == (202, f"0-{start + 2}")
            last = {"Content-Range": "6-7"}
            got = await served.ask("PUT", f"{where}?digest={digest_of(b'abcabcde')}", data=b"de", headers=last)
            assert got.status == 201
            # A body that says it is compressed is kept as it is.
            packed = gzip.compress(b"plain")
            got = await served.ask(
                "POST",
                f"/v2/r/blobs/uploads/?digest={digest_of(packed)}",
                data=packed,
                headers={"Content-Encoding": "gzip"},
            )
            assert got.status == 201
            assert all(upload.dropped for upload in served.shelves.arriving)

    asyncio.run(go())


def test_chunks_that_do_not_fit(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            where = await begin(served)
            await served.ask("PATCH", where, data=b"abc")
            for asked, status, code in [
                ("0-2", 416, "BLOB_UPLOAD_INVALID"),
                ("4-6", 416, "BLOB_UPLOAD_INVALID"),
                ("3-9", 400, "SIZE_INVALID"),
                ("3-1", 400, "SIZE_INVALID"),
                ("nonsense", 400, "BLOB_UPLOAD_INVALID"),
                ("3-99999999999999999999", 400, "BLOB_UPLOAD_INVALID"),
            ]:
                got = await served.ask("PATCH", where, data=b"def", headers={"Content-Range": asked})
                assert (got.status, got.code) == (status, code), asked
            assert (await served.ask("PATCH", where, data=b"x", headers={"Content-Range": "9-9"})).headers[
                "Range"
            ] == "0-2"
            # More than was announced, and less, where only the Content-Range says how much.
            got = await served.ask("PATCH", where, data=in_pieces(b"defg"), headers={"Content-Range": "3-4"})
            assert got.code == "SIZE_INVALID"
            state = await served.ask("GET", where)
            assert (state.status, state.headers["Range"]) == (204, "0-2")
            # Another repository's upload is none of this one's.
            assert (await served.ask("GET", where.replace("/r/", "/s/"))).status == 404
            # A digest that does not hold ends it.
            got = await served.ask("PUT", f"{where}?digest={NONE}")
            assert (got.status, got.code) == (400, "DIGEST_INVALID")
            assert (await served.ask("GET", where)).status == 404
            where = await begin(served)
            assert (await served.ask("PUT", where)).code == "DIGEST_INVALID"
            assert (await served.ask("DELETE", where)).status == 204
            assert (await served.ask("GET", where)).code == "BLOB_UPLOAD_UNKNOWN"
            assert all(upload.dropped for upload in served.shelves.arriving)

    asyncio.run(go())


async def cut_off(served: Served, where: str, announced: int, sent: bytes) -> None:
    """Send part of a PATCH and go away."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n".encode() + sent)
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()


async def settled(served: Served, where: str, range: str) -> None:
    for _ in iter(lambda: 0, 1):
        if (await served.ask("GET", where)).headers["Range"] == range:
            return
        await asyncio.sleep(0.02)


def test_an_upload_that_was_cut_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def go() -> None:
        async with asyncio.timeout(10), serve(tmp_path) as served:
            where = await begin(served)
            await cut_off(served, where, 100, b"0123456789")
            await settled(served, where, "0-9")
            rest = await served.ask("PATCH", where, data=b"abc", headers={"Content-Range": "10-12"})
            assert rest.status == 202
            assert (await served.ask("PUT", f"{where}?digest={digest_of(b'0123456789abc')}")).status == 201

    asyncio.run(go())


def test_a_body_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "BODY_IDLE", 0.2)

    async def go() -> None:
        async with asyncio.timeout(10), serve(tmp_path) as served:
            where = await begin(served)
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123".encode())
            # While it is being written to, nobody else may.
            await settled_writing(served, where)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 408")
            writer.close()
            await settled(served, where, "0-3")

    async def settled_writing(served: Served, where: str) -> None:
        while (got := await served.ask("PATCH", where, data=b"")).status != 409:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert got.code == "BLOB_UPLOAD_INVALID"

    asyncio.run(go())


def test_a_disk_that_is_full_ends_the_upload(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            served.shelves.room = 10
            where = await begin(served)
            got = await served.ask("PATCH", where, data=b"x" * 100)
            assert (got.status, got.code) == (507, "UNKNOWN")
            assert "No space left" in got.json()["errors"][0]["message"]
            assert (await served.ask("GET", where)).status == 404
            assert served.shelves.arriving[0].dropped

    asyncio.run(go())


def test_uploads_are_bounded_in_number_and_dropped_at_the_end(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path) as served:
            for _ in range(256):
                await begin(served)
            got = await served.ask("POST", "/v2/r/blobs/uploads/")
            assert (got.status, got.code) == (429, "TOOMANYREQUESTS")
            assert got.headers["Retry-After"]
            shelves = served.shelves
        assert all(upload.dropped for upload in shelves.arriving)

    asyncio.run(go())


def test_too_many_requests_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MOST_REQUESTS", 2)

    async def go() -> None:
        async with serve(tmp_path) as served:
            waiting = []
            for _ in range(2):
                where = await begin(served)
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                writer.write(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode())
                waiting.append((reader, writer))
                await asyncio.sleep(0.1)
            got = await served.ask("GET", "/v2/")
            assert (got.status, got.code) == (429, "TOOMANYREQUESTS")
            for _, writer in waiting:
                writer.close()
            async with asyncio.timeout(10):
                while (await served.ask("GET", "/v2/")).status != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    asyncio.run(go())


def test_read_only(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path, read_only=True) as served:
            served.shelves.add(BLOB)
            assert (await served.ask("GET", f"/v2/r/blobs/{HERE}")).body == BLOB
            for method, path in [
                ("POST", "/v2/r/blobs/uploads/"),
                ("PUT", "/v2/r/manifests/x"),
                ("DELETE", f"/v2/r/blobs/{HERE}"),
                ("DELETE", "/v2/r/manifests/x"),
            ]:
                got = await served.ask(method, path)
                assert (got.status, got.code) == (405, "UNSUPPORTED")
                assert "read-only" in got.json()["errors"][0]["message"]

    asyncio.run(go())


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_logins(tmp_path: Path) -> None:
    async def go() -> None:
        async with serve(tmp_path, "ada:pass:word", "bob:x") as served:
            got = await served.ask("GET", "/v2/")
            assert (got.status, got.code) == (401, "UNAUTHORIZED")
            assert got.headers["WWW-Authenticate"].startswith('Basic realm="')
            for _ in range(2):
                assert (await served.ask("GET", "/v2/", headers=basic("ada", "pass:word"))).status == 200
            assert (await served.ask("GET", "/v2/", headers=basic("bob", "x"))).status == 200
            for header in (
                basic("ada", "wrong"),
                basic("eve", ""),
                basic("", ""),
                {"Authorization": "Bearer abc"},
                {"Authorization": "Basic !!!"},
                {"Authorization": "Basic " + "A" * 5000},
            ):
                assert (await served.ask("GET", "/v2/", headers=header)).status == 401
            # Before anything else: paths, and the bodies of uploads.
            assert (await served.ask("POST", "/v2/r/blobs/uploads/", data=b"x")).status == 401
            assert (await served.ask("GET", "/v2/nothing")).status == 401

    asyncio.run(go())


def test_a_reader_that_stops_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from labdock.registry.server import sending

    monkeypatch.setattr(sending, "PATIENCE", 0.3)
    monkeypatch.setattr(sending, "SLOWEST", 1 << 40)

    async def go() -> None:
        async with asyncio.timeout(10), serve(tmp_path) as served:
            digest = served.shelves.add(b"\0" * (32 << 20))
            for more in ("", "Range: bytes=0-1,3-4\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1 << 16)
                writer.write(f"GET /v2/r/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
                await asyncio.sleep(1.0)
                came = 0
                with contextlib.suppress(ConnectionResetError):
                    while piece := await reader.read(1 << 20):
                        came += len(piece)
                writer.close()
                assert 0 < came < 32 << 20

    asyncio.run(go())
