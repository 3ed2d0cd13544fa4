"""The times of a container that hardly ran."""

from __future__ import annotations

import json

from tests.system.conftest import EngineUnderTest

TIMES = 15


def test_no_program_ends_before_it_has_started(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    ids = [engine.docker("create", "--network", "none", "busybox", "true") for _ in range(TIMES)]
    engine.docker("start", *ids)
    engine.docker("wait", *ids)
    states = [each["State"] for each in json.loads(engine.docker("inspect", *ids))]
    # RFC 3339 in one zone with nine digits: as texts they are in order.
    early = [(state["StartedAt"], state["FinishedAt"]) for state in states if state["FinishedAt"] < state["StartedAt"]]
    assert (early, len(states)) == ([], TIMES)
