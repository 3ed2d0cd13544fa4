"""``--chmod``: octal, or symbolic as chmod(1) takes it (``u=rwX,go=rX``). Pure."""

from __future__ import annotations

import re

_OCTAL = re.compile(r"[0-7]{1,5}\Z")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class Mode:
    """A change of permissions. Raises ValueError for what is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._fixed: int | None = None
        self._clauses: list[tuple[str, str, str]] = []
        if _OCTAL.match(text):
            self._fixed = int(text, 8)
            if self._fixed > 0o7777:
                raise ValueError(f"invalid chmod parameter: '{text}'. it should be between 0 and 07777")
            return
        for clause in text.split(","):
            found = _CLAUSE.match(clause)
            if found is None:
                raise ValueError(f"invalid chmod parameter: '{text}'. it should be like 755 or u=rwX")
            self._clauses += [(found[1] or "ugo", sign, what) for sign, what in _ACTION.findall(found[2])]

    def apply(self, mode: int, *, folder: bool) -> int:
        """*mode* (twelve bits) after the change."""
        if self._fixed is not None:
            return self._fixed
        for who, sign, what in self._clauses:
            classes = "ugo" if "a" in who else who
            bits = _wanted(classes, what, mode, folder)
            if sign == "-":
                mode &= ~bits
            elif sign == "+":
                mode |= bits
            else:
                cleared = sum(7 << _SHIFT[name] for name in classes)
                cleared |= (0o4000 if "u" in classes else 0) | (0o2000 if "g" in classes else 0)
                mode = mode & ~cleared | bits
        return mode


def _wanted(classes: str, what: str, mode: int, folder: bool) -> int:
    bits = 0
    for letter in what:
        for name in classes:
            if letter in _SHIFT:
                bits |= (mode >> _SHIFT[letter] & 7) << _SHIFT[name]
            elif letter in _BITS:
                bits |= _BITS[letter] << _SHIFT[name]
            elif letter == "X" and (folder or mode & 0o111):
                bits |= 1 << _SHIFT[name]
            elif letter == "s":
                bits |= {"u": 0o4000, "g": 0o2000}.get(name, 0)
        if letter == "t":
            bits |= 0o1000
    return bits
