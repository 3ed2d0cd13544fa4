"""The keys that may follow in a Compose file that is being typed."""

from __future__ import annotations

import re

#: Of the file; those of a service are what its reader reads.
OF_FILE = ("configs", "include", "name", "networks", "secrets", "services", "volumes")
_KEY = re.compile(r"( *)([\w.-]+) *:(\s|$)")


def keys_after(text: str) -> list[str] | None:
    """Keys that may stand where *text*, the file up to the cursor, ends; None where no key is being typed.

    The file's own and those of a service, by the indentation of the lines before; nothing is parsed.
    """
    *before, line = text.split("\n")
    typed = re.fullmatch(r"( *)([\w.-]*)", line)
    if not typed:
        return None
    path, depth = list[str](), len(typed[1])
    for earlier in reversed(before):
        found = _KEY.match(earlier)
        if found and len(found[1]) < depth:
            depth = len(found[1])
            path.insert(0, found[2])
    known = list[str]()
    if not path and not typed[1]:
        known = list(OF_FILE)
    elif len(path) == 2 and path[0] == "services":
        from labdock.compose.keys import SERVICE

        known = sorted(SERVICE)
    return [key for key in known if key.startswith(typed[2])]
