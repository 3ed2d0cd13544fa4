"""``system prune`` asks once, and removes in the order in which one frees the next."""

from __future__ import annotations

from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.notebook.face import NotebookFace


def script() -> Script:
    return (
        Script()
        .on("POST", "/containers/prune", Reply(json={"ContainersDeleted": ["c1"], "SpaceReclaimed": 10}))
        .on("POST", "/networks/prune", Reply(json={"NetworksDeleted": ["n1"]}))
        .on("POST", "/images/prune", Reply(json={"ImagesDeleted": [{"Untagged": "a:1"}], "SpaceReclaimed": 5}))
        .on("POST", "/build/prune", Reply(json={"CachesDeleted": None, "SpaceReclaimed": 0}))
    )


def test_everything_is_removed_and_counted() -> None:
    engine = script()
    found = run(["system", "prune", "-f", "-a"], NotebookFace(client=Client(ScriptedTransport(engine))))
    assert str(found).split("\n") == [
        "Deleted Containers:",
        "c1",
        "",
        "Deleted Networks:",
        "n1",
        "",
        "Deleted Images:",
        "untagged: a:1",
        "",
        "Total reclaimed space: 15B",
    ]
    asked = [each.path.split("/")[1] for each in engine.asked if each.path != "/system/df"]
    assert asked == ["containers", "networks", "images", "build"]
    assert "false" in engine.asked[3].query["filters"][0]


def test_it_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = script(), list[str]()

    def refuse(_face: Any, prompt: str, **_options: Any) -> str:
        asked.append(prompt)
        return "n"

    monkeypatch.setattr(NotebookFace, "ask", refuse)
    run(["system", "prune"], NotebookFace(client=Client(ScriptedTransport(engine))))
    assert len(asked) == 1
    assert "all stopped containers" in asked[0]
    assert engine.asked == []
