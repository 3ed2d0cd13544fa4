"""Who "user[:group]" is, in root file systems that mean well and in some that do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.errors import InvalidRequest
from labdock.runtime import users
from labdock.runtime.users import User

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::/usr/sbin:/bin/false

alice:x:1000:1001:Alice:/home/alice:/bin/sh
1234:x:77:78::/odd:/bin/sh
broken:x:many:1::/:/bin/sh
short
"""
GROUP = """\
root:x:0:
daemon:x:1:
audio:x:29:alice,daemon
alice:x:1001:
video:x:44:alice
"""


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    folder = tmp_path / "rootfs"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text(PASSWD)
    (folder / "etc/group").write_text(GROUP)
    return folder


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (), "/root", "root")),
        ("root", User(0, 0, (), "/root", "root")),
        ("0", User(0, 0, (), "/root", "root")),
        ("alice", User(1000, 1001, (29, 44), "/home/alice", "alice")),
        ("1000", User(1000, 1001, (29, 44), "/home/alice", "alice")),
        ("alice:audio", User(1000, 29, (), "/home/alice", "alice")),
        ("alice:5000", User(1000, 5000, (), "/home/alice", "alice")),
        ("4321", User(4321, 0, (), "/", "")),
        ("4321:audio", User(4321, 29, (), "/", "")),
        ("1234", User(1234, 0, (), "/", "")),
        (":audio", User(0, 29, (), "/root", "root")),
        ("alice:", User(1000, 1001, (29, 44), "/home/alice", "alice")),
    ],
)
def test_resolve(rootfs: Path, text: str, user: User) -> None:
    assert users.resolve(rootfs, text) == user


def test_extra_groups(rootfs: Path) -> None:
    assert users.resolve(rootfs, "4321", ("audio", "9", "29")).groups == (9, 29)
    assert users.resolve(rootfs, "alice", ("alice",)).groups == (29, 44)


@pytest.mark.parametrize(
    ("text", "extra", "words"),
    [
        # The texts are Docker's; docker-py's and the CLI's tests look for them.
        ("bob", (), "unable to find user bob: no matching entries in passwd file"),
        ("broken", (), "unable to find user broken: no matching entries in passwd file"),
        ("alice:staff", (), "unable to find group staff: no matching entries in group file"),
        ("root", ("staff",), "unable to find group staff: no matching entries in group file"),
        ("2147483648", (), "uids and gids must be in range 0-2147483647"),
        ("-1", (), "uids and gids must be in range 0-2147483647"),
        ("0:99999999999999999999999999", (), "uids and gids must be in range 0-2147483647"),
    ],
)
def test_refused(rootfs: Path, text: str, extra: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        users.resolve(rootfs, text, extra)
    assert raised.value.message == words


def test_no_files(tmp_path: Path) -> None:
    assert users.resolve(tmp_path, "") == User(0, 0, (), "/", "")
    assert users.resolve(tmp_path, "5:6", ("7",)) == User(5, 6, (7,), "/", "")
    with pytest.raises(InvalidRequest, match="unable to find user root"):
        users.resolve(tmp_path, "root")


@pytest.mark.parametrize("link", ["/outside/passwd", "../../outside/passwd", "/../../../../../outside/passwd"])
def test_symlink_can_not_leave_the_root(rootfs: Path, link: str) -> None:
    outside = rootfs.parent / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("spy:x:1:1::/:/bin/sh\n")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to(link)
    with pytest.raises(InvalidRequest):
        users.resolve(rootfs, "spy")
    (rootfs / "outside").mkdir()
    (rootfs / "outside/passwd").write_text("own:x:5:5::/:/bin/sh\n")
    assert users.resolve(rootfs, "own").uid == 5


def test_folder_link_can_not_leave_the_root(rootfs: Path) -> None:
    outside = rootfs.parent / "etc"
    outside.mkdir()
    (outside / "passwd").write_text("spy:x:1:1::/:/bin/sh\n")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/group").unlink()
    (rootfs / "etc").rmdir()
    (rootfs / "etc").symlink_to(outside)
    with pytest.raises(InvalidRequest):
        users.resolve(rootfs, "spy")


def test_what_is_no_plain_file_is_not_read(rootfs: Path) -> None:
    (rootfs / "etc/passwd").unlink()
    os.mkfifo(rootfs / "etc/passwd")
    (rootfs / "etc/group").unlink()
    (rootfs / "etc/group").mkdir()
    assert users.resolve(rootfs, "3") == User(3, 0, (), "/", "")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to("passwd")
    assert users.resolve(rootfs, "3") == User(3, 0, (), "/", "")


def test_endless_file_is_read_to_a_bound(rootfs: Path) -> None:
    with open(rootfs / "etc/passwd", "wb") as file:
        file.write(b"first:x:8:8::/:/bin/sh\n")
        file.truncate(1 << 40)
    assert users.resolve(rootfs, "first").uid == 8


@given(content=st.binary(max_size=300), text=st.text(max_size=20))
def test_any_bytes_give_a_user_or_a_clear_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    (folder / "etc").mkdir(parents=True, exist_ok=True)
    for name in ("passwd", "group"):
        (folder / "etc" / name).write_bytes(content)
    try:
        user = users.resolve(folder, text)
    except InvalidRequest:
        return
    assert 0 <= user.uid < 2**31
    assert 0 <= user.gid < 2**31
