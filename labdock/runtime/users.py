"""Who a container's process is: "user[:group]" looked up in the image's own /etc/passwd and /etc/group.

The files are the image's, so they are hostile: they are opened beneath the root file system whatever
symlinks they are, must be plain files, and are read to a bound. The rules are those of Docker
(moby/sys/user, GetExecUser), as are the texts of the errors.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labdock.errors import InvalidRequest
from labdock.sys import beneath

#: More than a million accounts; a file that is longer is not read to its end.
_FILE_LIMIT = 16 << 20
_ID_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class User:
    """Numbers for the kernel. ``groups`` are the further ones, ascending; ``home`` is "/" when nobody said."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(rootfs: Path, user: str, extra_groups: Iterable[str] = ()) -> User:
    """The user that *user* ("", name, uid, name:group, uid:gid, …) means in *rootfs*, which is mounted.

    *extra_groups* are names or numbers (``--group-add``). Raises InvalidRequest, with Docker's words, for
    a name that is not in the files and a number that is out of range.
    """
    wanted_user, _, wanted_group = user.partition(":")
    folder = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        accounts = list(_accounts(_read(folder, "etc/passwd")))
        groups = list(_groups(_read(folder, "etc/group")))
    finally:
        os.close(folder)
    account = _find_account(accounts, wanted_user)
    gid, further = _find_groups(groups, account, wanted_group)
    further |= {_group_id(groups, name) for name in extra_groups}
    return User(account.uid, gid, tuple(sorted(further - {gid})), account.home or "/", account.name)


def _find_account(accounts: Iterable[_Account], wanted: str) -> _Account:
    number = _number(wanted) if wanted else 0
    for account in accounts:
        if account.uid == number if number is not None else account.name == wanted:
            return account
    if number is None:
        raise InvalidRequest(
            f"unable to find user {wanted}: no matching entries in passwd file",
            hint="a numeric user id needs no entry",
        )
    return _Account("", number, 0, "")


def _find_groups(groups: list[_Group], account: _Account, wanted: str) -> tuple[int, set[int]]:
    if wanted:
        return _group_id(groups, wanted), set()
    if not account.name:
        return account.gid, set()
    return account.gid, {group.gid for group in groups if account.name in group.members}


def _group_id(groups: list[_Group], wanted: str) -> int:
    number = _number(wanted)
    if number is not None:
        return number
    for group in groups:
        if group.name == wanted:
            return group.gid
    raise InvalidRequest(
        f"unable to find group {wanted}: no matching entries in group file",
        hint="a numeric group id needs no entry",
    )


def _number(text: str) -> int | None:
    """*text* as an id, None when it is a name. Raises InvalidRequest out of range."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    value = int(text) if len(digits) < 20 else _ID_LIMIT + 1
    if not 0 <= value <= _ID_LIMIT:
        raise InvalidRequest(f"uids and gids must be in range 0-{_ID_LIMIT}")
    return value


def _read(folder: int, path: str) -> Iterator[list[str]]:
    """The lines of *path* beneath *folder*, split at colons; none when it can't be read as a plain file."""
    try:
        fd = beneath.open_beneath(folder, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return
    with os.fdopen(fd, "rb") as file:
        text = file.read(_FILE_LIMIT).decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            yield line.split(":")


def _accounts(lines: Iterable[list[str]]) -> Iterator[_Account]:
    for fields in lines:
        padded = [*fields, *([""] * 6)]
        uid, gid = _id(padded[2]), _id(padded[3])
        if uid is not None and gid is not None:
            yield _Account(padded[0], uid, gid, padded[5])


def _groups(lines: Iterable[list[str]]) -> Iterator[_Group]:
    for fields in lines:
        padded = [*fields, *([""] * 4)]
        gid = _id(padded[2])
        if gid is not None:
            yield _Group(padded[0], gid, tuple(padded[3].split(",")))


def _id(text: str) -> int | None:
    """An id in a file: a bad one is no reason to fail, its line is passed over."""
    if text.isascii() and text.isdecimal() and len(text) < 11 and int(text) <= _ID_LIMIT:
        return int(text)
    return None
