"""Restart policies and their back-off."""

from __future__ import annotations

import pytest

from labdock.engine.records import ContainerRecord, State
from labdock.engine.restarts import BackOff, wants_restart, wants_start
from labdock.schema.container import ContainerConfig, HostConfig, RestartPolicy


def ended(policy: str, times: int = 0, **state: object) -> ContainerRecord:
    return ContainerRecord(
        id="a" * 64, name="web", created=1, image="i", image_id="s", config=ContainerConfig(), args=("sh",),
        host=HostConfig(restart_policy=RestartPolicy(name=policy, maximum_retry_count=times)),
        state=State(**state),  # type: ignore[arg-type]
    )  # fmt: skip


def test_pauses_double_from_a_tenth_of_a_second_to_a_minute_and_a_run_of_ten_seconds_resets_them() -> None:
    back_off = BackOff()
    assert [back_off.after(1) for _ in range(12)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]
    assert back_off.after(9.9) == 60.0
    assert back_off.after(10) == 0.1


@pytest.mark.parametrize(
    ("record", "restart", "start"),
    [
        (ended("", started=1), False, False),
        (ended("no", started=1, exit_code=1), False, False),
        (ended("always", started=1), True, True),
        (ended("always", started=1, by_user=True), False, True),
        (ended("always", started=0), True, False),
        (ended("unless-stopped", started=1, exit_code=3), True, True),
        (ended("unless-stopped", started=1, by_user=True), False, False),
        (ended("on-failure", started=1, exit_code=0), False, False),
        (ended("on-failure", started=1, exit_code=1, restarts=99), True, False),
        (ended("on-failure", 3, started=1, exit_code=1, restarts=2), True, False),
        (ended("on-failure", 3, started=1, exit_code=1, restarts=3), False, False),
        (ended("on-failure", started=1, exit_code=1, by_user=True), False, False),
    ],
)
def test_a_policy_says_what_follows_an_end_and_what_follows_a_new_engine(
    record: ContainerRecord, restart: bool, start: bool
) -> None:
    assert (wants_restart(record), wants_start(record)) == (restart, start)
