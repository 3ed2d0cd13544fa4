"""``--log-driver`` and ``--log-opt``: checked in Docker's words, and what they mean here. Pure.

``json-file`` and ``local`` are the same file here (the monitor's), with the limits and the details that each has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from labdock.engine.records import ContainerRecord
from labdock.errors import InvalidRequest
from labdock.schema.container import LogConfig
from labdock.schema.ids import short_id

DRIVERS = frozenset({"", "json-file", "local", "none"})
_COMMON = frozenset({"mode", "max-buffer-size"})
_KNOWN = {
    "json-file": _COMMON | {"max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag"},
    "local": _COMMON | {"max-file", "max-size", "compress"},
    "none": _COMMON,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?([kmgtp]?)(?:i?b)?\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
#: moby: daemon/logger/local, defaultMaxFileSize and defaultMaxFileCount.
_LOCAL_SIZE, _LOCAL_FILES = 20 << 20, 5
_TAG = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Limits:
    """A log is rotated at *size* bytes; *files* are kept, the current one among them."""

    size: int
    files: int


def check(log: LogConfig | None) -> None:
    """Refuse what is not known. Raises InvalidRequest."""
    driver, options = _read(log)
    if driver not in DRIVERS:
        raise InvalidRequest(
            f"logger: no log driver named '{driver}' is registered", hint="use json-file, local or none"
        )
    driver = driver or "json-file"
    for name in sorted(options):
        if name not in _KNOWN[driver]:
            raise InvalidRequest(f"unknown log opt '{name}' for {driver} log driver")
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidRequest(f"logger: invalid logging mode: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidRequest("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        _size("max-buffer-size", options["max-buffer-size"])
    limits = find_limits(log)
    if options.get("compress", "") not in ("", "0", "1", "t", "f", "T", "F", "true", "false", "True", "False"):
        raise InvalidRequest(f'failed to parse compress: invalid value "{options["compress"]}"')
    if driver == "json-file" and options.get("compress", "0")[:1] in "1tT" and (limits is None or limits.files == 1):
        raise InvalidRequest("compress cannot be true when max-file is less than 2 or max-size is not set")
    for name in ("labels-regex", "env-regex"):
        try:
            re.compile(options.get(name, ""))
        except re.error as error:
            raise InvalidRequest(f"log opt {name}: {error}") from error


def find_limits(log: LogConfig | None) -> Limits | None:
    """How large the log may become; None: as large as it likes. Raises InvalidRequest."""
    driver, options = _read(log)
    if driver == "none":
        return None
    text, count = options.get("max-size", ""), options.get("max-file", "")
    if count and (not count.isascii() or not count.isdigit()):
        raise InvalidRequest(f'max-file: "{count}" is no number')
    if count and int(count) < 1:
        raise InvalidRequest("max-file cannot be less than 1")
    files = min(int(count), 1000) if count else 1
    if driver == "local":
        return Limits(_size("max-size", text) if text else _LOCAL_SIZE, files if count else _LOCAL_FILES)
    if not text or text == "-1":
        return None
    return Limits(_size("max-size", text), files)


def find_details(record: ContainerRecord) -> str:
    """What ``details`` puts before each line: the labels and variables that the options name, and the tag."""
    driver, options = _read(record.host.log_config)
    if driver not in ("", "json-file"):
        return ""
    found: dict[str, str] = {}
    env = dict(entry.partition("=")[::2] for entry in record.env)
    for kind, values in (("labels", record.config.labels or {}), ("env", env)):
        found |= _choose(values, options.get(kind, ""), options.get(f"{kind}-regex", ""))
    if tag := options.get("tag", ""):
        found["tag"] = _TAG.sub(lambda match: _facts(record).get(match[1], match[0]), tag)
    return ",".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(found.items()))


def _choose(values: Mapping[str, str], names: str, pattern: str) -> dict[str, str]:
    wanted = {name.strip() for name in names.split(",")}
    fits = re.compile(pattern).search if pattern else lambda name: None
    return {name: value for name, value in values.items() if name in wanted or fits(name)}


def _facts(record: ContainerRecord) -> dict[str, str]:
    return {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": record.name,
        "ImageID": short_id(record.image_id),
        "ImageFullID": record.image_id,
        "ImageName": record.image,
        "DaemonName": "labdock",
    }


def _read(log: LogConfig | None) -> tuple[str, dict[str, str]]:
    return ((log.type or "") if log else ""), dict((log.config if log else None) or {})


def _size(name: str, text: str) -> int:
    match = _SIZE.match(text.strip())
    size = int(float(match[1]) * 1024 ** _POWERS[match[2].lower()]) if match else 0
    if size <= 0:
        raise InvalidRequest(f'{name}: invalid size: "{text}"', hint="such as 10m")
    return size
