"""The words of a magic's line: split as a shell does, with ``{name}`` as the notebook's variables. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from labdock.errors import InvalidRequest

#: ``{name}`` alone: no brace or dollar before it, no brace after it, so ``{{.ID}}`` and ``${X}`` stay Docker's.
_NAME = re.compile(r"(?<![{$\\])\{([A-Za-z_]\w*)\}(?!\})")


def split(line: str, variables: Mapping[str, object]) -> list[str]:
    """The words of *line*. A variable's value stays one word; a name that is no variable stays as it is.

    Raises InvalidRequest for a quotation mark without its partner.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidRequest(
            f"cannot read {line!r}: {str(error).lower()}", hint="put a backslash before a quotation mark that is meant"
        ) from error
    return [expand(word, variables) for word in words]


def expand(word: str, variables: Mapping[str, object]) -> str:
    def value(found: re.Match[str]) -> str:
        return str(variables[found[1]]) if found[1] in variables else found[0]

    return _NAME.sub(value, word)
