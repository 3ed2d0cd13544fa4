"""The ``--flags`` of instructions: which exist, how often, with what values."""

from __future__ import annotations

from difflib import get_close_matches

from labdock.build.dockerfile.source import Word, refuse
from labdock.build.dockerfile.statements import Statement

#: By instruction: flag name → its kind: text, bool or list (may be repeated).
FLAGS: dict[str, dict[str, str]] = {
    "ADD": {
        "chown": "text",
        "chmod": "text",
        "link": "bool",
        "keep-git-dir": "bool",
        "checksum": "text",
        "unpack": "bool",
        "exclude": "list",
    },
    "COPY": {
        "chown": "text",
        "from": "text",
        "chmod": "text",
        "link": "bool",
        "exclude": "list",
        "parents": "bool",
    },
    "FROM": {"platform": "text"},
    "HEALTHCHECK": {
        "interval": "text",
        "timeout": "text",
        "start-period": "text",
        "start-interval": "text",
        "retries": "text",
    },
    "RUN": {"mount": "list", "network": "text", "security": "text", "device": "list"},
}


class Flags:
    """The checked flags of one statement. Raises DockerfileError for what it should not have."""

    def __init__(self, statement: Statement) -> None:
        self._found: dict[str, list[Word]] = {}
        known = FLAGS.get(statement.name, {})
        for flag in statement.flags:
            name, equals, value = flag.text.partition("=")
            kind = known.get(name[2:])
            if kind is None:
                near = get_close_matches(name[2:], known, 1)
                hint = f"did you mean --{near[0]}?" if near else None
                raise refuse(flag.range, f"unknown flag: {name}", hint=hint)
            if name[2:] in self._found and kind != "list":
                raise refuse(flag.range, f"duplicate flag specified: {name}")
            if kind == "bool":
                value = _read_bool(flag, name, equals, value)
            elif not equals:
                raise refuse(flag.range, f"missing a value on flag: {name}")
            self._found.setdefault(name[2:], []).append(Word(value, flag.range))

    def all(self, name: str) -> tuple[Word, ...]:
        return tuple(self._found.get(name, ()))

    def get(self, name: str) -> Word | None:
        """The flag's value; None when it was not given or is empty."""
        values = self._found.get(name)
        return values[0] if values and values[0].text else None

    def truth(self, name: str) -> bool | None:
        values = self._found.get(name)
        return values[0].text == "true" if values else None


def _read_bool(flag: Word, name: str, equals: str, value: str) -> str:
    if equals and not value:
        raise refuse(flag.range, f"missing a value on flag: {name}")
    lowered = value.lower() or "true"
    if lowered not in ("true", "false"):
        raise refuse(flag.range, f"expecting boolean value for flag {name}, not: {value}")
    return lowered
