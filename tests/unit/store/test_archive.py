"""Trees as tars for people, and tars unpacked into trees that live."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from labdock.errors import Corrupt, InvalidRequest
from labdock.store.layers import headers
from labdock.store.layers.archive import write_archive
from labdock.store.layers.extract import extract
from labdock.store.layers.headers import Entry
from labdock.store.layers.rooted import FLAGS, follow, open_folder


def own(uid: int, gid: int) -> tuple[int, int]:
    return os.getuid(), os.getgid()


def read(tree: Path, name: bytes, shown: bytes, closed: frozenset[tuple[int, int]] = frozenset()) -> tarfile.TarFile:
    out = io.BytesIO()
    fd = os.open(tree, FLAGS)
    try:
        write_archive(fd, name, shown, out, closed=closed)
    finally:
        os.close(fd)
    out.seek(0)
    return tarfile.open(fileobj=out)


def tar(*members: tuple[str, bytes | str | None], kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    """Members by name: bytes a file, None a folder, a text a link of *kind* to it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(data, str):
                info.type, info.linkname = (tarfile.SYMTYPE if kind == tarfile.REGTYPE else kind), data
            else:
                info.size = len(data)
            made.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    out.seek(0)
    return out


def unpack(source: io.BytesIO, tree: Path, base: bytes = b"", *, replace: bool = True) -> tuple[str, ...]:
    fd = os.open(tree, FLAGS)
    try:
        return extract(source, fd, base, owner=own, replace=replace)
    finally:
        os.close(fd)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    (place / "etc/sub").mkdir(parents=True)
    (place / "etc/a").write_bytes(b"a" * 700)
    os.link(place / "etc/a", place / "etc/b")
    (place / "etc/.wh.x").write_text("no whiteout")
    (place / "etc/link").symlink_to("/etc/a")
    (place / "etc/sub/deep").write_text("deep")
    os.mkfifo(place / "etc/pipe")
    return place


@pytest.mark.parametrize(
    ("name", "shown", "names"),
    [
        (b"etc", b"etc", ["etc", "etc/.wh.x", "etc/a", "etc/b", "etc/link", "etc/pipe", "etc/sub", "etc/sub/deep"]),
        (b"etc", b"new", ["new", "new/.wh.x", "new/a", "new/b", "new/link", "new/pipe", "new/sub", "new/sub/deep"]),
        (b"etc/sub", b".", [".", "./deep"]),
        (b"etc/sub", b"/", ["/", "/deep"]),
        (b"etc/sub", b"", ["deep"]),
        (b"etc/a", b"a", ["a"]),
        (b"etc/link", b"l", ["l"]),
    ],
)
def test_a_part_of_a_tree_has_the_name_that_is_asked_for(
    tree: Path, name: bytes, shown: bytes, names: list[str]
) -> None:
    with read(tree, name, shown) as found:
        # tarfile takes the slash away that ends a folder's name.
        assert [member.name or "/" for member in found] == names


def test_links_of_both_kinds_stay_links(tree: Path) -> None:
    with read(tree, b"etc", b"e") as found:
        assert found.getmember("e/b").islnk() and found.getmember("e/b").linkname == "e/a"
        assert found.getmember("e/link").issym() and found.getmember("e/link").linkname == "/etc/a"
        assert found.getmember("e/pipe").isfifo()


def test_a_closed_folder_is_there_and_empty(tree: Path) -> None:
    place = os.stat(tree / "etc/sub")
    with read(tree, b"etc", b"etc", frozenset({(place.st_dev, place.st_ino)})) as found:
        assert "etc/sub" in found.getnames() and "etc/sub/deep" not in found.getnames()


def test_what_is_asked_for_itself_is_never_closed(tree: Path) -> None:
    place = os.stat(tree / "etc/sub")
    with read(tree, b"etc/sub", b"sub", frozenset({(place.st_dev, place.st_ino)})) as found:
        assert "sub/deep" in found.getnames()


def test_a_socket_is_left_out(tree: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tree / "s"))
        with read(tree, b".", b"") as found:
            assert "s" not in found.getnames()


def test_what_is_replaced_after_its_folder_was_listed_is_taken_as_what_it_is_then(tmp_path: Path) -> None:
    import socket

    (tmp_path / "a").write_bytes(b"a" * (1 << 20))
    for name in ("folder", "gone", "link", "named", "socket"):
        (tmp_path / name).write_text("a file at first")

    class Swapping:
        whole = io.BytesIO()

        def write(self, data: bytes | memoryview, /) -> int:
            if not (tmp_path / "folder").is_dir():
                for name in ("folder", "gone", "link", "named", "socket"):
                    (tmp_path / name).unlink()
                (tmp_path / "folder").mkdir()
                (tmp_path / "folder/inner").write_text("inner")
                (tmp_path / "link").symlink_to("/etc/passwd")
                os.link(tmp_path / "a", tmp_path / "named")
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(str(tmp_path / "socket"))
            return self.whole.write(data)

    out = Swapping()
    fd = os.open(tmp_path, FLAGS)
    try:
        write_archive(fd, b".", b"", out)
    finally:
        os.close(fd)
    out.whole.seek(0)
    with tarfile.open(fileobj=out.whole) as found:
        assert found.getnames() == ["a", "link", "named", "folder", "folder/inner"]
        assert found.getmember("link").linkname == "/etc/passwd"
        assert found.getmember("folder").isdir()


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"\xff" * 150 + b"/" + b"\xfe" * 100, headers.LINK, 0o7777, link=b"\xff" * 100),
        Entry(b"dev/tty", headers.CHAR, uid=0o7777777, gid=0o7777777, major=4095, minor=(1 << 20) - 1),
        Entry(b"f", size=0o77777777777, mtime_ns=0o77777777777 * 10**9),
    ],
    ids=["all bytes high", "device", "large numbers"],
)
def test_a_full_header_is_one_block_that_reads_back(entry: Entry) -> None:
    block = headers.encode(entry)
    assert len(block) == headers.BLOCK and headers.decode(block) == entry
    assert tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").name == os.fsdecode(entry.name)


def test_a_tree_comes_back_the_same(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "to").mkdir(parents=True)
    source = io.BytesIO()
    fd = os.open(tree, FLAGS)
    write_archive(fd, b"etc", b"etc", source)
    os.close(fd)
    source.seek(0)
    assert unpack(source, copy, b"to") == ()
    assert (copy / "to/etc/a").read_bytes() == b"a" * 700
    assert os.stat(copy / "to/etc/a").st_ino == os.stat(copy / "to/etc/b").st_ino
    assert (copy / "to/etc/.wh.x").read_text() == "no whiteout"
    assert os.readlink(copy / "to/etc/link") == "/etc/a"
    assert os.stat(copy / "to/etc/sub").st_mtime_ns == os.stat(tree / "etc/sub").st_mtime_ns


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "t/base").mkdir(parents=True)
    with pytest.raises(Corrupt, match="outside"):
        unpack(tar((name, b"x")), tmp_path / "t", b"base")
    assert not (tmp_path / "out").exists() and not (tmp_path / "t/out").exists()


def test_a_link_in_the_tree_leads_within_the_root_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "t/base").mkdir(parents=True)
    (tmp_path / "t/real").mkdir()
    (tmp_path / "t/base/abs").symlink_to("/real")
    (tmp_path / "t/base/up").symlink_to("../../../..")
    unpack(tar(("abs/x", b"x"), ("up/y", b"y")), tmp_path / "t", b"base")
    assert (tmp_path / "t/real/x").read_bytes() == b"x" and (tmp_path / "t/y").read_bytes() == b"y"


def test_a_link_that_the_tar_brings_is_followed_within_the_root(tmp_path: Path) -> None:
    (tmp_path / "t/base").mkdir(parents=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "t/real").mkdir()
    unpack(tar(("l", "/real"), ("l/x", b"x"), ("m", "../../../real"), ("m/y", b"y")), tmp_path / "t", b"base")
    assert sorted(os.listdir(tmp_path / "t/real")) == ["x", "y"]
    assert os.listdir(tmp_path / "real") == []
    with pytest.raises(Corrupt):
        unpack(tar(("n", str(tmp_path)), ("n/z", b"z")), tmp_path / "t", b"base")
    assert not (tmp_path / "z").exists()


def test_a_hard_link_means_what_was_unpacked_beside_it(tmp_path: Path) -> None:
    (tmp_path / "t/base").mkdir(parents=True)
    (tmp_path / "t/a").write_text("another")
    source = io.BytesIO(tar(("a", b"mine")).getvalue()[:1024] + tar(("b", "a"), kind=tarfile.LNKTYPE).getvalue())
    unpack(source, tmp_path / "t", b"base")
    assert (tmp_path / "t/base/b").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("there", "member", "words"),
    [
        ("folder", ("x", b"file"), 'cannot overwrite directory "x" with non-directory "x"'),
        ("file", ("x", None), 'cannot overwrite non-directory "x" with directory "x"'),
        ("link", ("x", None), 'cannot overwrite non-directory "x" with directory "x"'),
    ],
)
def test_folders_and_other_things_replace_each_other_only_when_told(
    tmp_path: Path, there: str, member: tuple[str, bytes | None], words: str
) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    if there == "folder":
        (tree / "x").mkdir()
        (tree / "x/inner").touch()
    elif there == "file":
        (tree / "x").touch()
    else:
        (tree / "x").symlink_to(tmp_path)
    with pytest.raises(InvalidRequest) as refused:
        unpack(tar(member), tree, replace=False)
    assert refused.value.message == words
    unpack(tar(member), tree)
    assert (tree / "x").is_dir() == (member[1] is None) and not (tree / "x").is_symlink()


def test_the_folder_unpacked_into_keeps_its_mode(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    tree.chmod(0o700)
    unpack(tar((".", None), ("./x", b"x")), tree)
    assert tree.stat().st_mode & 0o777 == 0o700 and (tree / "x").exists()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/a/b", b"real/b"),
        (b"a/../x", b"x"),
        (b"/not/../there/./x", b"there/x"),
        (b"/abs/y", b"real/y"),
        (b"/out/etc", b"etc"),
        (b"/", b""),
        (b"/dangling/x", b"no/where/x"),
    ],
)
def test_a_path_is_followed_as_from_its_own_root(tmp_path: Path, path: bytes, found: bytes) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "a").symlink_to("real")
    (tmp_path / "abs").symlink_to("/real")
    (tmp_path / "out").symlink_to("../../../../../..")
    (tmp_path / "dangling").symlink_to("/no/where")
    fd = open_folder(os.open(tmp_path, FLAGS), b"")
    try:
        assert follow(fd, path) == found
    finally:
        os.close(fd)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    fd = os.open(tmp_path, FLAGS)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            follow(fd, b"a/x")
    finally:
        os.close(fd)
