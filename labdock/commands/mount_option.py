"""``--mount``: a line of comma-separated values, as Docker's command line reads it (cli/opts/mount.go)."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from typing import Any

from labdock.commands import values
from labdock.errors import InvalidRequest
from labdock.schema.container import MountRequest

_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_FLAGS = frozenset({"readonly", "volume-nocopy", "bind-nonrecursive", "bind-create-src"})
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


def mount(text: str) -> MountRequest:
    """``type=bind,src=/data,dst=/data,readonly``. A source that begins with a dot becomes absolute."""
    request: dict[str, Any] = {"type": "volume"}
    options: dict[str, dict[str, Any]] = {"bind": {}, "volume": {}, "tmpfs": {}, "image": {}}
    for field in next(csv.reader([text], strict=True), []):
        name, given, value = field.partition("=")
        name = _ALIASES.get(name.strip().lower(), name.strip().lower())
        if not given and name not in _FLAGS:
            raise _refuse(text, f"invalid field '{field}' must be a key=value pair")
        if name == "type":
            request["type"] = value.lower()
        elif name in ("source", "target"):
            request[name] = value
        elif name == "readonly":
            request["read_only"] = _flag(text, name, value, bool(given))
        elif name == "consistency":
            continue
        elif name in _OPTIONS:
            kind, read = _OPTIONS[name]
            read(options[kind], value if given else "true", text)
        else:
            raise _refuse(text, f"unknown option '{name}' in '{field}'")
    kind = str(request["type"])
    if not request.get("target"):
        raise _refuse(text, "target is required", hint="add dst=/path")
    for other, found in options.items():
        if found and other != kind:
            raise _refuse(text, f"cannot mix '{other}-*' options with mount type '{kind}'")
    if kind == "bind" and str(request.get("source", "")).startswith((".", "~")):
        request["source"] = os.path.abspath(os.path.expanduser(str(request["source"])))
    if options["bind"].get("ReadOnlyForceRecursive") and not request.get("read_only"):
        raise _refuse(text, "option 'bind-recursive=readonly' requires 'readonly' to be specified")
    return MountRequest(
        **request,
        bind_options=options["bind"] or None,
        volume_options=options["volume"] or None,
        tmpfs_options=options["tmpfs"] or None,
        image_options=options["image"] or None,
    )


def _refuse(text: str, why: str, hint: str | None = None) -> InvalidRequest:
    return InvalidRequest(f'invalid argument "{text}" for "--mount" flag: {why}', hint=hint)


def _flag(text: str, name: str, value: str, given: bool) -> bool:
    if not given or value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise _refuse(text, f"invalid value for {name}: {value}")


def _set(key: str) -> Callable[[dict[str, Any], str, str], None]:
    def read(options: dict[str, Any], value: str, text: str) -> None:
        options[key] = value

    return read


def _set_flag(key: str, name: str) -> Callable[[dict[str, Any], str, str], None]:
    def read(options: dict[str, Any], value: str, text: str) -> None:
        options[key] = _flag(text, name, value, True)

    return read


def _set_pair(*keys: str) -> Callable[[dict[str, Any], str, str], None]:
    def read(options: dict[str, Any], value: str, text: str) -> None:
        for key in keys[:-1]:
            options = options.setdefault(key, {})
        name, _, rest = value.partition("=")
        options.setdefault(keys[-1], {})[name] = rest

    return read


def _set_driver(options: dict[str, Any], value: str, text: str) -> None:
    options.setdefault("DriverConfig", {})["Name"] = value


def _set_recursion(options: dict[str, Any], value: str, text: str) -> None:
    keys = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}
    if value in keys:
        options[keys[value]] = True
    elif value != "enabled":
        raise _refuse(
            text,
            f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")',
        )


def _set_size(options: dict[str, Any], value: str, text: str) -> None:
    options["SizeBytes"] = values.size(value)


def _set_mode(options: dict[str, Any], value: str, text: str) -> None:
    if not value or value.strip("01234567"):
        raise _refuse(text, f"invalid value for tmpfs-mode: {value}", hint="octal, such as 1777")
    options["Mode"] = int(value, 8)


_OPTIONS: dict[str, tuple[str, Callable[[dict[str, Any], str, str], None]]] = {
    "bind-propagation": ("bind", _set("Propagation")),
    "bind-nonrecursive": ("bind", _set_flag("NonRecursive", "bind-nonrecursive")),
    "bind-recursive": ("bind", _set_recursion),
    "bind-create-src": ("bind", _set_flag("CreateMountpoint", "bind-create-src")),
    "volume-nocopy": ("volume", _set_flag("NoCopy", "volume-nocopy")),
    "volume-subpath": ("volume", _set("Subpath")),
    "volume-label": ("volume", _set_pair("Labels")),
    "volume-driver": ("volume", _set_driver),
    "volume-opt": ("volume", _set_pair("DriverConfig", "Options")),
    "tmpfs-size": ("tmpfs", _set_size),
    "tmpfs-mode": ("tmpfs", _set_mode),
    "image-subpath": ("image", _set("Subpath")),
}
