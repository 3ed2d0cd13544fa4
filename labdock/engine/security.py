"""``--security-opt``: what it asks for, checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from labdock.errors import InvalidRequest
from labdock.schema.container import HostConfig

_YES, _NO = ("", "1", "t", "true"), ("0", "f", "false")


@dataclass(frozen=True, slots=True)
class Security:
    """``seccomp``: "default", "unconfined" or a profile as Docker has them. ``unkept``: options that nothing keeps."""

    no_new_privileges: bool = False
    seccomp: Literal["default", "unconfined"] | Mapping[str, Any] = "default"
    open_paths: bool = False
    unkept: tuple[str, ...] = ()


def parse_security(host: HostConfig) -> Security:
    """What *host* asks for. Raises InvalidRequest, in Docker's words, for an option that is none."""
    no_new_privileges = open_paths = False
    seccomp: Literal["default", "unconfined"] | Mapping[str, Any] = "default"
    unkept = []
    for option in host.security_opt or ():
        # quirk: a colon in place of the equals sign is Docker's older form.
        key, sign, value = option.partition("=" if "=" in option else ":")
        if key == "no-new-privileges":
            no_new_privileges = _boolean(option, value)
        elif not sign:
            raise InvalidRequest(f'invalid --security-opt 1: "{option}"')
        elif key == "seccomp":
            seccomp = _profile(value)
        elif option == "systempaths=unconfined":
            open_paths = True
        elif key in ("apparmor", "label"):
            if value not in ("unconfined", "disable"):
                unkept.append(option)
        elif key == "writable-cgroups":
            _boolean(option, value)
            unkept.append(option)
        else:
            raise InvalidRequest(f'invalid --security-opt 2: "{option}"')
    return Security(no_new_privileges, seccomp, open_paths, tuple(unkept))


def _boolean(option: str, value: str) -> bool:
    if value.lower() not in _YES + _NO:
        raise InvalidRequest(f'invalid --security-opt 2: "{option}"')
    return value.lower() in _YES


def _profile(value: str) -> Literal["default", "unconfined"] | Mapping[str, Any]:
    if value == "unconfined":
        return "unconfined"
    if value in ("builtin", "default"):
        return "default"
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidRequest(
            f"Decoding seccomp profile failed: {error}", hint="the API takes the profile itself, not its path"
        ) from error
