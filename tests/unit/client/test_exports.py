"""Exports unpacked into a user's folder: an image's files are hostile."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.client.exports import save_tar, unpack_tar
from labdock.errors import InvalidRequest, SystemFailure


def tar(*entries: tuple[str, str, object], mode: int = 0o644) -> Iterator[bytes]:
    """A tar of (name, kind, content or target), in small pieces."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, kind, value in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = (0o755 if kind == "folder" else mode), 1_600_000_000
            if kind == "file":
                data = str(value).encode()
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
                continue
            info.type = {
                "folder": tarfile.DIRTYPE,
                "link": tarfile.SYMTYPE,
                "hard": tarfile.LNKTYPE,
                "device": tarfile.CHRTYPE,
            }[kind]
            info.linkname = str(value or "")
            out.addfile(info)
    data = buffer.getvalue()
    return (data[start : start + 1000] for start in range(0, len(data), 1000))


def test_files_folders_and_links(tmp_path: Path) -> None:
    entries = (
        ("bin/", "folder", None),
        ("bin/app", "file", "x" * 5000),
        ("bin/again", "hard", "bin/app"),
        ("app", "link", "bin/app"),
    )
    assert unpack_tar(tar(*entries, mode=0o4755), tmp_path / "new/out") == ()
    out = tmp_path / "new/out"
    assert (out / "bin/app").read_text() == "x" * 5000
    assert os.readlink(out / "app") == "bin/app"
    assert (out / "bin/again").samefile(out / "bin/app")
    found = (out / "bin/app").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime, found.st_uid) == (0o755, 1_600_000_000, os.getuid())
    assert (out / "bin").stat().st_mtime == 1_600_000_000


def test_a_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "a/../../x", "a/.."):
        with pytest.raises(InvalidRequest, match="leads out"):
            unpack_tar(tar((name, "file", "evil")), tmp_path / "out")
    assert not (tmp_path / "x").exists()


def test_an_absolute_path_is_inside(tmp_path: Path) -> None:
    unpack_tar(tar(("/etc/x", "file", "1")), tmp_path)
    assert (tmp_path / "etc/x").read_text() == "1"


def test_nothing_is_written_through_a_link_of_the_tar(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    entries = (("way", "link", str(tmp_path / "outside")), ("way/x", "file", "evil"))
    unpack_tar(tar(*entries), tmp_path / "out")
    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "out/way/x").read_text() == "evil"


def test_nothing_is_written_through_a_link_that_was_there(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "file").write_text("mine")
    (out / "a").symlink_to(outside)
    (out / "b").symlink_to(outside / "file")
    unpack_tar(tar(("a/", "folder", None), ("a/x", "file", "1"), ("b", "file", "2")), out)
    assert [entry.name for entry in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "mine"


def test_a_hard_link_can_not_reach_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "way").symlink_to(tmp_path)
    with pytest.raises((InvalidRequest, SystemFailure)):
        unpack_tar(tar(("x", "hard", "way/secret")), out)
    assert not (out / "x").exists()


def test_devices_are_left_out_with_a_notice(tmp_path: Path) -> None:
    assert unpack_tar(tar(("dev/null", "device", None), ("x", "file", "1")), tmp_path) == (
        "dev/null: a device, pipe or socket is left out",
    )
    assert (tmp_path / "x").exists()


def test_a_folder_is_never_removed_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/mine").write_text("kept")
    with pytest.raises(InvalidRequest, match="is a folder there"):
        unpack_tar(tar(("x", "file", "1")), tmp_path)
    assert (tmp_path / "x/mine").read_text() == "kept"


def test_a_tar_cut_short_is_an_error(tmp_path: Path) -> None:
    whole = b"".join(tar(("x", "file", "y" * 4000)))
    with pytest.raises(InvalidRequest, match="broken"):
        unpack_tar([whole[:2000]], tmp_path)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises((ConnectionResetError, SystemFailure)):
        save_tar(pieces(), tmp_path / "x.tar")
    assert list(tmp_path.iterdir()) == []
    save_tar([b"a", b"b"], tmp_path / "new/x.tar")
    assert (tmp_path / "new/x.tar").read_bytes() == b"ab"
