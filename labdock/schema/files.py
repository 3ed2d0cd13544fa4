"""Files of containers on the wire: what ``X-Docker-Container-Path-Stat`` says (Engine API, ContainerArchiveInfo)."""

from __future__ import annotations

import base64
import stat
from datetime import UTC, datetime

import msgspec

#: Go's os.FileMode: the kinds and special bits, beside the nine permission bits.
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_SPECIAL = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
HEADER = "X-Docker-Container-Path-Stat"


class PathStat(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One path. ``mode`` as Go's os.FileMode; ``mtime`` RFC 3339; ``link_target``: where a link leads in the end."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = ""

    @property
    def is_folder(self) -> bool:
        return bool(self.mode & 1 << 31)

    @property
    def is_link(self) -> bool:
        return bool(self.mode & 1 << 27)

    def encode(self) -> str:
        """As the header has it: base64 of JSON."""
        return base64.b64encode(msgspec.json.encode(self)).decode()


def decode(header: str) -> PathStat:
    """The header's value. Raises ValueError."""
    return msgspec.json.decode(base64.b64decode(header), type=PathStat)


def show_mode(mode: int) -> int:
    """st_mode as Go's os.FileMode."""
    special = sum(bit for own, bit in _SPECIAL.items() if mode & own)
    return mode & 0o777 | _KINDS.get(stat.S_IFMT(mode), 0) | special


def show_time(ns: int) -> str:
    """RFC 3339, UTC, with as many decimals as are needed."""
    text = datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{ns % 10**9:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
