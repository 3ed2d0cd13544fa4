"""Detach keys: recognising the sequence that lets go of a terminal, in bytes that arrive in any pieces. Pure."""

from __future__ import annotations

from labdock.errors import InvalidRequest

DEFAULT = "ctrl-p,ctrl-q"
_CONTROLS = {**{chr(ord("a") + i): i + 1 for i in range(26)}, "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` or ``a,b`` as the bytes a terminal sends; "" means :data:`DEFAULT`.

    (moby's pkg/term.ToBytes: a key is ``ctrl-`` with a letter or one of ``@[\\]^_``, or one character.)
    """
    keys = bytearray()
    for part in (text or DEFAULT).split(","):
        control = part.lower().removeprefix("ctrl-") if len(part) > 1 else ""
        if len(part) == 1 and part.isascii():
            keys.append(ord(part))
        elif part.lower().startswith("ctrl-") and control in _CONTROLS:
            keys.append(_CONTROLS[control])
        else:
            raise InvalidRequest(
                f"Invalid detach keys ({text}) provided", hint="use letters or ctrl-LETTER, joined by commas"
            )
    return bytes(keys)


class DetachMatcher:
    """Watches stdin for *keys*. A begun sequence is held back until it is decided."""

    __slots__ = ("_held", "_keys")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0  # how many of the keys' first bytes are held back

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the process, and whether the sequence was completed (bytes after it are dropped)."""
        keys, held = self._keys, self._held
        if held == 0 and keys[0] not in data:
            return data, False
        passed = bytearray()
        for byte in data:
            candidate = keys[:held] + bytes((byte,))
            while not keys.startswith(candidate):
                passed.append(candidate[0])
                candidate = candidate[1:]
            held = len(candidate)
            if held == len(keys):
                self._held = 0
                return bytes(passed), True
        self._held = held
        return bytes(passed), False

    def flush(self) -> bytes:
        """What is held back, when no more will come."""
        held, self._held = self._keys[: self._held], 0
        return held
