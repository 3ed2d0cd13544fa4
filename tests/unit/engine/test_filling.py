"""Filling volumes: whole or not at all, and nothing that was there is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from labdock.engine import filling


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The volume's data, the folder beside it, an image."""
    (tmp_path / "volume/_data").mkdir(parents=True)
    image = tmp_path / "image"
    (image / "srv/d").mkdir(parents=True)
    (image / "srv/file").write_text("from the image")
    (image / "srv").chmod(0o750)
    (image / "link").symlink_to("/srv")
    (image / "out").symlink_to("../../../etc")
    return tmp_path / "volume/_data", tmp_path / "volume", image


def test_an_empty_volume_gets_all_of_it_with_the_folders_own_mode(places: tuple[Path, Path, Path]) -> None:
    data, aside, image = places
    inode = data.stat().st_ino
    assert filling.fill(data, aside, image, "/link")
    assert sorted(os.listdir(data)) == ["d", "file"] and stat.S_IMODE(data.stat().st_mode) == 0o750
    # It is still the same folder: a container that has it mounted sees what came.
    assert data.stat().st_ino == inode and os.listdir(aside) == ["_data"]


@pytest.mark.parametrize("target", ["/none", "/srv/file", "/out/passwd", "/srv/file/under"])
def test_without_a_folder_in_the_image_nothing_happens(places: tuple[Path, Path, Path], target: str) -> None:
    data, aside, image = places
    assert not filling.fill(data, aside, image, target)
    assert os.listdir(data) == []


def test_what_is_in_a_volume_stays(places: tuple[Path, Path, Path]) -> None:
    data, aside, image = places
    (data / "mine").touch()
    assert not filling.fill(data, aside, image, "/srv")
    assert os.listdir(data) == ["mine"]


def test_what_a_kill_left_half_copied_goes_and_what_was_whole_is_finished(places: tuple[Path, Path, Path]) -> None:
    data, aside, image = places
    (aside / filling.PART / "half").mkdir(parents=True)
    filling.finish(data, aside)
    assert os.listdir(data) == [] and os.listdir(aside) == ["_data"]

    whole = aside / filling.WHOLE
    whole.mkdir()
    for name in ("a", "b", "mine"):
        (whole / name).write_text("of the image")
    (data / "mine").write_text("of a container that ran meanwhile")
    filling.finish(data, aside)
    assert sorted(os.listdir(data)) == ["a", "b", "mine"] and os.listdir(aside) == ["_data"]
    assert (data / "mine").read_text() == "of a container that ran meanwhile"
    assert filling.fill(data, aside, image, "/srv") is False


def test_content_waits_inside_of_a_volume_that_lies_elsewhere(places: tuple[Path, Path, Path]) -> None:
    data, _, image = places
    (data / filling.PART / "left").mkdir(parents=True)
    assert filling.fill(data, data, image, "/srv")
    assert sorted(os.listdir(data)) == ["d", "file"]
