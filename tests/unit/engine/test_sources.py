"""Where mounts come from: links in the image, the mount a source lies on, owners, and handing folders over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labdock.engine import ownership
from labdock.engine.mounts import parse_bind
from labdock.engine.sources import _mount_of, _warn_of_owner, follow
from labdock.errors import InvalidRequest

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /run rw - tmpfs tmpfs rw
24 22 8:2 / /data\\040here rw master:5 - xfs /dev/sdb rw
""".splitlines()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/plain/new", "/plain/new"),
        ("/absolute", "/tmp/out"),
        ("/absolute/deep", "/tmp/out/deep"),
        ("/climbs", "/etc"),
        ("/climbs/../x", "/x"),
        ("/chain", "/tmp/out"),
        ("/a/./b/../c", "/a/c"),
    ],
)
def test_links_in_an_image_are_followed_inside_of_it(tmp_path: Path, target: str, expected: str) -> None:
    (tmp_path / "absolute").symlink_to("/tmp/out")
    (tmp_path / "climbs").symlink_to("../../../../etc")
    (tmp_path / "chain").symlink_to("absolute")
    assert follow(tmp_path, target) == expected


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(InvalidRequest, match="too many levels of symbolic links"):
        follow(tmp_path, "/one/x")


def test_the_mount_that_a_path_lies_on_is_the_longest() -> None:
    assert _mount_of("/home/me", MOUNTS) == ("/", ["shared:1"])
    assert _mount_of("/run/x", MOUNTS) == ("/run", [])
    assert _mount_of("/running", MOUNTS)[0] == "/"
    assert _mount_of("/data here/x", MOUNTS) == ("/data here", ["master:5"])


@pytest.mark.sandbox
def test_owners_are_told_only_where_they_bite(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    folder.chmod(0o755)
    assert "the container's user app can't write there" in _warn_of_owner(parse_bind(f"{folder}:/f"), "app")
    for text, user in (
        (f"{folder}:/f", ""),
        (f"{folder}:/f", "0"),
        (f"{folder}:/f:ro", "app"),
        (f"{folder}:/f:U", "app"),
    ):
        assert _warn_of_owner(parse_bind(text), user) == ""
    folder.chmod(0o777)
    assert _warn_of_owner(parse_bind(f"{folder}:/f"), "app") == ""
    os.chown(folder, 65534, 65534)
    folder.chmod(0o755)
    assert "nobody" in _warn_of_owner(parse_bind(f"{folder}:/f"), "")
    assert _warn_of_owner(parse_bind(f"{folder}:/f:ro"), "") == ""


@pytest.mark.sandbox
def test_a_folder_is_handed_over_with_all_in_it_and_no_link_is_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "f", tmp_path / "outside"
    (folder / "deep/er").mkdir(parents=True)
    outside.touch()
    (folder / "deep/file").touch()
    (folder / "link").symlink_to(outside)
    assert ownership.hand_over(folder, 1000, 1001) == 5
    assert ownership.hand_over(folder, 1000, 1001) == 0
    for path in (folder, folder / "deep/er", folder / "deep/file", folder / "link"):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (1000, 1001)
    assert outside.stat().st_uid == 0
    assert ownership.hand_over(outside, 7, 7) == 1


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/../usr", "/home", "~"])
def test_folders_of_the_system_and_homes_are_not_handed_over(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    with pytest.raises(InvalidRequest, match="too much to hand over"):
        ownership.hand_over(Path(path).expanduser(), 1000, 1000)
