"""cp's rules about what ends up where, and what comes out of a container as hostile input."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.client import copying
from labdock.client.copying import Place, pack, prepare, read_place, rebase, split, unpack
from labdock.errors import InvalidRequest, LabdockError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:etc", ("web", "etc")),
        ("web:/a:b", ("web", "/a:b")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("file", ("", "file")),
        ("-", ("", "-")),
    ],
)
def test_a_place_is_a_containers_or_this_machines(text: str, found: tuple[str, str]) -> None:
    assert read_place(text) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a/b", ("/a", "b")),
        ("/a/b/", ("/a", "b")),
        ("/a/.", ("/a", ".")),
        ("a", (".", "a")),
        (".", (".", ".")),
        ("/", ("/", "/")),
    ],
)
def test_the_last_name_of_a_path(path: str, found: tuple[str, str]) -> None:
    assert split(path) == found


FOLDER, FILE = Place("/s/dir", exists=True, folder=True), Place("/s/file", exists=True)


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        (FOLDER, Place("/t", exists=True, folder=True), ("/t", "", "")),
        (FOLDER, Place("/t/new"), ("/t", "dir", "new")),
        (Place("/s/dir/.", exists=True, folder=True), Place("/t/new"), ("/t", ".", "new")),
        (FILE, Place("/t", exists=True), ("/", "file", "t")),
        (FILE, Place("/t/new"), ("/t", "file", "new")),
        (Place("/s/x", exists=True, rename="link"), Place("/t/new"), ("/t", "link", "new")),
        (FOLDER, Place("/t", exists=True), copying.CANT_COPY_FOLDER),
        (FILE, Place("/t/new/"), copying.NO_FOLDER),
    ],
)
def test_where_a_copy_goes(source: Place, target: Place, found: tuple[str, str, str] | str) -> None:
    if isinstance(found, str):
        with pytest.raises(InvalidRequest, match=found):
            prepare(source, target)
    else:
        assert prepare(source, target) == found


@pytest.mark.parametrize(
    ("text", "old", "new", "found"),
    [
        ("dir/x", "dir", "new", "new/x"),
        ("dir", "dir", "new", "new"),
        ("dirt", "dir", "new", "dirt"),
        ("./x", ".", "new", "new/x"),
        ("/bin", "/", "new", "new/bin"),
        ("x", "", "", "x"),
    ],
)
def test_first_names_change(text: str, old: str, new: str, found: str) -> None:
    assert rebase(text, old, new) == found


def test_what_is_packed_is_unpacked_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "src", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    (source / "big").write_bytes(os.urandom(700_000))
    (source / "small").write_text("small")
    os.link(source / "small", source / "twin")
    (source / "sub/link").symlink_to("../big")
    target.mkdir()
    assert unpack(pack(source, "src"), target, lambda name: name) == ()
    assert (target / "src/big").read_bytes() == (source / "big").read_bytes()
    assert os.stat(target / "src/small").st_ino == os.stat(target / "src/twin").st_ino
    assert os.readlink(target / "src/sub/link") == "../big"


def hostile(*members: tuple[str, bytes | str]) -> Iterator[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    yield out.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        [("../out", b"x")],
        [("a/../../out", b"x")],
        [("link", ".."), ("link/out", b"x")],
        [("link", "/"), ("link/out", b"x")],
    ],
)
def test_nothing_is_written_outside(tmp_path: Path, members: list[tuple[str, bytes | str]]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(LabdockError):
        unpack(hostile(*members), target, lambda name: name)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_not_overwritten_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(InvalidRequest, match='cannot overwrite directory "x" with non-directory "x"'):
        unpack(hostile(("x", b"")), tmp_path, lambda name: name)
