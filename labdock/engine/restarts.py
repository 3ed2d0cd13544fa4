"""Restart policies: whether a container that has ended is started again, and how soon. Pure.

As moby's restartmanager has it: 100 ms at first, doubled up to a minute, and 100 ms again after a run of 10 s.
"""

from __future__ import annotations

from dataclasses import dataclass

from labdock.engine.records import ContainerRecord

#: The first pause, its growth, its ceiling, and the run time that resets it. Seconds.
BACK_OFF, GROWTH, CEILING, RESET = 0.1, 2.0, 60.0, 10.0


@dataclass(slots=True)
class BackOff:
    """The pauses before one container's restarts. ``pause`` in seconds, 0: there was none yet."""

    pause: float = 0.0

    def after(self, ran: float) -> float:
        """The pause after a run of *ran* seconds."""
        fresh = not self.pause or ran >= RESET
        self.pause = BACK_OFF if fresh else min(self.pause * GROWTH, CEILING)
        return self.pause


def policy_of(record: ContainerRecord) -> str:
    """``no``, ``always``, ``unless-stopped`` or ``on-failure``."""
    policy = record.host.restart_policy
    return (policy and policy.name) or "no"


def wants_restart(record: ContainerRecord) -> bool:
    """What the policy says of a container that has just ended. What a user stopped stays stopped."""
    name = policy_of(record)
    if name == "no" or record.state.by_user:
        return False
    if name == "on-failure":
        policy = record.host.restart_policy
        limit = (policy and policy.maximum_retry_count) or 0
        return record.state.exit_code != 0 and (not limit or record.state.restarts < limit)
    return True


def wants_start(record: ContainerRecord) -> bool:
    """What the policy says of an ended container when the engine is started anew.

    ``always`` starts even what a user had stopped, ``unless-stopped`` does not, ``on-failure`` starts nothing. What
    was only created stays so.
    """
    if not record.state.started:
        return False
    name = policy_of(record)
    return name == "always" or (name == "unless-stopped" and not record.state.by_user)
