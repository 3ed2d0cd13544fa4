"""What a registry's answers mean when they are not what was asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from labdock.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    LabdockError,
    NotFound,
    RateLimited,
    StorageFull,
    SystemFailure,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from labdock.registry.retry import Again, read_retry_after

#: Bytes of an error's body that are read, and characters of it that are shown.
LONGEST = 64 * 1024
_SHOWN = 300
#: Answers that may be another one a moment later (408 request timeout, 425 too early, 5xx).
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))

_KINDS: dict[int, type[LabdockError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Unsupported,
    409: Conflict,
    413: StorageFull,
    416: SystemFailure,
    507: StorageFull,
}


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Body(msgspec.Struct):
    errors: tuple[_Error, ...] = ()
    # Token servers (RFC 6749 §5.2, and what there is beside it).
    error: str = ""
    error_description: str = ""
    details: str = ""
    message: str = ""


def read_words(body: bytes) -> str:
    """What *body* says, as Docker shows it: ``denied: requested access to the resource is denied``."""
    try:
        said = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, RecursionError):
        text = body.decode(errors="replace").strip()
        return "" if text[:1] in "<{[" else _shorten(text)
    parts = []
    for error in said.errors[:5]:
        code = error.code.lower().replace("_", " ")
        parts.append(f"{code}: {error.message}" if code and error.message else code or error.message)
    words = said.error_description or said.details or said.message or said.error
    return _shorten("; ".join(filter(None, parts)) or words)


def _shorten(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN]).split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


def explain(where: str, status: int, headers: Mapping[str, str], body: bytes, now: float) -> LabdockError:
    """The error that an answer with *status* to *where* (``Get "https://…"``) is; *now* in seconds since the epoch."""
    words = read_words(body)
    if status == 429:
        return rate_limited(where, headers, words, now)
    kind = _KINDS.get(status, Unavailable if status >= 500 else SystemFailure)
    if words:
        return kind(words if status in (401, 403, 404) else f"{where}: {words} (status {status})")
    return kind(f"{where}: the registry answered with status {status}")


def passing(error: LabdockError, status: int, headers: Mapping[str, str], now: float) -> Exception:
    """*error*, wrapped in Again when its *status* may pass."""
    if status not in PASSING:
        return error
    after = read_retry_after(headers.get("Retry-After"), now)
    if status == 429 and after is None:
        after = getattr(error, "seconds", None)
        if after is None:
            return Again(error, most=3)
    return Again(error, after=after)


# -- rate limits


def rate_limited(where: str, headers: Mapping[str, str], words: str, now: float) -> RateLimited:
    """429 with the countdown that the headers allow, and what helps.

    ``Retry-After``, ``RateLimit-Reset`` (seconds), ``X-RateLimit-Reset`` (seconds, or since the epoch) and
    ``RateLimit-Limit`` with a window (Docker Hub: ``100;w=21600``).
    """
    seconds = read_retry_after(headers.get("Retry-After"), now)
    if seconds is None:
        reset = _number(headers.get("RateLimit-Reset") or headers.get("X-RateLimit-Reset"))
        if reset is not None:
            seconds = max(0.0, reset - now) if reset > 1e9 else reset
    limit, window = _read_limit(headers.get("RateLimit-Limit") or headers.get("X-RateLimit-Limit"))
    text = words or "toomanyrequests: too many requests"
    if limit is not None:
        text += f" ({limit} in {show(window)})" if window else f" (the limit is {limit})"
    if seconds is not None:
        at = time.strftime("%H:%M", time.localtime(now + seconds))
        text += f"; try again in {show(seconds)} (at {at})"
    elif window:
        text += f"; what was used comes back bit by bit, all of it within {show(window)}"
    return RateLimited(
        f"{where}: {text}",
        seconds=seconds,
        hint="`labdock login` raises the limit where the registry knows accounts; a mirror (LABDOCK_MIRRORS) or"
        " `labdock registry serve` on your network needs each image only once; images that are here already"
        " need no pull",
    )


def show(seconds: float) -> str:
    """*seconds* for people: ``45 s``, ``12 min``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = -(-whole // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min" if rest else f"{hours} h"


def _number(value: str | None) -> float | None:
    text = (value or "").partition(";")[0].strip()
    return float(text[:12]) if text.isascii() and text.isdigit() else None


def _read_limit(value: str | None) -> tuple[int | None, float]:
    """(100, 21600.0) of ``100;w=21600``."""
    number = _number(value)
    window = next((w for part in (value or "").split(";")[1:] if (w := _number(part.strip().removeprefix("w=")))), 0.0)
    return (int(number) if number is not None else None), window
