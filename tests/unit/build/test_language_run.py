"""The language: RUN's forms and flags, every option of its mounts."""

from __future__ import annotations

import pytest

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.mounts import read_mount
from labdock.build.runs import run_args
from tests.unit.build.language import draft_of, message_of, only


def run_of(flags: str, command: str = "true") -> ast.Run:
    found = only(f"FROM a\nRUN {flags} {command}\n")
    assert isinstance(found, ast.Run)
    return found


def mount_of(text: str) -> ast.Mount:
    return read_mount(run_of(f"--mount={text}").mounts[0], lambda word: word.text)


def test_shell_form_gets_the_shell_and_exec_form_is_taken_as_it_is() -> None:
    draft = draft_of('FROM a\nSHELL ["/bin/bash", "-c"]\n')
    assert run_args(draft, run_of("", "a  b | c")) == (("/bin/bash", "-c", "a  b | c"), None)
    assert run_args(draft, run_of("", '["a", "$b"]')) == (("a", "$b"), None)


def test_a_bind_mount_is_the_default_and_read_only() -> None:
    mount = mount_of("source=a,target=b")
    assert (mount.type, mount.origin, mount.source, mount.target, mount.read_only) == ("bind", "", "a", "b", True)


@pytest.mark.parametrize("name", ["target", "dst", "destination"])
def test_a_mounts_target_has_three_names(name: str) -> None:
    assert mount_of(f"{name}=/x").target == "/x"


def test_a_mounts_source_has_two_names_and_its_stage_is_from() -> None:
    mount = mount_of("from=stage,src=/a,target=/x")
    assert (mount.origin, mount.source) == ("stage", "/a")


@pytest.mark.parametrize(
    ("options", "read_only"),
    [("rw", False), ("readwrite", False), ("ro=false", False), ("readonly", True), ("rw=0", True), ("RO=T", True)],
)
def test_a_mount_may_be_made_writable(options: str, read_only: bool) -> None:
    assert mount_of(f"target=/x,{options}").read_only is read_only


def test_a_cache_mount_goes_by_its_cleaned_target_and_is_writable() -> None:
    mount = mount_of("type=cache,target=/a//b/")
    assert (mount.key, mount.read_only, mount.sharing) == ("/a/b", False, "")
    mount = mount_of("type=cache,id=i,target=/a,sharing=LOCKED,from=s,source=/d,uid=1,gid=2,mode=0700,ro")
    assert (mount.key, mount.sharing, mount.origin, mount.source) == ("i", "locked", "s", "/d")
    assert (mount.uid, mount.gid, mount.mode, mount.read_only) == (1, 2, 0o700, True)


def test_a_tmpfs_mount_has_a_size() -> None:
    assert mount_of("type=tmpfs,target=/x").size == 0
    assert mount_of("type=tmpfs,target=/x,size=1.5m").size == 3 << 19
    assert mount_of("type=tmpfs,target=/x,size=64KiB").size == 1 << 16
    assert mount_of("type=tmpfs,target=/x").read_only is False


def test_a_secret_goes_by_its_id_or_its_targets_name() -> None:
    mount = mount_of("type=secret,id=token")
    assert (mount.key, mount.secret_target, mount.required) == ("token", "/run/secrets/token", False)
    mount = mount_of("type=secret,target=/etc/pass,required")
    assert (mount.key, mount.secret_target, mount.required) == ("pass", "/etc/pass", True)
    mount = mount_of("type=secret,id=a/b,env=TOKEN,required=false,mode=0444")
    assert (mount.key, mount.env, mount.secret_target, mount.mode) == ("a/b", "TOKEN", None, 0o444)
    assert mount_of("type=secret,src=a/b").secret_target == "/run/secrets/b"


def test_an_ssh_mount_goes_by_default() -> None:
    mount = mount_of("type=ssh")
    assert (mount.key, mount.target, mount.required) == ("default", "", False)
    mount = mount_of("type=ssh,id=x,target=/s,required=true,uid=1000,mode=0660")
    assert (mount.key, mount.target, mount.required, mount.uid, mount.mode) == ("x", "/s", True, 1000, 0o660)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=tmp", 'unsupported mount type "tmp"'),
        ("target=/x,nope=1", "unexpected key 'nope' in 'nope=1'"),
        ("target=/x,nope", "invalid field 'nope' must be a key=value pair"),
        ("target=/x,required", "unexpected key 'required' for mount type 'bind'"),
        ("target=/x,uid=1", 'uid not allowed for "bind" type mounts'),
        ("type=tmpfs,target=/x,mode=0700", 'mode not allowed for "tmpfs" type mounts'),
        ("target=/x,sharing=shared", "invalid cache sharing set for bind mount"),
        ("type=cache,target=/x,sharing=all", 'unsupported sharing value "all"'),
        ("type=cache,target=/x,size=1m", "unexpected key 'size' for mount type 'cache'"),
        ("type=tmpfs,target=/x,size=big", "invalid value for size: big"),
        ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
        ("type=cache,target=/x,uid=-1", "invalid value -1 for uid"),
        ("target=/x,ro=perhaps", "invalid value for ro: perhaps"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
        ("type=ssh,src=a", "ssh does not support source"),
        ("from=a$b,target=/x", "'from' doesn't support variable expansion, define alias stage instead"),
        ("", "failed to parse csv mounts: EOF"),
    ],
)
def test_options_of_mounts_that_can_not_be(text: str, words: str) -> None:
    assert words in message_of(f"FROM a\nRUN --mount={text} true\n")


def test_a_field_in_quotes_may_hold_a_comma() -> None:
    flag = only('FROM a\nRUN --mount=type=bind,\\"source=a,b\\",target=/x true\n')
    assert isinstance(flag, ast.Run)
    assert read_mount(flag.mounts[0], lambda word: word.text).source == "a,b"


def test_network_is_default_none_or_host() -> None:
    assert [run_of(f"--network={name}").network for name in ("default", "none", "host")] == ["default", "none", "host"]
    assert 'invalid network mode "x"' in message_of("FROM a\nRUN --network=x true\n")


def test_security_is_sandbox_and_insecure_is_refused_with_its_reason() -> None:
    assert run_of("--security=sandbox").security == "sandbox"
    assert "RUN --security=insecure is not granted" in message_of("FROM a\nRUN --security=insecure true\n")
    assert 'security "x" is not valid' in message_of("FROM a\nRUN --security=x true\n")


def test_devices_are_read_and_refused_by_name() -> None:
    (device,) = run_of("--device=vendor.com/class=name,required").devices
    assert (device.name, device.required) == ("vendor.com/class=name", True)
    assert "RUN --device is not supported yet" in message_of("FROM a\nRUN --device=x/y=z true\n")
    assert "unexpected key 'b' in 'b=c'" in message_of("FROM a\nRUN --device=a,b=c true\n")
    assert "device name already set to a" in message_of("FROM a\nRUN --device=a,name=b true\n")
