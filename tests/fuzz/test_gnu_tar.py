"""The unpacker against GNU tar: the same archive, the same tree; and what GNU tar packs, in each of its formats."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labdock.store.layers import rooted
from labdock.store.layers.unpack import unpack

TAR = shutil.which("tar") or "/usr/bin/tar"
calm = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))

names = st.text("abcdeé .-\n", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
long_names = st.integers(90, 200).map(lambda size: "n" * size)
#: Pieces of a file: bytes, or a hole of so many blocks.
pieces = st.lists(st.binary(min_size=1, max_size=600) | st.integers(1, 40), max_size=6)
looks = st.tuples(st.integers(0, 0o7777), st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 2**33 * 10**9))
leaves = st.one_of(
    st.tuples(st.just("file"), pieces),
    st.tuples(st.just("file"), pieces.map(lambda parts: [*parts, 3])),
    st.tuples(st.just("link"), st.text("a/.", min_size=1, max_size=150)),
    st.tuples(st.just("twin"), st.integers(0, 5)),
    st.tuples(st.just("fifo"), st.none()),
    st.tuples(st.just("marked"), st.binary(max_size=40)),
)
trees = st.recursive(
    st.dictionaries(names | long_names, st.tuples(leaves, looks), max_size=4),
    lambda inner: st.dictionaries(
        names | long_names, st.tuples(st.tuples(st.just("folder"), inner), looks), max_size=3
    ),
    max_leaves=8,
)


@contextmanager
def fresh() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def plant(folder: Path, tree: dict[str, Any], files: list[Path]) -> None:
    for name, ((kind, value), (mode, uid, gid, time_ns)) in tree.items():
        path = folder / name
        if kind == "folder":
            path.mkdir()
            plant(path, value, files)
        elif kind == "link":
            path.symlink_to(value)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "twin" and files:
            os.link(files[value % len(files)], path)
            continue
        else:
            write(path, value if kind == "file" else [])
            files.append(path)
        os.chown(path, uid, gid, follow_symlinks=False)
        if kind != "link":
            path.chmod(mode)
        if kind == "marked":
            os.setxattr(path, "user.mark", value)
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def write(path: Path, parts: list[bytes | int]) -> None:
    with path.open("wb") as file:
        for part in parts:
            if isinstance(part, int):
                file.seek(part * 4096, os.SEEK_CUR)
            else:
                file.write(part)
        file.truncate(file.tell())


def look(tree: Path, *, nanoseconds: bool, attributes: bool) -> dict[str, tuple[object, ...]]:
    """Everything below *tree*, comparable; twins by the first of their names."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for base, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(folders + files):
            path = Path(base, name)
            status = path.lstat()
            regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
            key = str(path.relative_to(tree))
            found[key] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns if nanoseconds else status.st_mtime_ns // 10**9,
                path.read_bytes() if regular else os.readlink(path) if link else "",
                sorted((k, os.getxattr(path, k)) for k in os.listxattr(path)) if attributes and not link else [],
                first.setdefault(status.st_ino, key) if regular else key,
            )
    return found


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def take(archive: Path, target: Path) -> None:
    target.mkdir()
    root = os.open(target, rooted.FLAGS)
    try:
        with archive.open("rb", buffering=0) as source:
            assert unpack(source, root, merged=False).notices == ()
    finally:
        os.close(root)


@pytest.mark.sandbox
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "posix", "posix-0.0", "posix-0.1", "ustar"])
def test_what_gnu_tar_packs_is_unpacked_as_gnu_tar_does(form: str) -> None:
    kind, _, version = form.partition("-")
    options = [f"--format={kind}", *(["--sparse"] if kind != "ustar" else [])]
    options += [f"--sparse-version={version}"] if version else []
    options += ["--xattrs"] if kind == "posix" else []

    @calm
    @given(tree=trees)
    def check(tree: dict[str, Any]) -> None:
        with fresh() as base:
            (base / "tree").mkdir()
            plant(base / "tree", tree, [])
            packed = subprocess.run(
                [TAR, "-C", str(base / "tree"), "-cf", str(base / "a.tar"), *options, "."],
                capture_output=True,
                text=True,
                check=False,
            )
            if packed.returncode != 0:
                # ustar has no room for long names and late times.
                assert kind == "ustar" or "value" in packed.stderr, packed.stderr
                return
            take(base / "a.tar", base / "ours")
            (base / "theirs").mkdir()
            extract = ["-xpf", str(base / "a.tar"), "--numeric-owner", "--same-owner"]
            run(TAR, "-C", str(base / "theirs"), *extract, *(["--xattrs"] if kind == "posix" else []))
            how = {"nanoseconds": kind == "posix", "attributes": kind == "posix"}
            ours = look(base / "ours", **how)
            assert ours == look(base / "theirs", **how)
            assert ours == look(base / "tree", **how)

    check()


@pytest.mark.sandbox
def test_what_python_packs_is_unpacked_as_gnu_tar_does() -> None:
    members = st.tuples(
        st.lists(names | long_names, min_size=1, max_size=4).map("/".join),
        st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE]),
        looks,
        st.binary(max_size=1500),
    )

    @calm
    @given(
        found=st.lists(members, max_size=12, unique_by=lambda member: member[0]),
        form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    )
    def check(found: list[tuple[str, bytes, tuple[int, int, int, int], bytes]], form: int) -> None:
        paths = {path for path, *_ in found}
        # What stands on a file is no tree, and is a test of its own (tests/unit/store/test_layers.py).
        folders = {path for path, kind, *_ in found if kind == tarfile.DIRTYPE}
        above = {path[:cut] for path in paths for cut, letter in enumerate(path) if letter == "/"}
        if above & paths - folders:
            return
        with fresh() as base:
            with tarfile.open(base / "a.tar", "w", format=form) as archive:
                for path, kind, (mode, uid, gid, time_ns), data in found:
                    member = tarfile.TarInfo(path)
                    member.type, member.mode, member.uid, member.gid = kind, mode | 0o100, uid, gid
                    member.mtime, member.size = time_ns // 10**9, len(data) if kind == tarfile.REGTYPE else 0
                    member.linkname = "some/where" if kind == tarfile.SYMTYPE else ""
                    archive.addfile(member, io.BytesIO(data))
            take(base / "a.tar", base / "ours")
            (base / "theirs").mkdir()
            # Else a folder that is gone back to after others has the time of that.
            options = ["--numeric-owner", "--same-owner", "--delay-directory-restore"]
            run(TAR, "-C", str(base / "theirs"), "-xpf", str(base / "a.tar"), *options)
            ours, theirs = (look(base / who, nanoseconds=True, attributes=False) for who in ("ours", "theirs"))
            # Folders that the archive does not name have the look of whoever makes them.
            for path in above - folders:
                ours.pop(path), theirs.pop(path)
            assert ours == theirs

    check()
