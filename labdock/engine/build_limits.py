"""What a build asks for and its RUN steps can't be given: words for its stream. Pure."""

from __future__ import annotations

from collections.abc import Collection

from labdock.engine.caveats import warn as warn_of_container
from labdock.schema.build_query import BuildQuery

#: Parameters that say nothing of the image, and how an unset one is sent.
_SILENT = frozenset(("session", "buildid"))
_UNSET = frozenset(("", "0", "false", "null", "[]", "{}", "default"))


def warn(query: BuildQuery, controls: Collection[str]) -> tuple[str, ...]:
    """One sentence for each limit that is not wholly kept, and for each parameter that this engine does not know.

    *controls*: the files that the groups of containers and steps have.
    """
    unknown = sorted(name for name, text in query.extra.items() if name not in _SILENT and text not in _UNSET)
    found = warn_of_container(query.limits, controls=controls)
    return (*found, *(f"The build's parameter {name} is not kept by this engine. Discarded." for name in unknown))
