"""``# check=skip=A,B;error=true``: which checks are wanted, for a file or for one instruction. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from labdock.build.checks.rules import Rule
from labdock.build.dockerfile.source import SPACES

#: The build argument whose value goes before the file's own directive.
ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
_COMMENT = re.compile(r"\s*check\s*=\s*(\S+)", re.IGNORECASE)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


@dataclass(frozen=True, slots=True)
class Options:
    """``skip`` and ``experimental`` are names of checks; ``error``: a finding fails the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental_all: bool = False
    error: bool = False

    def want(self, rule: Rule) -> bool:
        if rule.experimental:
            return self.experimental_all or rule.name in self.experimental
        return not (self.skip_all or rule.name in self.skip)

    def narrow(self, comments: tuple[str, ...]) -> Options:
        """These with what the first ``check=`` of *comments* adds; one that can't be read adds nothing."""
        found = next(filter(None, map(_COMMENT.match, comments)), None)
        if found is None:
            return self
        try:
            other = read_options(found[1])
        except ValueError:
            return self
        return replace(
            self,
            skip=self.skip | other.skip,
            experimental=self.experimental | other.experimental,
            skip_all=self.skip_all or other.skip_all,
            experimental_all=self.experimental_all or other.experimental_all,
        )


def read_options(text: str) -> Options:
    """The options *text* asks for. Raises ValueError in BuildKit's words."""
    found = Options()
    for part in text.strip(SPACES).split(";", 2) if text.strip(SPACES) else ():
        key, equals, value = part.partition("=")
        key, value = key.strip(SPACES), value.strip(SPACES)
        if not equals:
            raise ValueError(f'invalid check option "{part}"')
        if key == "error":
            if value not in _TRUE + _FALSE:
                raise ValueError(f'failed to parse check option "{part}": "{value}" is neither true nor false')
            found = replace(found, error=value in _TRUE)
        elif key not in ("skip", "experimental"):
            raise ValueError(f'invalid check option "{key}"')
        elif value == "all":
            found = replace(found, skip_all=True) if key == "skip" else replace(found, experimental_all=True)
        else:
            names = frozenset(name.strip(SPACES) for name in value.split(","))
            found = replace(found, skip=names) if key == "skip" else replace(found, experimental=names)
    return found
