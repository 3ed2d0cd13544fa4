"""What create requests say of mounts. (What comes of them in real containers: tests/system/test_mount_table.py.)"""

from __future__ import annotations

import pytest

from labdock.engine.mounts import inherit, parse_bind, parse_mount, plan_mounts, warn
from labdock.engine.records import MountPoint
from labdock.errors import InvalidRequest, NoSuchContainer
from labdock.schema.container import ContainerConfig, HostConfig, MountRequest


def test_a_bind_has_what_was_said_of_it() -> None:
    found = parse_bind("/data/../src:/dst/:ro,rslave,z")
    assert (found.type, found.source, found.target, found.read_only) == ("bind", "/src", "/dst", True)
    assert (found.propagation, found.mode) == ("rslave", "ro,rslave,z")
    assert "SELinux" in warn([found])[0]


def test_a_volume_is_named_or_anonymous() -> None:
    named, anonymous = parse_bind("data:/d:nocopy"), parse_bind("/d")
    assert (named.volume, named.copy, named.anonymous, named.mode) == ("data", False, False, "nocopy")
    assert (len(anonymous.volume), anonymous.copy, anonymous.anonymous) == (64, True, True)
    assert parse_bind("data:/d").mode == "z" and warn([parse_bind("data:/d")]) == ()


def test_a_mount_of_a_volume_says_how_it_is_made() -> None:
    options: dict[str, object] = {
        "Labels": {"a": "b"},
        "DriverConfig": {"Name": "shelf", "Options": {"x": "y"}},
        "Subpath": "a/./b",
    }
    found = parse_mount(MountRequest(type="volume", source="vv", target="/d", volume_options=options))
    assert (found.labels, found.driver, found.driver_options) == ({"a": "b"}, "shelf", {"x": "y"})
    assert (found.subpath, found.copy) == ("a/b", False)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".."])
def test_a_part_of_a_volume_lies_inside_of_it(path: str) -> None:
    with pytest.raises(InvalidRequest, match="subpath must be a relative path within the volume"):
        parse_mount(MountRequest(type="volume", source="vv", target="/d", volume_options={"Subpath": path}))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (MountRequest(type="bind", target="/d"), "field Source must not be empty"),
        (MountRequest(type="bind", source="/s"), "field Target must not be empty"),
        (MountRequest(type="bind", source="/s", target="/d", volume_options={}), "field VolumeOptions must not be"),
        (MountRequest(type="volume", target="/d", bind_options={}), "field BindOptions must not be specified"),
        (MountRequest(type="bind", source="/s", target="/d", bind_options={"Propagation": "x"}), "invalid propagation"),
        (MountRequest(type="tmpfs", target="/d", tmpfs_options={"SizeBytes": -1}), "invalid size"),
        (MountRequest(type="tmpfs", target="/d", tmpfs_options={"Options": [["a", "b", "c"]]}), "invalid option array"),
        (MountRequest(target="/d", source="vv"), 'type "": mount type unknown'),
        (MountRequest(type="image", target="/d", source="vv"), "mount type unknown"),
    ],
)
def test_what_can_not_be_meant_is_refused_in_dockers_words(request_: MountRequest, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        parse_mount(request_)


def test_a_tmpfs_of_a_mount_has_its_options() -> None:
    options: dict[str, object] = {"SizeBytes": 1024, "Mode": 0o1777, "Options": [["exec"], ["uid", "7"]]}
    found = parse_mount(MountRequest(type="tmpfs", target="/d", read_only=True, tmpfs_options=options))
    assert found.options == ("ro", "size=1024", "mode=1777", "exec", "uid=7") and not found.hidden


def test_what_was_asked_for_goes_before_what_is_inherited_and_before_the_images_volumes() -> None:
    inherited = [MountPoint(type="volume", source="", target=t, volume=f"old{t[1:]}") for t in ("/a", "/b", "/c")]
    host = HostConfig(binds=("/new:/a",), tmpfs={"/t": ""})
    config = ContainerConfig(volumes={"/b": {}, "/t": {}, "/own/deep": {}})
    found = {m.target: m for m in plan_mounts(host, config, inherited)}
    assert found["/a"].source == "/new" and found["/b"].volume == "oldb" and found["/c"].volume == "oldc"
    assert found["/t"].type == "tmpfs" and found["/t"].hidden and found["/own/deep"].anonymous
    assert [m.target for m in plan_mounts(host, config, inherited)][-1] == "/own/deep"


def test_volumes_of_another_container_are_taken_as_they_are_or_read_only() -> None:
    theirs = (
        parse_bind("/src:/s:ro"),
        parse_bind("data:/d"),
        MountPoint(type="tmpfs", source="", target="/t"),
    )

    def mounts_of(ref: str) -> tuple[MountPoint, ...]:
        if ref != "giver":
            raise NoSuchContainer(ref)
        return theirs

    assert [(m.target, m.read_only) for m in inherit(["giver"], mounts_of)] == [("/s", True), ("/d", False)]
    assert [(m.target, m.read_only) for m in inherit(["giver:ro"], mounts_of)] == [("/s", True), ("/d", True)]
    assert [(m.target, m.read_only) for m in inherit(["giver:rw"], mounts_of)] == [("/s", True), ("/d", False)]
    for text, error in (("nobody", NoSuchContainer), ("giver:bogus", InvalidRequest), (":ro", InvalidRequest)):
        with pytest.raises(error):
            inherit([text], mounts_of)
