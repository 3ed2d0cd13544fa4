"""Tar headers: ustar with PAX records, GNU long names read as well. Pure: bytes in, values out.

POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header"; GNU tar manual, "Basic Tar Format" (base-256 numbers).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from labdock.errors import Corrupt

BLOCK = 512
FILE, LINK, SYMLINK, CHAR, BLOCKDEV, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
CONTIGUOUS, PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK, GNU_SPARSE = b"7", b"x", b"g", b"L", b"K", b"S"

XATTR = b"SCHILY.xattr."
_LAYOUT = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
#: The same with the numbers beside each other in one.
_JOINED = struct.Struct("100s48s8s1s100s8s32s32s16s155s12x")
_NO_DEVICE = b"0000000\0" * 2
_PAX_NUMBERS = b"0000644\x00" + _NO_DEVICE + b"%011o\x0000000000000\x00"
_MAGIC = b"ustar\x0000"
_MAX_OCTAL_7 = 0o7777777
_MAX_OCTAL_11 = 0o77777777777
_SPACES = b" " * 8


@dataclass(slots=True)
class Entry:
    """One member. ``type`` as in the header; ``mode`` the low twelve bits; ``link`` the target of (sym)links."""

    name: bytes
    type: bytes = FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


def encode(entry: Entry) -> bytes:
    """*entry*'s header block, after a PAX header where ustar does not hold it all. The same entry, the same bytes."""
    records: dict[bytes, bytes] = {}
    name, prefix = entry.name, b""
    if len(name) > 100:
        name, prefix = _split(name)
        if not name:
            records[b"path"], name = entry.name, entry.name[:100]
    link = entry.link
    if len(link) > 100:
        records[b"linkpath"], link = link, link[:100]
    seconds, nanoseconds = divmod(entry.mtime_ns, 10**9)
    if nanoseconds or not 0 <= seconds <= _MAX_OCTAL_11:
        records[b"mtime"] = _format_time(entry.mtime_ns)
        seconds = min(max(seconds, 0), _MAX_OCTAL_11)
    uid, gid, size = entry.uid, entry.gid, entry.size
    if uid > _MAX_OCTAL_7:
        records[b"uid"], uid = b"%d" % uid, 0
    if gid > _MAX_OCTAL_7:
        records[b"gid"], gid = b"%d" % gid, 0
    if size > _MAX_OCTAL_11:
        records[b"size"], size = b"%d" % size, 0
    for key, data in entry.xattrs.items():
        records[XATTR + key] = data
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode, uid, gid, size, seconds)
    device = b"%07o\0%07o\0" % (entry.major, entry.minor) if entry.major or entry.minor else _NO_DEVICE
    block = _block(name, numbers, entry.type, link, device, prefix)
    if not records:
        return block
    body = b"".join([_record(key, records[key]) for key in sorted(records)])
    title = (b"PaxHeaders.0/" + entry.name.rstrip(b"/").rpartition(b"/")[2])[:100]
    block_before = _block(title, _PAX_NUMBERS % len(body), PAX, b"", _NO_DEVICE, b"")
    return b"%b%b%b%b" % (block_before, body, bytes(-len(body) % BLOCK), block)


def _block(name: bytes, numbers: bytes, type: bytes, link: bytes, device: bytes, prefix: bytes) -> bytes:
    """*numbers*: mode, uid, gid, size and mtime as the block has them; *device*: major and minor."""
    block = _JOINED.pack(name, numbers, _SPACES, type, link, _MAGIC, b"", b"", device, prefix)
    # Zeros add nothing, and are most of it.
    return b"%b%06o\0 %b" % (block[:148], sum(block.translate(None, b"\0")), block[156:])


def _split(name: bytes) -> tuple[bytes, bytes]:
    """*name* as ustar's (name, prefix); ("", "") when it does not fit."""
    if len(name) <= 100:
        return name, b""
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut > 0 and len(name) - cut - 1 <= 100:
        return name[cut + 1 :], name[:cut]
    return b"", b""


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``, where the length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _format_time(time_ns: int) -> bytes:
    sign, time_ns = (b"-", -time_ns) if time_ns < 0 else (b"", time_ns)
    seconds, nanoseconds = divmod(time_ns, 10**9)
    if not nanoseconds:
        return b"%b%d" % (sign, seconds)
    return b"%b%d.%b" % (sign, seconds, (b"%09d" % nanoseconds).rstrip(b"0"))


def decode(block: bytes) -> Entry:
    """The entry of one header block, its PAX records not applied. Raises Corrupt."""
    name, mode, uid, gid, size, mtime, total, type, link, magic, _, _, major, minor, prefix = _LAYOUT.unpack(block)
    stored = parse_number(total)
    if stored != sum(block) - sum(total) + 256:
        raise Corrupt("a tar header's checksum does not hold: this is no tar, or it is damaged")
    name = name.partition(b"\0")[0]
    if prefix[0] and magic == _MAGIC:
        name = prefix.partition(b"\0")[0] + b"/" + name
    if type in (b"\0", CONTIGUOUS):
        type = FILE
    device = type in (CHAR, BLOCKDEV)
    return Entry(
        name,
        type,
        parse_number(mode) & 0o7777,
        parse_number(uid),
        parse_number(gid),
        # quirk: links, folders and devices may carry a size in old archives; no data follows (as in Go's archive/tar).
        0 if type in (LINK, SYMLINK, CHAR, BLOCKDEV, FOLDER, FIFO) else parse_number(size),
        parse_number(mtime, negative=True) * 10**9,
        link.partition(b"\0")[0],
        parse_number(major) if device else 0,
        parse_number(minor) if device else 0,
    )


def parse_number(text: bytes, *, negative: bool = False) -> int:
    """A number of a header: octal digits, or base-256. Raises Corrupt."""
    if text[0] & 0x80:
        # Base-256: the top bit marks it; 0xff begins a negative number in two's complement.
        value = int.from_bytes(text, "big", signed=True) if text[0] == 0xFF else int.from_bytes(text, "big")
        value -= 0 if text[0] == 0xFF else 0x80 << (8 * (len(text) - 1))
    else:
        digits = text.partition(b"\0")[0].strip(b" ")
        try:
            value = int(digits, 8) if digits else 0
        except ValueError:
            raise Corrupt(f"a tar header has {digits[:20]!r} where an octal number belongs") from None
    if (value < 0 and not negative) or abs(value) >= 1 << 63:
        raise Corrupt(f"a tar header has the number {value}")
    return value


def decode_records(body: bytes) -> dict[bytes, bytes]:
    """The records of a PAX header's body. Raises Corrupt."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 20)
        digits = body[position:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        record = body[space + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if length < 5 or position + length > len(body) or not equals or not key or record[-1:] != b"\n":
            raise Corrupt("a PAX header of the tar does not parse")
        value = value[:-1]
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            # The only records that come more than once: together they are the map of a later format.
            before = records.get(b"GNU.sparse.map")
            key, value = b"GNU.sparse.map", value if before is None else before + b"," + value
        records[key] = value
        position += length
    return records


def apply_records(entry: Entry, records: Mapping[bytes, bytes]) -> None:
    """Let PAX *records* overrule what the ustar header said, and settle what the two mean. Raises Corrupt."""
    for key, value in records.items():
        if key.startswith(XATTR):
            entry.xattrs[key[len(XATTR) :]] = value
        elif key == b"path" and value:
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"mtime":
            entry.mtime_ns = _parse_time(value)
        elif key in (b"uid", b"gid", b"size"):
            if not value.isdigit() or len(value) > 19:
                raise Corrupt(f"a PAX header of the tar has {key.decode()}={value[:30]!r}")
            if key == b"uid":
                entry.uid = int(value)
            elif key == b"gid":
                entry.gid = int(value)
            elif entry.type == FILE:
                entry.size = int(value)
    # The path of a sparse file is that of a place beside it.
    entry.name = records.get(b"GNU.sparse.name") or entry.name
    if entry.type == FILE and entry.name.endswith(b"/"):
        # quirk: before ustar a folder was a regular file whose name ends in "/". (The name of a header that a long
        # name goes before is cut at 100 bytes, and may end in one too.)
        entry.type = FOLDER


def _parse_time(value: bytes) -> int:
    text = value.removeprefix(b"-")
    seconds, _, fraction = text.partition(b".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()) or len(seconds) > 18:
        raise Corrupt(f"a PAX header of the tar has mtime={value[:30]!r}")
    time_ns = int(seconds) * 10**9 + int(fraction[:9].ljust(9, b"0") or b"0")
    return -time_ns if value.startswith(b"-") else time_ns
