"""The parser: golden trees with their ranges, and what errors say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.build.dockerfile import parse, parse_trigger
from labdock.build.dockerfile.durations import parse_duration
from labdock.errors import DockerfileError

_FROM = "write FROM image, or FROM image AS name"
_STAGE = 'invalid name for build stage: "1x", name can\'t start with a number or contain symbols'
_SHELL = 'for example: SHELL ["/bin/bash", "-c"]'
_TIMES = "write durations like 30s, 1m30s or 500ms"
GOLDEN = Path(__file__).parents[2] / "golden" / "dockerfile"


def render(source: bytes) -> dict[str, Any]:
    """The tree or the error, as plain values."""
    try:
        found = parse(source)
    except DockerfileError as error:
        where = [error.line, error.column, error.end_line, error.end_column]
        return {"error": error.message, "hint": error.hint, "range": where}
    value: dict[str, Any] = json.loads(msgspec.json.encode(_flatten(msgspec.to_builtins(found))))
    return value


def _flatten(value: Any) -> Any:
    """Ranges as ``line:column-line:column``, words as [text, range]: a golden that can be read."""
    if isinstance(value, dict):
        if set(value) == {"line", "column", "end_line", "end_column"}:
            return "{line}:{column}-{end_line}:{end_column}".format(**value)
        if set(value) == {"text", "range"}:
            return [value["text"], _flatten(value["range"])]
        return {key: _flatten(item) for key, item in value.items() if item not in (None, [], (), "", False)}
    return [_flatten(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("case", sorted(path.name for path in GOLDEN.iterdir()))
def test_golden(case: str) -> None:
    folder = GOLDEN / case
    found = render((folder / "Dockerfile").read_bytes())
    if os.environ.get("LABDOCK_WRITE_GOLDEN"):
        (folder / "expected.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize(
    ("text", "message", "hint", "where"),
    [
        ("", "the Dockerfile cannot be empty", "start with FROM, for example: FROM busybox", (1, 0, 0)),
        ("# c\n\n", "file with no instructions", "start with FROM, for example: FROM busybox", (2, 0, 0)),
        ("ARG a\n", "dockerfile contains no stages to build", "add a FROM line", (1, 0, 5)),
        ("RUN x", "no build stage in current context", "RUN comes before the first FROM; only ARG may", (1, 0, 3)),
        ("FROM a b", "FROM requires either one or three arguments", _FROM, (1, 0, 8)),
        ("FROM a AS 1x", _STAGE, None, (1, 10, 12)),
        ("FROM a\nfrm b", "unknown instruction: frm", "did you mean FROM?", (2, 0, 3)),
        ("FROM a\nCOPY --form=b c d", "unknown flag: --form", "did you mean --from?", (2, 5, 13)),
        ("FROM a\nCOPY --link --link c d", "duplicate flag specified: --link", None, (2, 12, 18)),
        ("FROM a\nCOPY --link=x c d", "expecting boolean value for flag --link, not: x", None, (2, 5, 13)),
        ("FROM a\nCOPY --from c d", "missing a value on flag: --from", None, (2, 5, 11)),
        ("FROM a\nENV x", "ENV must have two arguments", None, (2, 4, 5)),
        ("FROM a\nENV a=b c", 'Syntax error - can\'t find = in "c". Must be of the form: name=value', None, (2, 8, 9)),
        ("FROM a\nENV =b", "ENV names can not be blank", None, (2, 4, 6)),
        ("FROM a\nUSER", "USER requires exactly one argument", None, (2, 0, 4)),
        ("FROM a\nCOPY a <<E\nE\n", "COPY cannot accept a heredoc as a destination", None, (2, 7, 10)),
        ("FROM a\nSHELL x", 'SHELL requires the arguments to be in JSON form in "SHELL x"', _SHELL, (2, 0, 7)),
        ("FROM a\nHEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)', None, (2, 12, 15)),
        ("FROM a\nHEALTHCHECK --interval=1x CMD a", 'time: invalid duration "1x"', _TIMES, (2, 12, 25)),
        ("FROM a\nONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", None, (2, 8, 21)),
        ("FROM a\nONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger", None, (2, 8, 14)),
        ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\", None, (1, 0, 10)),
        ("# escape=`\n# ESCAPE=`\nFROM a", "only one escape parser directive can be used", None, (2, 0, 10)),
        ("FROM a\nRUN " + "x" * 65535, "dockerfile line greater than max allowed size of 65535", None, (2, 0, 65539)),
        ("FROM a\nRUN \0", "the text holds a NUL character", None, (2, 4, 5)),
    ],
)  # fmt: skip
def test_errors(text: str, message: str, hint: str | None, where: tuple[int, int, int]) -> None:
    with pytest.raises(DockerfileError) as raised:
        parse(text)
    error = raised.value
    assert (error.message, error.hint) == (f"dockerfile parse error on line {error.line}: {message}", hint)
    assert (error.line, error.column, error.end_column) == where


def test_triggers() -> None:
    assert parse_trigger("RUN <<E\nx\nE").text == "RUN <<E"
    with pytest.raises(DockerfileError, match="FROM isn't allowed"):
        parse_trigger("FROM x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1s", 10**9), ("1h2m3.5s", 3723_500_000_000), ("100ms", 10**8), ("1.5us", 1500), ("-1s", -(10**9))],
)
def test_durations(text: str, expected: int) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "--1s", "1e3s", "9999999h"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="time: invalid duration"):
        parse_duration(text)
