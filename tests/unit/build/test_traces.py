"""Why a step was not cached: the input that changed is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labdock.schema.build import StepExplained

MakeWorld = Callable[[], Any]
TEXT = "FROM base\nARG A=1\nENV E=1\nRUN echo $A > /a\nCOPY d /d\nRUN true\n"


def reasons(world: Any) -> list[str]:
    return [text for event in world.events if isinstance(event, StepExplained) for text in event.reasons]


@pytest.mark.sandbox
def test_each_input_is_named(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("d/one", "1")
    world.write("d/two", "2")
    world.build(TEXT, explain=True)
    assert set(reasons(world)) == {
        "there is no record of such a build: this one is the first that was asked to explain"
    }
    world.build(TEXT, explain=True)
    assert reasons(world) == []
    world.write("d/one", "changed")
    (world.context / "d/two").unlink()
    world.write("d/three", "3")
    world.build(TEXT, explain=True)
    assert reasons(world)[:3] == ["file d/one changed", "file d/three is new", "file d/two is gone"]
    assert reasons(world)[3:] == ["a step before it changed: COPY d /d"]
    world.build(TEXT, explain=True, build_args={"A": "other-value"})
    found = reasons(world)
    assert "variable A changed" in found and "other-value" not in "".join(found)
    world.build(TEXT.replace("RUN true", "RUN true && true"), explain=True)
    assert "the instruction changed; it was: RUN true" in reasons(world)
    world.build(TEXT, explain=True, no_cache=True)
    assert set(reasons(world)) == {"the build was asked not to use the cache"}
    world.build(TEXT)
    assert reasons(world) == [], "only when asked"
    world.close()


@pytest.mark.sandbox
def test_a_changed_mount_mode_and_base_are_named(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("m/f", "1")
    text = "FROM base\nRUN --mount=target=/m,source=m true\n"
    world.build(text, explain=True)
    world.write("m/f", "2")
    world.build(text, explain=True)
    assert reasons(world) == ["what is mounted at /m changed"]
    world.build("FROM base\nRUN echo new > /new\n", names=("base2",))
    image = world.images.get("base2")
    world.images.images["base"] = image
    world.build(text, explain=True)
    assert reasons(world)[0].startswith("the base image changed: it was sha256:")
    world.close()


@pytest.mark.sandbox
def test_what_was_removed_is_said_to_be(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.build("FROM base\nRUN true\n", explain=True)
    records = world.database.records("steps", object)
    for id, _ in records.items():
        records.delete(id)
    world.build("FROM base\nRUN true\n", explain=True)
    assert "nothing it is made of changed" in reasons(world)[-1]
    world.close()
