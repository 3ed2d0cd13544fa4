"""Turning an engine's error answers into labdock's errors again, words and hint kept."""

from __future__ import annotations

import re

import msgspec

from labdock import errors
from labdock.errors import LabdockError

_BY_STATUS: dict[int, type[LabdockError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    429: errors.RateLimited,
    500: errors.SystemFailure,
    501: errors.Unsupported,
    503: errors.Unavailable,
}
#: A 404 says in its words what was not found (docker-py chooses its exceptions the same way).
_MISSING: tuple[tuple[str, type[LabdockError]], ...] = (
    ("no such container", errors.NoSuchContainer),
    ("no such image", errors.NoSuchImage),
    ("no such exec instance", errors.NoSuchExec),
    ("no such volume", errors.NoSuchVolume),
)
_MISSING_NETWORK = re.compile(r"network \S.* not found", re.IGNORECASE)

#: Docker's own way to say where: engines that send no range have it in their words.
_DOCKERFILE_LINE = re.compile(r"dockerfile parse error on line (\d{1,9})\b", re.IGNORECASE)


class _Words(msgspec.Struct):
    """``line`` and the rest: where in a Dockerfile, as in errors.DockerfileError."""

    message: str = ""
    hint: str | None = None
    line: int = 0
    end_line: int = 0
    column: int = -1
    end_column: int = -1


def _kind(status: int, message: str) -> type[LabdockError]:
    if status == 404:
        lower = message.lower()
        for words, kind in _MISSING:
            if words in lower:
                return kind
        if _MISSING_NETWORK.match(message):
            return errors.NoSuchNetwork
    return _BY_STATUS.get(status, errors.InvalidRequest if 400 <= status < 500 else LabdockError)


def restore(status: int, body: bytes) -> LabdockError:
    """The error that an answer with *status* (>= 400) and *body* means; never raises."""
    try:
        words = msgspec.json.decode(body, type=_Words)
    except msgspec.MsgspecError:
        words = _Words(body.decode("utf-8", "replace").strip())
    message = words.message or f"the engine answered {status} and said nothing more"
    if status == 400 and not words.line and (found := _DOCKERFILE_LINE.match(message)):
        words.line = int(found[1])
    if status == 400 and words.line:
        return errors.DockerfileError(
            message,
            line=words.line,
            end_line=words.end_line,
            column=words.column,
            end_column=words.end_column,
            hint=words.hint,
        )
    kind = _kind(status, message)
    if kind is errors.RateLimited:
        return errors.RateLimited(message, hint=words.hint)
    error = kind.__new__(kind)  # the named kinds build their words from a name; these words are ready
    LabdockError.__init__(error, message, hint=words.hint)
    return error
