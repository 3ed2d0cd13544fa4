"""Who may use a registry: names and passwords, kept as scrypt's hashes. Pure but for the time scrypt takes.

An entry is ``NAME:PASSWORD``, or ``NAME:scrypt$N$R$P$SALT$HASH`` (salt and hash in hex) as :func:`seal` makes it. The
hashes of ``htpasswd -B`` are bcrypt's, which Python's library lacks; they are refused and not taken for passwords.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping

from labdock.errors import InvalidRequest

#: scrypt's cost: 16 MiB and some 50 ms a check (RFC 7914 gives this as the least for a login).
_N, _R, _P = 1 << 14, 8, 1
_SEALED = re.compile(r"scrypt\$([0-9]{1,8})\$([0-9]{1,3})\$([0-9]{1,3})\$([0-9a-f]{16,128})\$([0-9a-f]{64})")
_FOREIGN = re.compile(r"\$(?:2[aby]|apr1|5|6|y)\$.*|\{SHA\}.*")
_MOST_MEMORY = 64 << 20
_LONGEST = 1024
#: Logins that were checked and hold, remembered by a keyed hash so that each request needs no scrypt.
_REMEMBERED = 1024


def seal(entries: Iterable[str]) -> dict[str, str]:
    """Name → sealed password of *entries*. Raises InvalidRequest for one that is none, without showing a password."""
    found: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        name, colon, secret = entry.partition(":")
        if not colon or not name or not secret or len(entry) > _LONGEST:
            raise InvalidRequest(f"login {number} is not NAME:PASSWORD")
        if _FOREIGN.fullmatch(secret):
            raise InvalidRequest(
                f"the login of {name!r} holds a hash that can't be checked here",
                hint="give NAME:PASSWORD: it travels over the engine's own socket and is kept hashed (scrypt)",
            )
        match = _SEALED.fullmatch(secret)
        if match is None:
            secret = _hash(secret)
        elif not _affordable(int(match[1]), int(match[2]), int(match[3])):
            raise InvalidRequest(f"the login of {name!r} asks scrypt for more than {_MOST_MEMORY >> 20} MiB")
        found[name] = secret
    return found


def _affordable(n: int, r: int, p: int) -> bool:
    return n >= 2 and n & (n - 1) == 0 and r >= 1 and 1 <= p <= 16 and 128 * n * r <= _MOST_MEMORY // 2


def _hash(password: str) -> str:
    salt = os.urandom(16)
    found = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MOST_MEMORY, dklen=32)
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${found.hex()}"


def _holds(password: str, sealed: str) -> bool:
    match = _SEALED.fullmatch(sealed)
    assert match is not None
    n, r, p = int(match[1]), int(match[2]), int(match[3])
    salt = bytes.fromhex(match[4])
    found = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)
    return hmac.compare_digest(found.hex(), match[5])


def read_basic(header: str) -> tuple[str, str] | None:
    """Name and password of an ``Authorization: Basic`` *header*; None when it is none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic" or len(rest) > 2 * _LONGEST:
        return None
    try:
        name, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


class Accounts:
    """The logins of one registry; with none, everybody is let in."""

    def __init__(self, sealed: Mapping[str, str]) -> None:
        self._sealed = dict(sealed)
        self._key = os.urandom(32)
        self._good: dict[bytes, None] = {}
        # An unknown name takes as long as a wrong password.
        self._nobody = _hash("") if self._sealed else ""

    @property
    def open(self) -> bool:
        return not self._sealed

    def knows(self, header: str) -> bool:
        """Whether *header* held before: an answer at once."""
        return self._mark(header) in self._good

    def check(self, header: str) -> bool:
        """Whether *header* is a login of this registry. Blocks as long as scrypt does; for worker threads."""
        found = read_basic(header)
        if found is None:
            return False
        name, password = found
        if not _holds(password, self._sealed.get(name, self._nobody)) or name not in self._sealed:
            return False
        while len(self._good) >= _REMEMBERED:
            self._good.pop(next(iter(self._good)), None)
        self._good[self._mark(header)] = None
        return True

    def _mark(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode(errors="surrogateescape"), "sha256")
