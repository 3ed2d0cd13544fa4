"""Who containers' root is: ids from files, root's ranges, and what another id can reach."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from labdock.errors import HostUnfit
from labdock.host import identity
from labdock.host.ids import IdExtent, IdRange, read_ranges

HERE = os.getuid()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_ranges_are_read_by_name_and_number_and_nonsense_is_passed_over(tmp_path: Path) -> None:
    name = pwd.getpwuid(HERE).pw_name
    lines = f"# a comment\n{name}:100000:65536\nother:1:2\n{HERE}:300000:10\n{name}:x:1\n{name}:5\n{name}:7:0\n"
    found = read_ranges(write(tmp_path / "subuid", lines), HERE)
    assert found == (IdRange(100000, 65536), IdRange(300000, 10))
    assert read_ranges(tmp_path / "missing", HERE) == ()


def test_no_subordinate_ids_is_explained_with_the_command(tmp_path: Path) -> None:
    nothing = write(tmp_path / "subuid", "somebody-else:100000:65536\n")
    with pytest.raises(HostUnfit) as raised:
        identity.user_maps(12345, 12345, nothing, tmp_path / "missing")
    assert str(nothing) in raised.value.message and "missing" in raised.value.message
    assert raised.value.hint is not None
    assert "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 12345" in raised.value.hint
    probe = identity.probe_ids(12345, nothing, tmp_path / "missing")
    assert not probe.ok and probe.lift in raised.value.hint


def test_a_user_is_root_inside(tmp_path: Path) -> None:
    granted = write(tmp_path / "sub", "12345:100000:65536\n")
    maps = identity.user_maps(12345, 12345, granted, granted)
    assert maps.uids == (IdExtent(0, 12345, 1), IdExtent(1, 100000, 65536))


@pytest.mark.parametrize(
    ("own_map", "granted", "chosen"),
    [
        ("0 0 4294967295", (IdRange(165536, 65536),), IdRange(165536, 65536)),
        ("0 0 4294967295", (IdRange(1, 10), IdRange(200000, 70000)), IdRange(200000, 65536)),
        ("0 0 4294967295", (), identity.UNUSED),
        ("0 1000 1\n1 100000 65536", (IdRange(165536, 65536),), None),
    ],
)
def test_roots_range(tmp_path: Path, own_map: str, granted: tuple[IdRange, ...], chosen: IdRange | None) -> None:
    path = write(tmp_path / "uid_map", own_map)
    assert identity._root_ranges(granted, granted, path) == (chosen, chosen)


def test_the_store_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labdock.db").touch()
    with pytest.raises(HostUnfit, match=f"belongs to uid {HERE}, not to you"):
        identity.decide_identity(HERE + 1, HERE + 1, tmp_path, ())


def test_only_what_the_engine_wrote_makes_a_store(tmp_path: Path) -> None:
    for name in ("lock", "engine.log"):
        (tmp_path / name).touch()
    assert identity._store_owner(tmp_path) is None
    assert identity._store_owner(tmp_path / "missing") is None
    (tmp_path / "content").mkdir()
    assert identity._store_owner(tmp_path) == HERE
    with pytest.raises(HostUnfit, match="is not a folder"):
        identity._store_owner(write(tmp_path / "file", ""))


@pytest.mark.sandbox
def test_what_another_id_cannot_reach_is_found_by_trying(tmp_path: Path) -> None:
    tmp_path = Path("/var/tmp") / tmp_path.name
    tmp_path.mkdir()
    try:
        tmp_path.chmod(0o755)
        readable, secret, closed = tmp_path / "readable", tmp_path / "secret", tmp_path / "closed"
        for path in (readable, secret):
            path.touch()
        readable.chmod(0o644)
        secret.chmod(0o600)
        closed.mkdir(mode=0o700)
        assert identity.find_unreachable(1234, 1234, (str(readable),), tmp_path) is None
        assert identity.find_unreachable(1234, 1234, (str(readable), str(secret)), tmp_path) == str(secret)
        assert identity.find_unreachable(1234, 1234, (str(readable),), closed) == str(closed)
        assert os.getuid() == 0, "the try was a fork's"
    finally:
        shutil.rmtree(tmp_path)
