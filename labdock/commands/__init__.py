"""One tree of commands, Docker's words, for every place where commands are typed.

:func:`run` takes words, does what they say through a :class:`~labdock.commands.face.Face`, and gives a result:
an object with ``str()`` for terminals, HTML for notebooks and an ``exit_code``. Runs in the user's own process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.commands.results import Result

__all__ = ["run"]


def run(words: Sequence[str], face: Face, program: str = "labdock") -> Result | None:
    """Do what *words* say; None when there is nothing to show.

    Raises labdock.errors for what went wrong (usage errors as InvalidRequest) and KeyboardInterrupt.
    """
    from labdock.commands.dispatch import dispatch

    return dispatch(words, face, program)
