"""Where a repository is asked for: its mirrors in their order, then the registry itself."""

from __future__ import annotations

from dataclasses import dataclass

from labdock.registry import Repository, hosts
from labdock.registry.settings import Mirror, Settings
from labdock.registry.wire import Wire


@dataclass(frozen=True, slots=True)
class Place:
    """One registry. ``host``: whose credentials and certificates count; ``root``: ``https://name[:port]/v2/``."""

    host: str
    root: str
    prefix: str = ""
    mirror: bool = False

    def url(self, repository: Repository, rest: str) -> str:
        """Of *rest* (``manifests/latest``) in *repository*."""
        path = f"{self.prefix}/{repository.path}" if self.prefix else repository.path
        return f"{self.root}{path}/{rest}"

    def scope(self, repository: Repository, actions: str = "pull") -> str:
        path = f"{self.prefix}/{repository.path}" if self.prefix else repository.path
        return f"repository:{path}:{actions}"


class Places:
    """Finds them, once each; forgets a mirror that does not work or tells lies, as long as this lives."""

    def __init__(self, wire: Wire, settings: Settings) -> None:
        self._wire = wire
        self._settings = settings
        self._dropped: set[str] = set()

    async def origin(self, host: str) -> Place:
        """The registry itself. Raises what reaching it raises."""
        at = hosts.locate(host)
        scheme = await self._wire.scheme(at)
        return Place(hosts.normalize(host), f"{scheme}://{at}/v2/")

    def mirrors(self, host: str) -> list[Mirror]:
        known = self._settings.mirrors.get(hosts.normalize(host), ())
        return [mirror for mirror in known if mirror.host not in self._dropped]

    async def mirror(self, mirror: Mirror) -> Place:
        at = hosts.locate(mirror.host)
        scheme = mirror.scheme or await self._wire.scheme(at)
        return Place(hosts.normalize(mirror.host), f"{scheme}://{at}/v2/", mirror.prefix, mirror=True)

    def drop(self, host: str) -> None:
        """Ask the mirror *host* no more."""
        self._dropped.add(host)
