"""Seccomp profiles in Docker's form."""

from __future__ import annotations

from typing import Any

import pytest

from labdock.errors import InvalidRequest
from labdock.runtime.spec.profile import translate


def translated(profile: dict[str, Any], *capabilities: str, machine: str = "x86_64", kernel: str = "6.1.0-9") -> Any:
    return translate({"defaultAction": "SCMP_ACT_ERRNO", **profile}, capabilities, machine, kernel)


def names(profile: Any) -> list[str]:
    return [name for rule in profile["syscalls"] for name in rule["names"]]


def rule(name: str, **more: Any) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", **more}


def test_the_map_of_architectures_becomes_those_of_this_machine() -> None:
    mapped = [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ]
    assert translated({"archMap": mapped})["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert translated({"archMap": mapped}, machine="aarch64")["architectures"][0] == "SCMP_ARCH_AARCH64"
    assert translated({"architectures": ["SCMP_ARCH_X86"]})["architectures"] == ["SCMP_ARCH_X86"]
    assert "architectures" not in translated({})


def test_rules_apply_by_architecture_capability_and_kernel() -> None:
    rules = [
        rule("always"),
        rule("amd", includes={"arches": ["amd64", "x32"]}),
        rule("arm", includes={"arches": ["arm64"]}),
        rule("no-amd", excludes={"arches": ["amd64"]}),
        rule("admin", includes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("no-admin", excludes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("old-enough", includes={"minKernel": "4.8"}),
        rule("too-new", includes={"minKernel": "6.2"}),
    ]
    found = translated({"syscalls": rules})
    assert names(found) == ["always", "amd", "no-admin", "old-enough"]
    found = translated({"syscalls": rules}, "CAP_SYS_ADMIN", machine="aarch64", kernel="6.10.3")
    assert names(found) == ["always", "arm", "no-amd", "admin", "old-enough", "too-new"]


def test_arguments_errnos_and_single_names_are_kept_and_comments_are_not() -> None:
    argument = {"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
    found = translated(
        {
            "defaultErrnoRet": 1,
            "syscalls": [
                {"name": "one", "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [argument], "comment": "x"},
                {"names": ["two"], "action": "SCMP_ACT_ALLOW", "args": None},
            ],
        }
    )
    assert found == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "syscalls": [
            {"names": ["one"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [argument]},
            {"names": ["two"], "action": "SCMP_ACT_ALLOW"},
        ],
    }


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"defaultAction": "NO"}, "defaultAction 'NO' is none"),
        ({"archMap": [{}], "architectures": ["x"]}, "both 'architectures' and 'archMap'"),
        ({"syscalls": {}}, "syscalls is no list of objects"),
        ({"syscalls": ["x"]}, "syscalls is no list of objects"),
        ({"syscalls": [{"names": "read", "action": "SCMP_ACT_ALLOW"}]}, "names is no list of texts"),
        ({"syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}, "both 'name' and 'names'"),
        ({"syscalls": [{"name": "a", "action": "ALLOW"}]}, "action 'ALLOW' is none"),
        ({"syscalls": [rule("a", includes=[])]}, "includes is no object"),
        ({"syscalls": [rule("a", includes={"caps": "x"})]}, "caps is no list of texts"),
        ({"syscalls": [rule("a", includes={"minKernel": "new"})]}, "kernel version 'new' is none"),
        ({"syscalls": [rule("a", args=[1])]}, "args is no list of objects"),
        ({"syscalls": [rule("a", args=[{"index": 6, "op": "SCMP_CMP_EQ"}])]}, "index 6 is no number up to 5"),
        ({"syscalls": [rule("a", args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])]}, "value -1 is no number"),
        ({"syscalls": [rule("a", args=[{"index": 0, "value": 1, "op": "?"}])]}, "op '.' is none"),
        ({"syscalls": [rule("a", errnoRet=-5)]}, "errnoRet -5 is no number up to 4095"),
        ({"defaultErrnoRet": "x"}, "defaultErrnoRet 'x' is no number"),
        ({"flags": "x"}, "flags is no list of texts"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction 'SCMP_ACT_NOTIFY' is none"),
    ],
)
def test_what_is_no_profile_is_refused(profile: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        translated(profile)
