"""The Plan travels as JSON and comes back equal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from labdock.errors import HostUnfit
from labdock.host import doctor, inside, survey
from labdock.host.identity import Identity
from labdock.host.ids import IdExtent, IdMaps
from labdock.host.inside import Inside
from labdock.host.plan import Plan, Probe
from labdock.host.survey import Survey

MAPS = IdMaps((IdExtent(0, 1000, 1), IdExtent(1, 100000, 65536)), (IdExtent(0, 1000, 1), IdExtent(1, 100000, 65536)))
OUTSIDE = Survey(
    identity=Identity("user", MAPS),
    tools={"crun": "/usr/bin/crun"},
    egress="slirp4netns",
    seccomp=True,
    notices=("a notice",),
    probes=(Probe("crun", True, detail="/usr/bin/crun"),),
)
GOOD = (Probe("fresh /proc", True), Probe("cgroup2", True, detail="own group"), Probe("overlay", True))
INSIDE = Inside("overlay", "fresh", "v2", ("memory",), GOOD)
REFUSED = Probe("overlay", False, "EINVAL", "Invalid argument: /data", "copies", "LABDOCK_DATA=…", "you")


def test_a_plan_is_concluded_from_both_halves_and_survives_json() -> None:
    plan = survey.conclude(OUTSIDE, INSIDE)
    assert (plan.rung, plan.identity, plan.snapshotter, plan.proc) == ("R0", "user", "overlay", "fresh")
    assert plan.probes == (*OUTSIDE.probes, *GOOD)
    assert plan.notices == ("a notice",)
    assert Plan.from_json(plan.to_json()) == plan


def test_what_works_with_less_is_noticed() -> None:
    less = Probe("cgroup2", True, detail="controllers: none", cost="limits are not kept")
    plan = survey.conclude(OUTSIDE, dataclasses.replace(INSIDE, probes=(GOOD[0], less, GOOD[2])))
    assert plan.notices == ("a notice", "limits are not kept (controllers: none)")


def test_fuse_overlayfs_stands_in_for_overlay() -> None:
    probes = (*GOOD[:2], REFUSED, Probe("fuse-overlayfs", True))
    assert survey.conclude(OUTSIDE, Inside("fuse-overlayfs", "fresh", "v2", (), probes)).snapshotter == "fuse-overlayfs"


def test_a_machine_below_the_first_rung_is_refused_with_the_remedy() -> None:
    with pytest.raises(HostUnfit) as raised:
        survey.conclude(OUTSIDE, Inside("overlay", "fresh", "v2", (), (*GOOD[:2], REFUSED)))
    assert raised.value.message == "overlay is refused in the sandbox (EINVAL, Invalid argument: /data): copies"
    assert raised.value.hint == "you can change that: LABDOCK_DATA=…"


def test_where_nothing_stacks_containers_get_copies_and_it_is_said() -> None:
    plan = survey.conclude(OUTSIDE, Inside("copy", "fresh", "v2", (), (*GOOD[:2], REFUSED)))
    assert plan.snapshotter == "copy"
    assert plan.notices[-1] == "the storage driver is copy: a container's root costs a copy of its image"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"maps": {}}'])
def test_anything_else_is_not_a_plan(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Plan.from_json(text)


def test_the_doctor_says_what_lifts_what_is_lacking() -> None:
    probes = (*GOOD[:2], REFUSED)
    text = doctor.as_text(doctor.Diagnosis(None, probes, "overlay is refused", "use a local disk"))
    assert text.splitlines() == [
        "ok    fresh /proc  ",
        "ok    cgroup2      own group",
        "no    overlay      EINVAL: Invalid argument: /data",
        "                   cost: copies",
        "                   lift: LABDOCK_DATA=… (you)",
        "",
        "Containers can't run here: overlay is refused",
        "",
        "hint: use a local disk",
    ]
    fit = doctor.as_json(doctor.Diagnosis(survey.conclude(OUTSIDE, INSIDE), GOOD))
    assert (fit["fit"], fit["rung"], fit["notices"]) == (True, "R0", ["a notice"])


def test_no_new_privs_is_seen() -> None:
    refused = survey._probe_privileges("Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t0\n", 1000)
    assert not refused.ok and "newuidmap" in refused.cost
    assert survey._probe_privileges("Name:\tx\nNoNewPrivs:\t0\n", 1000).ok
    assert survey._probe_privileges("Name:\tx\nNoNewPrivs:\t1\n", 0).ok, "root needs no set-id program"


@pytest.mark.parametrize(
    ("asked", "made", "overlay", "fuse", "chosen"),
    [
        ("", "", True, True, "overlay"),
        ("", "", False, True, "fuse-overlayfs"),
        ("", "", False, False, "copy"),
        ("flat", "", True, True, "flat"),
        ("", "copy", True, True, "copy"),
        ("", "overlay", False, True, "overlay"),
        ("overlay", "copy", False, True, "overlay"),
    ],
)
def test_the_storage_driver_is_the_one_asked_for_or_the_stores_own_or_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, made: str, overlay: bool, fuse: bool, chosen: str
) -> None:
    monkeypatch.setattr(inside, "try_overlay", lambda data: Probe("overlay", overlay))
    monkeypatch.setattr(inside, "try_fuse_overlay", lambda data, program: Probe("fuse-overlayfs", fuse))
    if made:
        (tmp_path / "snapshots" / made).mkdir(parents=True)
        (tmp_path / "snapshots" / made / "ledger.db").touch()
    assert inside.choose_driver(tmp_path, "/usr/bin/fuse-overlayfs", asked)[0] == chosen
