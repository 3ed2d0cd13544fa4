"""labdock's own build call: what it carries, in which form, and that secrets are in nothing but the body."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec
import pytest

from labdock.client import Client
from labdock.client.builds import Extras
from labdock.client.parcels import FRAME, MEDIA_TYPE, Part, encode_frame, encode_parts
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.schema import build

BUILT = msgspec.json.encode(build.BuildDone(image="sha256:" + "ab" * 32)) + b"\n"


def read_parts(body: bytes) -> list[tuple[str, str, bytes]]:
    """The body's parts, read as the wire form's description has it."""
    found, at = [], 0

    def frame() -> bytes:
        nonlocal at
        (length,) = struct.unpack_from(">I", body, at)
        assert length <= FRAME
        data = body[at + 4 : at + 4 + length]
        assert len(data) == length
        at += 4 + length
        return data

    while at < len(body):
        head, data = msgspec.json.decode(frame()), b""
        while piece := frame():
            data += piece
        found.append((head["part"], head["name"], data))
    return found


def ask(extras: Extras, context: Iterator[bytes] | None = None) -> Asked:
    script = Script().on("POST", "(/labdock)?/build", Reply(lines=[BUILT]))
    client = Client(ScriptedTransport(script))
    assert list(client.builds.build(context, extras=extras))
    return script.asked[-1]


def test_parts_are_frames_of_at_most_a_mebibyte() -> None:
    big = bytes(range(256)) * (FRAME // 256) * 2 + b"rest"
    body = b"".join(encode_parts([Part("main", "", [big, b"", b"more"])]))
    assert read_parts(body) == [("main", "", big + b"more")]


def test_an_empty_frame_would_end_a_part() -> None:
    for wrong in (b"", bytes(FRAME + 1)):
        with pytest.raises(ValueError, match="a frame holds"):
            encode_frame(wrong)


def test_a_part_without_data_is_there() -> None:
    assert read_parts(b"".join(encode_parts([Part("secret", "empty", [b""])]))) == [("secret", "empty", b"")]


def test_without_extras_it_is_dockers_call() -> None:
    asked = ask(Extras(), iter([b"tar"]))
    assert (asked.path, asked.body) == ("/build", b"tar")


def test_secrets_come_first_and_the_context_last() -> None:
    extras = Extras(
        secrets={"token": b"s3cr3t"},
        contexts={"lib": "part", "base": "docker-image://busybox"},
        outputs=("local", "oci"),
        cache_to=("max",),
        caches=("cache-0",),
        parts=(Part("context", "lib", [b"lib-tar"]), Part("cache", "cache-0", [b"cache-tar"])),
        explain=True,
    )
    asked = ask(extras, iter([b"main-tar"]))
    assert asked.path == "/labdock/build"
    assert read_parts(asked.body) == [
        ("secret", "token", b"s3cr3t"),
        ("context", "lib", b"lib-tar"),
        ("cache", "cache-0", b"cache-tar"),
        ("main", "", b"main-tar"),
    ]
    read = {name: msgspec.json.decode(asked.query[name][0]) for name in ("contexts", "outputs", "cacheto", "explain")}
    assert read == {
        "contexts": {"lib": "part", "base": "docker-image://busybox"},
        "outputs": [{"type": "local"}, {"type": "oci"}],
        "cacheto": [{"type": "local", "mode": "max"}],
        "explain": 1,
    }
    assert asked.query["cachefromparts"] == ['["cache-0"]']


def test_a_secret_is_in_no_query_and_no_repr() -> None:
    extras = Extras(secrets={"token": b"s3cr3t"}, parts=(Part("secret", "x", [b"s3cr3t"]),))
    asked = ask(extras, iter([b"tar"]))
    assert "s3cr3t" not in repr(extras) + repr(asked.query)
    assert asked.body.count(b"s3cr3t") == 2


def test_a_remote_context_has_no_main_part() -> None:
    script = Script().on("POST", "(/labdock)?/build", Reply(lines=[BUILT]))
    client = Client(ScriptedTransport(script))
    list(client.builds.build(None, remote="https://example.invalid/x.tar", extras=Extras(explain=True)))
    list(client.builds.build(None, remote="https://example.invalid/x.tar"))
    assert [(a.path, a.body, a.query["remote"]) for a in script.asked] == [
        ("/labdock/build", b"", ["https://example.invalid/x.tar"]),
        ("/build", b"", ["https://example.invalid/x.tar"]),
    ]


def test_the_body_says_what_it_is() -> None:
    assert MEDIA_TYPE == "application/vnd.labdock.build"


def test_prune_and_exports() -> None:
    script = (
        Script()
        .on("POST", "/build/prune", Reply(json={"CachesDeleted": ["a", "b"], "SpaceReclaimed": 7}))
        .on("GET", "/labdock/build/exports/t-1", Reply(body=b"tar"))
    )
    client = Client(ScriptedTransport(script))
    assert client.builds.prune(all=True, keep=10, filters={"until": ["24h"]}) == (("a", "b"), 7)
    assert script.asked[0].query == {"all": ["1"], "keep-storage": ["10"], "filters": ['{"until":["24h"]}']}
    assert b"".join(client.builds.export("t-1")) == b"tar"
