"""What a container changed, from overlay's folder of changes and the image's tree."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from labdock.engine.changes import ADDED, CHANGED, DELETED, Hidden, find_changes
from labdock.store.layers.rooted import FLAGS

Found = list[tuple[str, int]]


class Trees:
    def __init__(self, folder: Path) -> None:
        self.below, self.changed = folder / "below", folder / "changed"
        for place in ("etc", "bin"):
            (self.below / place).mkdir(parents=True)
        (self.below / "etc/passwd").write_text("root")
        (self.below / "bin/sh").write_text("sh")
        (self.below / "bin/ls").write_text("ls")
        self.changed.mkdir()

    def find(self, *mounts: str, empty: bool = False) -> Found:
        changed, below = os.open(self.changed, FLAGS), os.open(self.below, FLAGS)
        try:
            hidden = Hidden.at((*mounts, "/etc/hosts", "/proc"))
            return [(c.path, c.kind) for c in find_changes(changed, None if empty else below, hidden)]
        finally:
            os.close(changed)
            os.close(below)

    def change(self, path: str, text: str = "new") -> None:
        place = self.changed / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def white_out(self, path: str) -> None:
        (self.changed / path).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(self.changed / path, stat.S_IFCHR, 0)


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def test_nothing_is_no_change(trees: Trees) -> None:
    assert trees.find() == []


def test_a_new_file_changes_its_folder_and_not_the_root(trees: Trees) -> None:
    trees.change("etc/new")
    trees.change("top")
    assert trees.find() == [("/etc", CHANGED), ("/etc/new", ADDED), ("/top", ADDED)]


def test_a_file_with_other_words_is_changed(trees: Trees) -> None:
    trees.change("etc/passwd")
    assert trees.find() == [("/etc", CHANGED), ("/etc/passwd", CHANGED)]


def test_a_removed_file_and_a_removed_folder(trees: Trees) -> None:
    trees.white_out("bin/ls")
    trees.white_out("etc")
    assert trees.find() == [("/bin", CHANGED), ("/bin/ls", DELETED), ("/etc", DELETED)]


def test_a_whiteout_of_what_was_never_there_is_none(trees: Trees) -> None:
    trees.white_out("bin/never")
    assert trees.find() == []


def test_a_folder_made_anew_hides_what_was_in_it(trees: Trees) -> None:
    trees.change("bin/ls")
    os.setxattr(trees.changed / "bin", "user.overlay.opaque", b"y")
    assert trees.find() == [("/bin", CHANGED), ("/bin/ls", CHANGED), ("/bin/sh", DELETED)]


def test_a_folder_that_was_only_opened_up_is_no_change(trees: Trees) -> None:
    (trees.changed / "bin").mkdir()
    os.chmod(trees.changed / "bin", os.stat(trees.below / "bin").st_mode & 0o7777)
    assert trees.find() == []


def test_a_folder_with_another_mode_is_changed(trees: Trees) -> None:
    (trees.changed / "bin").mkdir()
    os.chmod(trees.changed / "bin", 0o711)
    assert trees.find() == [("/bin", CHANGED)]


def test_a_file_where_a_folder_was(trees: Trees) -> None:
    trees.change("bin")
    assert trees.find() == [("/bin", CHANGED)]


def test_places_of_mounts_are_nobodys_change(trees: Trees) -> None:
    trees.change("etc/hosts", "")
    (trees.changed / "proc").mkdir()
    (trees.changed / "made/for/it").mkdir(parents=True)
    assert trees.find("/made/for/it") == []


def test_what_is_beside_a_mount_is_shown(trees: Trees) -> None:
    (trees.changed / "made/for").mkdir(parents=True)
    trees.change("made/own")
    assert trees.find("/made/for") == [("/made", ADDED), ("/made/own", ADDED)]


def test_on_an_empty_image_everything_is_new(trees: Trees) -> None:
    trees.change("bin/ls")
    assert trees.find(empty=True) == [("/bin", ADDED), ("/bin/ls", ADDED)]
