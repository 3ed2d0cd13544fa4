"""Managed plugins: labdock's engine has none and installs none; engines behind other contexts may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labdock.client.caller import Caller, path
from labdock.client.results import Wire


class Plugins:
    """*name* is a plugin's name or id. NotFound when there is none."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> Sequence[Wire]:
        found: Sequence[Wire] = self._caller.fetch("/plugins", {"filters": filters})
        return found

    def inspect(self, name: str) -> Wire:
        found: Wire = self._caller.fetch(path("plugins", name, "json"))
        return found

    def enable(self, name: str, timeout: int = 0) -> None:
        """*timeout* in seconds; 0 waits for ever."""
        self._caller.call("POST", path("plugins", name, "enable"), {"timeout": timeout})

    def disable(self, name: str, *, force: bool = False) -> None:
        self._caller.call("POST", path("plugins", name, "disable"), {"force": force})

    def set(self, name: str, settings: Sequence[str]) -> None:
        """*settings*: ``KEY=VALUE``."""
        self._caller.call("POST", path("plugins", name, "set"), None, [*settings])

    def remove(self, name: str, *, force: bool = False) -> None:
        self._caller.call("DELETE", path("plugins", name), {"force": force})
