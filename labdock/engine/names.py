"""Names for containers that were given none, and what a name may look like."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from labdock.errors import InvalidRequest

_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")

_FIRST = (
    "amber brave bright calm clear clever cosy crisp eager early fair fleet fresh gentle glad golden grand green happy "
    "hardy honest jolly keen kind light lively lucky merry mild neat noble patient plain proud quick quiet ready red "
    "rosy sandy sharp silver sleek smooth snug solid sound steady still sunny sweet swift tidy upbeat vivid warm wise"
).split()
_SECOND = (
    "anchor barge beacon bollard boom bow bridge buoy cable canal canvas capstan cargo channel chart "
    "cleat coast compass cove crane crate current deck dock dredger ferry fleet gangway gull halyard "
    "harbor hatch helm hull island jetty keel lagoon lantern ledge lighthouse lock mast mooring oar pier "
    "pilot pontoon port quay raft rope rudder sail shore spar tide tiller tug voyage wharf winch "
).split()


def check_name(name: str) -> str:
    """*name* without its leading slash; InvalidRequest in Docker's words when it can't be one."""
    if not _NAME.match(name):
        raise InvalidRequest(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return name.removeprefix("/")


def pick_name(taken: Callable[[str], bool]) -> str:
    """A free name of two words, with a number once those run out."""
    for attempt in range(1000):
        found = f"{random.choice(_FIRST)}_{random.choice(_SECOND)}"  # noqa: S311  (no secret)
        if attempt > 5:
            found += str(random.randrange(10 ** (1 + attempt // 100)))  # noqa: S311
        if not taken(found):
            return found
    raise InvalidRequest("no free container name was found", hint="give one: --name NAME")
