"""Blobs: verified before they are seen, and nothing half-made is seen."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
from pathlib import Path

import pytest

from labdock.errors import Corrupt, InvalidRequest, NotFound, StorageFull
from labdock.store.content import ContentStore, translate
from labdock.sys import filesystems

HELLO = "sha256:" + hashlib.sha256(b"hello").hexdigest()


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def test_a_blob_is_kept_under_its_digest(content: ContentStore) -> None:
    assert content.write(b"hello") == HELLO
    assert content.write(b"hello") == HELLO
    assert content.has(HELLO) and content.size(HELLO) == 5 and content.read(HELLO, 5) == b"hello"
    with content.open(HELLO) as file:
        assert file.read() == b"hello"
    assert list(content.walk()) == [(HELLO, 5)]
    assert content.path(HELLO) == content.root / "blobs" / "sha256" / HELLO[7:]
    assert content.delete(HELLO) and not content.delete(HELLO)
    with pytest.raises(NotFound):
        content.open(HELLO)


def test_an_ingest_is_no_blob_until_committed(content: ContentStore) -> None:
    with content.ingest("one") as ingest:
        ingest.write(b"hel")
        ingest.write(memoryview(b"lo"))
        assert ingest.tell() == 5
        assert not content.has(HELLO)
        assert ingest.commit(HELLO, 5) == HELLO
    with content.ingest("two") as ingest:
        ingest.write(b"dropped")
    assert [digest for digest, _ in content.walk()] == [HELLO]
    assert list((content.root / "ingest").iterdir()) == []


def test_the_disk_begins_to_write_what_a_writer_that_hashes_by_itself_wrote(
    content: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(filesystems, "begin_writing", lambda fd, offset, size: begun.append((offset, size)))
    data = os.urandom(1 << 20) * 20
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with content.ingest("packed") as ingest:
        for start in range(0, len(data), 1 << 20):
            ingest.file.write(data[start : start + (1 << 20)])
        assert begun == [(0, 8 << 20), (8 << 20, 8 << 20)]
        assert not content.has(digest)
        ingest.commit_hashed(digest)
    assert content.read(digest, limit=len(data)) == data


def test_wrong_bytes_and_wrong_sizes_are_refused(content: ContentStore) -> None:
    for digest, size, words in ((HELLO, None, "arrived as"), (None, 6, "were announced")):
        with pytest.raises(Corrupt, match=words), content.ingest("x", keep=True) as ingest:
            ingest.write(b"hallo")
            ingest.commit(digest, size)
    assert list(content.walk()) == []
    assert list((content.root / "ingest").iterdir()) == []


def test_a_kept_ingest_goes_on_where_it_ended(content: ContentStore) -> None:
    with content.ingest("x", keep=True) as ingest:
        ingest.write(b"hel")
    with content.ingest("x", keep=True) as ingest:
        assert ingest.tell() == 3
        ingest.write(b"lo")
        assert ingest.commit(HELLO, 5) == HELLO


def test_a_killed_process_leaves_no_blob(content: ContentStore) -> None:
    pid = os.fork()
    if pid == 0:
        ingest = content.ingest("x")
        ingest.write(b"hello")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not content.has(HELLO)
    content.recover()
    assert list((content.root / "ingest").iterdir()) == []
    assert content.write(b"hello") == HELLO


def test_a_blob_that_rotted_is_noticed(content: ContentStore) -> None:
    content.write(b"hello")
    path = content.path(HELLO)
    path.chmod(0o644)
    path.write_bytes(b"hallo")
    with pytest.raises(Corrupt):
        content.read(HELLO, 100)
    with pytest.raises(Corrupt, match="at most 3"):
        content.read(HELLO, 3)


@pytest.mark.parametrize("digest", ["", "sha256:abc", "sha256:" + "g" * 64, "../../etc/passwd", "sha512:" + "a" * 64])
def test_only_digests_name_blobs(content: ContentStore, digest: str) -> None:
    with pytest.raises(InvalidRequest):
        content.path(digest)


def test_a_full_disk_is_told_as_such() -> None:
    error = translate(OSError(28, "No space left on device"), "writing x")
    assert isinstance(error, StorageFull) and error.message == "writing x: No space left on device"


def test_a_file_size_limit_is_an_error_and_no_blob(content: ContentStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(Exception, match="File too large"), content.ingest("big") as ingest:
            ingest.write(b"x" * (1 << 18))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(content.walk()) == []


def test_the_layouts_own_files_are_replaced_whole(content: ContentStore) -> None:
    content.replace("index.json", b"{}")
    content.replace("index.json", b'{"a":1}')
    assert (content.root / "index.json").read_bytes() == b'{"a":1}'
    assert b"imageLayoutVersion" in (content.root / "oci-layout").read_bytes()
    assert list((content.root / "ingest").iterdir()) == []
