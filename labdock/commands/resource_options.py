"""The rarer options of ``run`` and ``create``: devices, rates, reservations, security. Loaded when one is given."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from labdock.commands import values
from labdock.errors import InvalidRequest
from labdock.schema.container import DeviceRate

#: Options that HostConfig has under a name like theirs: option → field.
_PLAIN = {
    "blkio_weight": "blkio_weight",
    "cgroup_parent": "cgroup_parent",
    "cpu_rt_period": "cpu_realtime_period",
    "cpu_rt_runtime": "cpu_realtime_runtime",
    "cpuset_mems": "cpuset_mems",
    "device_cgroup_rule": "device_cgroup_rules",
    "isolation": "isolation",
    "memory_swappiness": "memory_swappiness",
    "oom_kill_disable": "oom_kill_disable",
    "runtime": "runtime",
}
_RATES = {
    "device_read_bps": "blkio_device_read_bps",
    "device_write_bps": "blkio_device_write_bps",
    "device_read_iops": "blkio_device_read_i_ops",
    "device_write_iops": "blkio_device_write_i_ops",
}
#: Those of HostConfig's members that this module makes from options.
OPTIONS = (
    *_PLAIN,
    *_RATES,
    "blkio_weight_device",
    "gpus",
    "memory_reservation",
    "security_opt",
    "storage_opt",
)


def resources(options: dict[str, Any]) -> dict[str, Any]:
    """HostConfig's members for the options of this module that were given. Raises InvalidRequest."""
    found: dict[str, Any] = {field: options[name] for name, field in _PLAIN.items() if options[name]}
    if options["memory_swappiness"] == 0:
        found["memory_swappiness"] = 0
    for name, field in _RATES.items():
        if options[name]:
            found[field] = tuple(rate(text, in_bytes=name.endswith("bps")) for text in options[name])
    if options["blkio_weight_device"]:
        found["blkio_weight_device"] = tuple(map(weight, options["blkio_weight_device"]))
    if options["memory_reservation"]:
        found["memory_reservation"] = values.size(options["memory_reservation"])
    if options["storage_opt"]:
        found["storage_opt"] = values.key_values(options["storage_opt"])
    if options["gpus"]:
        found["device_requests"] = (gpus(options["gpus"]),)
    if options["security_opt"]:
        found |= security(options["security_opt"])
    return found


def rate(text: str, *, in_bytes: bool) -> DeviceRate:
    """``/dev/sda:1mb`` (*in_bytes*) or ``/dev/sda:1000``."""
    path, colon, amount = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise InvalidRequest(f"bad format for device path: {text}", hint="write /dev/NAME:RATE")
    if not in_bytes and not amount.isdecimal():
        raise InvalidRequest(f"invalid rate for device: {text}. The correct format is <device-path>:<number>")
    return DeviceRate(path=path, rate=values.size(amount) if in_bytes else int(amount))


def weight(text: str) -> dict[str, object]:
    """``/dev/sda:200``."""
    path, _, amount = text.rpartition(":")
    if not path.startswith("/dev/"):
        raise InvalidRequest(f"bad format for device path: {text}", hint="write /dev/NAME:WEIGHT")
    if not amount.isdecimal() or not (int(amount) == 0 or 10 <= int(amount) <= 1000):
        raise InvalidRequest(f"invalid weight for device: {text}", hint="0, or 10 to 1000")
    return {"Path": path, "Weight": int(amount)}


def gpus(text: str) -> dict[str, object]:
    """``all``, a count, or ``device=0,1``, as a request for devices."""
    if text == "all" or text.isdecimal():
        return {"Driver": "", "Count": -1 if text == "all" else int(text), "Capabilities": [["gpu"]]}
    name, _, rest = text.partition("=")
    if name != "device" or not rest:
        raise InvalidRequest(f"invalid argument {text!r} for --gpus", hint="all, a number, or device=NAME")
    return {"Driver": "", "Count": 0, "DeviceIDs": rest.split(","), "Capabilities": [["gpu"]]}


def security(options: Iterable[str]) -> dict[str, Any]:
    """``--security-opt``: a seccomp profile is read here, ``systempaths=unconfined`` is two lists of paths."""
    kept: list[str] = []
    found: dict[str, Any] = {}
    for option in options:
        key, sign, value = option.partition("=" if "=" in option else ":")
        if not sign and key != "no-new-privileges":
            raise InvalidRequest(f'invalid --security-opt: "{option}"', hint="write NAME=VALUE")
        if option == "systempaths=unconfined":
            found |= {"masked_paths": (), "readonly_paths": ()}
        elif key == "seccomp" and value not in ("unconfined", "builtin"):
            kept.append(f"seccomp={_read_profile(value)}")
        else:
            kept.append(option)
    return found | {"security_opt": tuple(kept) or None}


def _read_profile(path: str) -> str:
    import msgspec

    try:
        with open(os.path.expanduser(path), "rb") as source:
            profile = msgspec.json.decode(source.read())
    except OSError as error:
        raise InvalidRequest(f"opening seccomp profile ({path}) failed: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"compacting json for seccomp profile ({path}) failed: {error}") from error
    return msgspec.json.encode(profile).decode()
