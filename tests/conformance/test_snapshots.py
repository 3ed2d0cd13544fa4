"""What every snapshot driver promises, held against each of them as root of a sandbox."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labdock.errors import Conflict, Corrupt, HostUnfit, NotFound, Unsupported
from labdock.store.layers.rooted import remove_tree
from labdock.store.snapshots import Kind, SnapshotInfo, Snapshotter, mounting, open_snapshotter
from labdock.sys import mounts

DRIVERS = ("overlay", "fuse-overlayfs", "copy", "flat")
TOOLS = {"fuse-overlayfs": shutil.which("fuse-overlayfs") or ""}

pytestmark = [pytest.mark.sandbox, pytest.mark.parametrize("driver", DRIVERS)]


@contextmanager
def opened(driver: str, folder: Path) -> Iterator[Snapshotter]:
    """The driver over *folder*; everything it made is gone after (its files belong to ids of the sandbox)."""
    snapshotter = open_snapshotter(driver, folder, TOOLS)
    try:
        yield snapshotter
    finally:
        snapshotter.close()
        # A tree may be deeper than shutil.rmtree can go.
        above = os.open(folder, os.O_RDONLY)
        remove_tree(above, driver.encode())
        os.close(above)


@contextmanager
def mounted(snapshotter: Snapshotter, key: str, folder: Path) -> Iterator[Path]:
    point = folder / "mnt"
    point.mkdir(exist_ok=True)
    mounting.mount_all(snapshotter.mounts(key), point)
    try:
        yield point
    finally:
        mounting.unmount(point)


def grow(snapshotter: Snapshotter, folder: Path, name: str, parent: str | None, change: Callable[[Path], None]) -> None:
    """Commit *name*: *parent* with *change* made to it."""
    snapshotter.prepare(f"making-{name}", parent)
    with mounted(snapshotter, f"making-{name}", folder) as tree:
        change(tree)
    snapshotter.commit(name, f"making-{name}")


def look(tree: Path) -> dict[str, tuple[object, ...]]:
    """Everything that can be told of a tree, comparable: types, modes, owners, times, links, bytes, attributes."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for base, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(folders + files):
            path = os.path.join(base, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            attributes = {} if stat.S_ISLNK(status.st_mode) else {k: os.getxattr(path, k) for k in os.listxattr(path)}
            attributes = {k: v for k, v in attributes.items() if not k.startswith(("user.overlay", "user.fuse"))}
            twin = inodes.setdefault(status.st_ino, path) if status.st_nlink > 1 and not os.path.isdir(path) else path
            found[path.removeprefix(str(tree))] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                os.major(status.st_rdev) if not stat.S_ISREG(status.st_mode) else 0,
                content,
                tuple(sorted(attributes.items())),
                twin.removeprefix(str(tree)),
            )
    return found


def plant(tree: Path) -> None:
    """A bit of everything that a layer can hold."""
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tree / "etc/shadow").write_text("secret")
    os.chown(tree / "etc/shadow", 0, 42)
    (tree / "etc/shadow").chmod(0o640)
    (tree / "bin").mkdir()
    (tree / "bin/su").write_bytes(b"\x7fELF" * 100)
    os.chown(tree / "bin/su", 1000, 1000)
    (tree / "bin/su").chmod(0o4755)
    (tree / "bin/tool").write_bytes(b"#!/bin/sh")
    os.link(tree / "bin/tool", tree / "bin/twin")
    (tree / "lib").symlink_to("usr/lib")
    (tree / "dangling").symlink_to("/no/where")
    os.chown(tree / "dangling", 7, 8, follow_symlinks=False)
    (tree / "usr/lib/deep/er").mkdir(parents=True)
    (tree / "usr/lib/deep/er/file").write_text("deep")
    (tree / "tmp").mkdir()
    (tree / "tmp").chmod(0o1777)
    os.mkfifo(tree / "pipe")
    (tree / "empty").touch()
    os.utime(tree / "empty", ns=(1, 1_234_567_890_123_456_789))
    (tree / ("long" * 60)).write_text("a long name")
    (tree / "ünïcode \n name").write_text("odd")
    os.setxattr(tree / "etc/passwd", "user.note", b"a\x00b\n")
    os.setxattr(tree / "bin/su", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    (tree / "hidden").mkdir()
    (tree / "hidden/old").write_text("old")
    (tree / "gone").mkdir()
    (tree / "gone/with").write_text("wind")


def alter(tree: Path) -> None:
    """Every way of changing what a lower layer brought."""
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/ash\n")
    (tree / "empty").unlink()
    shutil.rmtree(tree / "gone")
    shutil.rmtree(tree / "hidden")
    (tree / "hidden").mkdir()
    (tree / "hidden/new").write_text("new")
    # quirk: fuse-overlayfs 1.10 loses setuid when it copies a file up, and takes all its names along.
    os.rename(tree / "bin/su", tree / "bin/doas")
    (tree / "bin/doas").chmod(0o4755)
    (tree / "tmp").chmod(0o700)
    os.chown(tree / "usr", 5, 6)
    (tree / "dangling").unlink()
    (tree / "dangling").mkdir()
    (tree / "pipe").unlink()
    (tree / "pipe").write_text("now a file")
    (tree / "added").write_text("added")
    os.link(tree / "added", tree / "added-too")
    (tree / "usr/lib/deep/er/file").unlink()


def test_what_is_written_is_seen_again_and_by_children(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.prepare("c1", "base")
        snapshots.prepare("c2", "base")
        with mounted(snapshots, "c1", tmp_path) as tree:
            before = look(tree)
            assert before["/etc/shadow"][:3] == ("0o100640", 0, 42)
            assert before["/bin/su"][0] == "0o104755" and os.lstat(tree / "bin/twin").st_nlink == 2
            (tree / "etc/shadow").unlink()
            (tree / "mine").write_text("c1")
        with mounted(snapshots, "c2", tmp_path) as tree:
            assert (tree / "etc/shadow").read_text() == "secret"
            assert not (tree / "mine").exists()
        with mounted(snapshots, "c1", tmp_path) as tree:
            assert (tree / "mine").read_text() == "c1" and not (tree / "etc/shadow").exists()


def test_a_view_is_read_only_and_the_same(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "one", None, plant)
        grow(snapshots, tmp_path, "two", "one", alter)
        for parent in ("one", "two"):
            snapshots.view(f"look-{parent}", parent)
            assert snapshots.stat(f"look-{parent}").kind is Kind.VIEW
            with mounted(snapshots, f"look-{parent}", tmp_path) as tree:
                assert (tree / "added").exists() is (parent == "two")
                with pytest.raises(OSError, match="Read-only"):
                    (tree / "x").touch()
            snapshots.remove(f"look-{parent}")


def test_changes_become_a_layer_and_give_the_same_tree_elsewhere(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        looks, tars = [], []
        for name, parent, change in (("one", None, plant), ("two", "one", alter)):
            snapshots.prepare("work", parent)
            with mounted(snapshots, "work", tmp_path) as tree:
                change(tree)
            # quirk: fuse-overlayfs caches writes, and shows times that are not those on disk until it ends.
            with mounted(snapshots, "work", tmp_path) as tree:
                looks.append(look(tree))
            out = io.BytesIO()
            diff_id = snapshots.diff("work", out)
            assert diff_id == "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
            tars.append(out.getvalue())
            snapshots.commit(name, "work")
            again = io.BytesIO()
            assert snapshots.diff(name, again) == diff_id and again.getvalue() == tars[-1]
        with tarfile.open(fileobj=io.BytesIO(tars[1])) as archive:
            names = archive.getnames()
        assert {".wh.empty", ".wh.gone", "bin/.wh.su", "usr/lib/deep/er/.wh.file"} <= set(names)
        assert "etc/shadow" not in names
        parent = None
        for number, (tar, expected) in enumerate(zip(tars, looks, strict=True)):
            snapshots.prepare("apply", parent)
            assert snapshots.apply("apply", io.BytesIO(tar)) == "sha256:" + hashlib.sha256(tar).hexdigest()
            with mounted(snapshots, "apply", tmp_path) as tree:
                assert look(tree) == expected
            parent = f"copy-{number}"
            snapshots.commit(parent, "apply")
        again = io.BytesIO()
        snapshots.diff("copy-0", again)
        assert again.getvalue() == tars[0]


def test_layers_may_leave_out_parents_and_go_through_links_of_lower_layers(driver: str, tmp_path: Path) -> None:
    def base(tree: Path) -> None:
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin").chmod(0o711)
        (tree / "bin").symlink_to("usr/bin")
        (tree / "usr/bin/old").write_text("old")

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("bin/new", "srv/made/file"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"new"))
        archive.addfile(tarfile.TarInfo("bin/.wh.old"))
        link = tarfile.TarInfo("linked")
        link.type, link.linkname = tarfile.LNKTYPE, "bin/new"
        archive.addfile(link)
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, base)
        snapshots.prepare("next", "base")
        snapshots.apply("next", io.BytesIO(out.getvalue()))
        with mounted(snapshots, "next", tmp_path) as tree:
            assert os.readlink(tree / "bin") == "usr/bin"
            assert os.listdir(tree / "usr/bin") == ["new"] and (tree / "linked").read_text() == "new"
            assert stat.S_IMODE((tree / "usr/bin").stat().st_mode) == 0o711
            assert (tree / "srv/made/file").read_text() == "new"


def test_an_opaque_folder_hides_what_is_below_and_not_its_own(driver: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("hidden/early"))
        archive.addfile(tarfile.TarInfo("hidden/.wh..wh..opq"))
        archive.addfile(tarfile.TarInfo("hidden/late"))
        archive.addfile(tarfile.TarInfo("gone/.wh..wh..opq"))
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.prepare("next", "base")
        snapshots.apply("next", io.BytesIO(out.getvalue()))
        with mounted(snapshots, "next", tmp_path) as tree:
            assert sorted(os.listdir(tree / "hidden")) == ["early", "late"]
            assert os.listdir(tree / "gone") == []


def test_the_root_folders_own_look_is_kept(driver: str, tmp_path: Path) -> None:
    def change(tree: Path) -> None:
        tree.chmod(0o750)
        os.chown(tree, 3, 4)

    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "one", None, change)
        out = io.BytesIO()
        snapshots.diff("one", out)
        snapshots.prepare("copy", None)
        snapshots.apply("copy", io.BytesIO(out.getvalue()))
        snapshots.commit("two", "copy")
        snapshots.prepare("child", "two")
        with mounted(snapshots, "child", tmp_path) as tree:
            found = tree.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o750, 3, 4)
        out = io.BytesIO()
        snapshots.diff("child", out)
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
            assert archive.getnames() == []


def test_layers_go_into_a_snapshot_again_and_again_between_mounts(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.prepare("top", "base")
        for number in range(3):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as archive:
                archive.addfile(tarfile.TarInfo(f"etc/{number}"))
            snapshots.apply("top", io.BytesIO(out.getvalue()))
            with mounted(snapshots, "top", tmp_path) as tree:
                assert {f"{n}" for n in range(number + 1)} < set(os.listdir(tree / "etc"))


def test_many_layers_stack(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        parent = None
        for number in range(128):
            key = f"layer-{number}"
            snapshots.prepare("work", parent)
            Path(snapshots.changes("work") if "overlay" in driver else snapshots.mounts("work")[0].source).joinpath(
                f"f{number}"
            ).write_text(str(number))
            snapshots.commit(key, "work")
            parent = key
        snapshots.prepare("top", parent)
        with mounted(snapshots, "top", tmp_path) as tree:
            assert len(os.listdir(tree)) == 128 and (tree / "f0").read_text() == "0"
            (tree / "f0").write_text("changed")
        with mounted(snapshots, "top", tmp_path) as tree:
            assert (tree / "f0").read_text() == "changed"


def test_paths_with_special_characters_mount(driver: str, tmp_path: Path) -> None:
    # quirk: fuse-overlayfs resolves its folders and takes the result apart at every ":".
    folder = tmp_path / ("a;b,c\\d e" if driver == "fuse-overlayfs" else "a:b,c\\d e")
    folder.mkdir()
    with opened(driver, folder) as snapshots:
        grow(snapshots, tmp_path, "one", None, plant)
        grow(snapshots, tmp_path, "two", "one", alter)
        snapshots.prepare("top", "two")
        with mounted(snapshots, "top", tmp_path) as tree:
            assert (tree / "added").read_text() == "added"


def test_closing_twice_is_fine_and_a_closed_store_opens_again(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.close()
        snapshots.close()
        again = open_snapshotter(driver, tmp_path, TOOLS)
        assert again.has("base")
        again.close()


def test_the_store_of_another_driver_is_refused_unless_it_is_empty(driver: str, tmp_path: Path) -> None:
    other = "copy" if driver != "copy" else "overlay"
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.close()
        with pytest.raises(Conflict, match=f"made with the storage driver {driver}"):
            open_snapshotter(other, tmp_path, TOOLS)
        again = open_snapshotter(driver, tmp_path, TOOLS)
        again.remove("base")
        again.close()
        with opened(other, tmp_path):
            assert not (tmp_path / driver).exists()
        (tmp_path / driver).mkdir()


def test_moving_folders_and_changing_owners_of_what_is_below(driver: str, tmp_path: Path) -> None:
    def change(tree: Path) -> None:
        # quirk: a folder of a lower layer can't be renamed in an overlay (EXDEV): mv(1) copies it.
        shutil.copytree(tree / "usr", tree / "moved", symlinks=True)
        shutil.rmtree(tree / "usr")
        os.chown(tree / "etc/passwd", 11, 12)
        os.setxattr(tree / "etc", "user.note", b"on a folder")

    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "one", None, plant)
        grow(snapshots, tmp_path, "two", "one", change)
        out = io.BytesIO()
        snapshots.diff("two", out)
        snapshots.prepare("again", "one")
        snapshots.apply("again", io.BytesIO(out.getvalue()))
        snapshots.prepare("top", "two")
        with mounted(snapshots, "top", tmp_path) as tree:
            expected = look(tree)
            assert (tree / "moved/lib/deep/er/file").read_text() == "deep" and not (tree / "usr").exists()
            assert (tree / "etc/passwd").stat().st_uid == 11 and os.getxattr(
                tree / "etc", "user.note"
            ) == b"on a folder"
        with mounted(snapshots, "again", tmp_path) as tree:
            assert look(tree) == expected


def test_layers_share_what_they_did_not_change(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, _write_big)
        grow(snapshots, tmp_path, "next", "base", _write_small)
        own = snapshots.usage("next").size
        # A copy is whole unless the file system shares its blocks.
        assert own < 1 << 16 or driver == "copy"
        snapshots.prepare("top", "next")
        with mounted(snapshots, "top", tmp_path) as tree:
            (tree / "big").write_bytes(b"changed")
        snapshots.view("look", "base")
        with mounted(snapshots, "look", tmp_path) as tree:
            assert (tree / "big").stat().st_size == 1 << 20


def test_keys_are_checked(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.prepare("active", "base")
        for call in (
            lambda: snapshots.prepare("active", None),
            lambda: snapshots.prepare("base", None),
            lambda: snapshots.view("active", "base"),
            lambda: snapshots.prepare("other", "active"),
            lambda: snapshots.commit("base", "active"),
            lambda: snapshots.commit("again", "base"),
            lambda: snapshots.mounts("base"),
            lambda: snapshots.remove("base"),
        ):
            with pytest.raises(Conflict):
                call()
        for missing in (
            lambda: snapshots.prepare("other", "none"),
            lambda: snapshots.mounts("none"),
            lambda: snapshots.commit("new", "none"),
            lambda: snapshots.remove("none"),
            lambda: snapshots.stat("none"),
            lambda: snapshots.usage("none"),
        ):
            with pytest.raises(NotFound, match="none"):
                missing()
        assert list(snapshots.walk()) == [
            SnapshotInfo("base", None, Kind.COMMITTED),
            SnapshotInfo("active", "base", Kind.ACTIVE),
        ]
        snapshots.remove("active")
        snapshots.remove("base")
        assert list(snapshots.walk()) == [] and not snapshots.has("base")


def _write_big(tree: Path) -> None:
    (tree / "big").write_bytes(os.urandom(1 << 20))


def _write_small(tree: Path) -> None:
    (tree / "small").write_text("x")


def test_usage_counts_what_it_holds_itself(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, _write_big)
        assert snapshots.usage("base").inodes == 1
        assert 1 << 20 <= snapshots.usage("base").size <= (1 << 20) + (1 << 16)
        snapshots.prepare("child", "base")
        held = snapshots.usage("child")
        assert held.inodes == (1 if driver in ("copy", "flat") else 0)
        with mounted(snapshots, "child", tmp_path) as tree:
            (tree / "more").write_bytes(os.urandom(1 << 16))
            os.link(tree / "more", tree / "twin")
        assert snapshots.usage("child").inodes - held.inodes == 1
        assert snapshots.usage("child").size - held.size >= 1 << 16


def test_a_deep_tree_is_packed_unpacked_and_removed(driver: str, tmp_path: Path) -> None:
    depth = 1100

    def dig(tree: Path) -> None:
        here = os.open(tree, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)

    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "deep", None, dig)
        out = io.BytesIO()
        snapshots.diff("deep", out)
        snapshots.prepare("copy", None)
        snapshots.apply("copy", io.BytesIO(out.getvalue()))
        again = io.BytesIO()
        assert snapshots.diff("copy", again) and again.getvalue() == out.getvalue()
        snapshots.prepare("child", "deep")
        whiteout = io.BytesIO()
        with tarfile.open(fileobj=whiteout, mode="w") as archive:
            archive.addfile(tarfile.TarInfo(".wh.d"))
        snapshots.apply("child", io.BytesIO(whiteout.getvalue()))
        with mounted(snapshots, "child", tmp_path) as tree:
            assert os.listdir(tree) == []
        for key in ("child", "copy", "deep"):
            snapshots.remove(key)


def test_a_failed_apply_names_the_entry_and_leaves_nothing_mounted(driver: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        snapshots.prepare("work", "base")
        before = Path("/proc/self/mounts").read_text()
        with pytest.raises(Corrupt, match=r"\.\./outside"):
            snapshots.apply("work", io.BytesIO(out.getvalue()))
        assert Path("/proc/self/mounts").read_text() == before
        snapshots.remove("work")


def _kill_during(call: Callable[[], None], syscall: str, count: int) -> bool:
    """Run *call* in a child that dies at its *count*-th use of os.*syscall*; false when it got through."""
    pid = os.fork()
    if pid == 0:
        original = getattr(os, syscall)
        used = 0

        def deadly(*args: object, **options: object) -> object:
            nonlocal used
            used += 1
            if used == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **options)

        setattr(os, syscall, deadly)
        call()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("syscall", ["mkdir", "rename", "chmod", "stat"])
def test_a_kill_anywhere_is_repaired(driver: str, tmp_path: Path, syscall: str) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)

    def live() -> None:
        child = open_snapshotter(driver, tmp_path, TOOLS)
        child.prepare("a", None)
        child.commit("base", "a")
        child.prepare("b", "base")
        child.view("v", "base")
        child.prepare("c", "base")
        child.remove("b")
        child.close()

    for count in range(1, 12):
        killed = _kill_during(live, syscall, count)
        with opened(driver, tmp_path) as snapshots:
            snapshots.recover()
            keys = [info.key for info in snapshots.walk()]
            assert set(keys) <= {"a", "b", "v", "c", "base"}
            for info in list(snapshots.walk())[::-1]:
                assert info.kind is Kind.COMMITTED or snapshots.mounts(info.key)
                snapshots.remove(info.key)
            snapshots.prepare("fresh", None)
            numbered = [entry for entry in os.listdir(tmp_path / driver) if entry.isdecimal()]
            assert len(numbered) == 1
        if not killed:
            break


def test_recover_forgets_what_lost_its_tree_and_unmounts_leftovers(driver: str, tmp_path: Path) -> None:
    with opened(driver, tmp_path) as snapshots:
        grow(snapshots, tmp_path, "base", None, plant)
        grow(snapshots, tmp_path, "other", None, plant)
        snapshots.prepare("child", "base")
        shutil.rmtree(tmp_path / driver / "1")
        left = tmp_path / driver / "2" / "mnt"
        left.mkdir()
        mounts.mount("tmpfs", str(left), "tmpfs")
        snapshots.recover()
        assert [info.key for info in snapshots.walk()] == ["other"]
        assert str(left) not in Path("/proc/self/mounts").read_text()


def test_an_unknown_driver_or_a_missing_program_is_said(driver: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="zfs"):
        open_snapshotter("zfs", tmp_path, {})
    with pytest.raises(HostUnfit, match="fuse-overlayfs"):
        open_snapshotter("fuse-overlayfs", tmp_path, {})
