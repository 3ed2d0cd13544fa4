"""``labdock explain`` of real containers: what it says is what the kernel says."""

from __future__ import annotations

import os

import labdock
from labdock.commands.explanation import Explanation

from .conftest import EngineUnderTest


def test_a_running_container_is_explained(engine: EngineUnderTest) -> None:
    with labdock.connect(engine.environment) as client:
        options = {"user": "1000:1000", "cap_drop": ["ALL"], "volumes": {"data": "/data:ro"}}
        with client.containers.run("busybox", "sleep 1000", detach=True, name="web", **options) as web:  # type: ignore[call-overload]
            facts = client.system.explain("web")
            inside = dict(line.split(" ") for line in web.exec(["sh", "-c", _IDS]).text.splitlines())
        assert facts["IdMaps"]["Uids"][0] == {"Inside": 0, "Outside": os.getuid(), "Count": 1}
        named = {each["Kind"]: each for each in facts["Namespaces"]}
        assert {kind: each["Id"] for kind, each in named.items() if kind in inside} == inside
        assert {kind for kind, each in named.items() if each["Own"]} >= {"mnt", "pid", "net", "ipc", "uts"}
        assert not named["user"]["Own"]
        process = facts["Process"]
        assert (process["PidInside"], process["Uid"], process["Capabilities"]) == (1, 1000, [])
        assert [each["Name"] for each in facts["Parents"]][-3:] == ["conmon", "labdock-engine", "labdock-inner"]
        mounts = {each["Target"]: each for each in facts["Mounts"]}
        assert mounts["/data"]["ReadOnly"]
        assert facts["Network"]["Endpoints"][0]["Network"] == "bridge"
        assert "its own — processes" in str(Explanation(facts))


_IDS = "for kind in mnt pid net ipc uts; do echo $kind $(readlink /proc/self/ns/$kind); done"


def test_a_stopped_container_has_its_layers(engine: EngineUnderTest) -> None:
    engine.docker("create", "--name", "idle", "busybox", "true")
    with labdock.connect(engine.environment) as client:
        facts = client.system.explain("idle")
    assert facts["Process"] is None
    assert any(each["Size"] for each in facts["Layers"])
    assert "not running" in str(Explanation(facts))
