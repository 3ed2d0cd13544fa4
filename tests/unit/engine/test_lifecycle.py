"""The container's life: which verbs are allowed where."""

from __future__ import annotations

import pytest

from labdock.engine.lifecycle import ALIVE, TABLE, Status, Verb, draw, follow
from labdock.errors import Conflict


def test_a_created_container_can_run_end_and_run_again() -> None:
    status = Status.CREATED
    for verb in (Verb.STARTED, Verb.EXIT, Verb.STARTED, Verb.PAUSE, Verb.UNPAUSE, Verb.EXIT, Verb.REMOVE):
        status = follow(status, verb, "c1")
    assert status == Status.REMOVING


@pytest.mark.parametrize(
    ("status", "verb"),
    [
        (Status.RUNNING, Verb.STARTED),
        (Status.RUNNING, Verb.REMOVE),
        (Status.PAUSED, Verb.REMOVE),
        (Status.CREATED, Verb.PAUSE),
        (Status.EXITED, Verb.UNPAUSE),
        (Status.REMOVING, Verb.STARTED),
        (Status.DEAD, Verb.STARTED),
    ],
)
def test_a_verb_that_does_not_fit_the_state_is_a_conflict_that_names_both(status: Status, verb: Verb) -> None:
    with pytest.raises(Conflict, match=f"cannot {verb} container c1: it is {status}"):
        follow(status, verb, "c1")


def test_every_state_can_be_reached_and_every_state_but_the_last_can_be_left() -> None:
    reached = {Status.CREATED, *TABLE.values()}
    assert reached == set(Status)
    assert {before for before, _ in TABLE} == set(Status)


def test_nothing_that_is_alive_can_be_removed() -> None:
    assert not any((status, Verb.REMOVE) in TABLE for status in ALIVE)


def test_the_drawing_has_every_arrow() -> None:
    drawn = draw()
    assert drawn.startswith("stateDiagram-v2\n    [*] --> created\n")
    assert drawn.count("-->") == len(TABLE) + 1
