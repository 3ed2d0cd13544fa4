"""The life of a container as a table: which verb is allowed in which state, and where it leads. Pure.

States are Docker's (Engine API, ContainerState.Status). ``draw`` gives the table as a Mermaid diagram for the docs.
"""

from __future__ import annotations

from enum import StrEnum

from labdock.errors import Conflict


class Status(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Verb(StrEnum):
    START = "start"
    STARTED = "started"
    EXIT = "exit"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    BACK_OFF = "back off"
    REMOVE = "remove"
    GIVE_UP = "give up"


#: (state, verb) -> state. What is not here is refused.
TABLE: dict[tuple[Status, Verb], Status] = {
    (Status.CREATED, Verb.STARTED): Status.RUNNING,
    (Status.EXITED, Verb.STARTED): Status.RUNNING,
    (Status.RESTARTING, Verb.STARTED): Status.RUNNING,
    (Status.RUNNING, Verb.EXIT): Status.EXITED,
    (Status.PAUSED, Verb.EXIT): Status.EXITED,
    (Status.RESTARTING, Verb.EXIT): Status.EXITED,
    (Status.CREATED, Verb.EXIT): Status.EXITED,
    (Status.RUNNING, Verb.PAUSE): Status.PAUSED,
    (Status.PAUSED, Verb.UNPAUSE): Status.RUNNING,
    (Status.RUNNING, Verb.BACK_OFF): Status.RESTARTING,
    (Status.PAUSED, Verb.BACK_OFF): Status.RESTARTING,
    (Status.EXITED, Verb.BACK_OFF): Status.RESTARTING,
    (Status.CREATED, Verb.REMOVE): Status.REMOVING,
    (Status.EXITED, Verb.REMOVE): Status.REMOVING,
    (Status.DEAD, Verb.REMOVE): Status.REMOVING,
    (Status.REMOVING, Verb.REMOVE): Status.REMOVING,
    (Status.REMOVING, Verb.GIVE_UP): Status.DEAD,
    # Its files are gone.
    (Status.CREATED, Verb.GIVE_UP): Status.DEAD,
    (Status.EXITED, Verb.GIVE_UP): Status.DEAD,
}

ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})


def follow(status: Status, verb: Verb, subject: str) -> Status:
    """The state after *verb*; Conflict, naming *subject* (a container's id), when the table has no such arrow."""
    after = TABLE.get((status, verb))
    if after is None:
        raise Conflict(f"cannot {verb} container {subject}: it is {status}")
    return after


def draw() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> created"]
    lines += [f"    {before} --> {after}: {verb}" for (before, verb), after in TABLE.items()]
    return "\n".join(lines) + "\n"
