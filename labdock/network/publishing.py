"""Published ports: which a container asks for, and outer holding them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from labdock.errors import Conflict, LabdockError
from labdock.network import Address, Endpoint, Outside, Published, ports
from labdock.schema.container import PortBinding

Shown = dict[str, tuple[PortBinding, ...]]


class Publishing:
    """What containers publish, by container. *outside* holds the ports."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        #: Containers that have published something.
        self._owners: set[str] = set()

    async def load(self) -> None:
        """Ask outer what it holds: an engine before this one may have published."""
        self._owners = {held.owner for held in await self._outside.published()}

    async def publish(
        self,
        container: str,
        endpoint: Endpoint,
        bindings: Mapping[str, Sequence[PortBinding] | None],
        exposed: Iterable[str] = (),
        publish_all: bool = False,
        name: str = "",
        default_host: str = "",
    ) -> Shown:
        """Hold the host ports of *bindings* ({"80/tcp": (PortBinding, …)}), with *publish_all* all *exposed* ones.

        Gives the same keys with the real addresses, as inspect shows them. All or nothing. *default_host* is the
        host address of bindings that name none. Raises Conflict (a taken port), Forbidden (a low one),
        InvalidRequest, Unsupported (SCTP), in Docker's words with *name*.
        """
        wishes = ports.plan(bindings, exposed, publish_all, default_host)
        target = endpoint.ip or endpoint.ip6
        if not wishes or not target:
            return {}
        self._owners.add(container)
        shown: Shown = {}
        try:
            for wish in wishes:
                held = await self._hold(container, wish, Address(target, wish.port, wish.proto))
                shown[wish.key] = shown.get(wish.key, ()) + ports.show(held.host)
        except BaseException as error:
            with contextlib.suppress(LabdockError):
                await self.unpublish(container)
            if isinstance(error, LabdockError):
                error.message = (
                    "driver failed programming external connectivity on endpoint"
                    f" {name or container[:12]} ({endpoint.endpoint_id}): {error.message}"
                )
            raise
        return shown

    async def _hold(self, container: str, wish: ports.Wish, target: Address) -> Published:
        """The first host address of *wish* that is free."""
        for host in wish.hosts[:-1]:
            with contextlib.suppress(Conflict):
                return await self._outside.publish(container, host, target)
        return await self._outside.publish(container, wish.hosts[-1], target)

    async def move(self, container: str, endpoint: Endpoint) -> None:
        """The container's ports lead to *endpoint* from now on."""
        if container in self._owners:
            await self._outside.retarget(container, endpoint.ip or endpoint.ip6)

    async def unpublish(self, container: str) -> None:
        """Close everything that the container published; its connections end."""
        if container in self._owners:
            await self._outside.unpublish(container)
            self._owners.discard(container)

    async def keep(self, alive: set[str]) -> None:
        """Close what others than the containers *alive* left behind."""
        for owner in self._owners - alive:
            await self.unpublish(owner)
