"""Seccomp profiles in Docker's form (docs.docker.com, "Seccomp security profiles"), made into the OCI spec's. Pure.

Docker's has rules for some architectures, capabilities and kernels only, and a map of architectures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from labdock.errors import InvalidRequest

Wire = Mapping[str, Any]

#: uname's word → Docker's (GOARCH) and libseccomp's.
_MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}
_KEPT = ("defaultAction", "defaultErrnoRet", "flags")
_ACTIONS = frozenset(
    f"SCMP_ACT_{name}" for name in ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG")
)
_OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
#: More rules, or names in one, than any profile has.
_MOST = 10_000


def translate(profile: Wire, capabilities: Iterable[str], machine: str, release: str) -> dict[str, Any]:
    """*profile* for a container with *capabilities*, on *machine* (uname's words) with kernel *release*.

    Raises InvalidRequest for what is no profile.
    """
    action = profile.get("defaultAction")
    if action not in _ACTIONS:
        raise InvalidRequest(f"Decoding seccomp profile failed: defaultAction {action!r} is none")
    found: dict[str, Any] = {key: profile[key] for key in _KEPT if profile.get(key) is not None}
    if "defaultErrnoRet" in found:
        found["defaultErrnoRet"] = _number(found["defaultErrnoRet"], "defaultErrnoRet", 4095)
    if "flags" in found:
        found["flags"] = _texts(found["flags"], "flags")
    architectures = _architectures(profile, machine)
    if architectures:
        found["architectures"] = architectures
    held, kernel = frozenset(capabilities), _kernel(release)
    word = _MACHINES.get(machine, (machine, ""))[0]
    rules = []
    for rule in _objects(profile.get("syscalls"), "syscalls"):
        if _applies(rule, held, word, kernel):
            rules.append(_rule(rule))
    found["syscalls"] = rules
    return found


def _architectures(profile: Wire, machine: str) -> list[str]:
    if profile.get("architectures") and profile.get("archMap"):
        raise InvalidRequest("both 'architectures' and 'archMap' were specified in the seccomp profile, use either")
    if profile.get("architectures"):
        return _texts(profile["architectures"], "architectures")
    own = _MACHINES.get(machine, ("", ""))[1]
    for entry in _objects(profile.get("archMap"), "archMap"):
        if entry.get("architecture") == own:
            return [own, *_texts(entry.get("subArchitectures") or [], "subArchitectures")]
    return []


def _applies(rule: Wire, held: frozenset[str], machine: str, kernel: tuple[int, int]) -> bool:
    includes, excludes = _object(rule.get("includes"), "includes"), _object(rule.get("excludes"), "excludes")
    wanted, unwanted = _texts(includes.get("arches") or [], "arches"), _texts(excludes.get("arches") or [], "arches")
    if (wanted and machine not in wanted) or machine in unwanted:
        return False
    if not held.issuperset(_texts(includes.get("caps") or [], "caps")):
        return False
    if held.intersection(_texts(excludes.get("caps") or [], "caps")):
        return False
    if includes.get("minKernel") and kernel < _kernel(str(includes["minKernel"])):
        return False
    return not (excludes.get("minKernel") and kernel >= _kernel(str(excludes["minKernel"])))


def _rule(rule: Wire) -> dict[str, Any]:
    names = _texts(rule.get("names") or [], "names")
    if rule.get("name"):
        if names:
            raise InvalidRequest("both 'name' and 'names' were specified in the seccomp profile, use either")
        names = [str(rule["name"])]
    if rule.get("action") not in _ACTIONS:
        raise InvalidRequest(f"Decoding seccomp profile failed: action {rule.get('action')!r} is none")
    found: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        found["errnoRet"] = _number(rule["errnoRet"], "errnoRet", 4095)
    if rule.get("args"):
        found["args"] = [_argument(entry) for entry in _objects(rule["args"], "args")]
    return found


def _argument(entry: Wire) -> dict[str, Any]:
    operator = entry.get("op")
    if operator not in _OPERATORS:
        raise InvalidRequest(f"Decoding seccomp profile failed: op {operator!r} is none")
    found: dict[str, Any] = {"index": _number(entry.get("index", 0), "index", 5), "op": operator}
    for key in ("value", "valueTwo"):
        if entry.get(key) is not None:
            found[key] = _number(entry[key], key, 2**64 - 1)
    return found


def _number(value: object, what: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidRequest(f"Decoding seccomp profile failed: {what} {value!r} is no number up to {most}")
    return value


def _kernel(text: str) -> tuple[int, int]:
    match = re.match(r"(\d{1,5})\.(\d{1,5})", text)
    if match is None:
        raise InvalidRequest(f"Decoding seccomp profile failed: kernel version {text!r} is none")
    return int(match[1]), int(match[2])


def _objects(value: object, what: str) -> list[Wire]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST or not all(isinstance(entry, dict) for entry in value):
        raise InvalidRequest(f"Decoding seccomp profile failed: {what} is no list of objects")
    return value


def _object(value: object, what: str) -> Wire:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"Decoding seccomp profile failed: {what} is no object")
    return value


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or len(value) > _MOST or not all(isinstance(entry, str) for entry in value):
        raise InvalidRequest(f"Decoding seccomp profile failed: {what} is no list of texts")
    return value
