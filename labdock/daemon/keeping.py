"""Sockets that outlive the engine: outer holds copies, and the next engine takes them up where the last one fell.

What arrives in between waits in the sockets' queues: a question to the name service is answered late, not refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from labdock.daemon.channel import MOST_FDS, Descriptors, Handler, Params

#: Owners with something kept; a container each.
MOST_OWNERS: Final = 16384


class Keeper:
    """Copies of descriptors by owner (a container's id)."""

    def __init__(self) -> None:
        self._kept: dict[str, list[int]] = {}

    def handlers(self) -> dict[str, Handler]:
        """The methods of the channel to the engine, for ``ChannelOutside``."""
        return {"keep": self._serve_keep, "let go": self._serve_let_go, "kept": self._serve_kept}

    def close(self) -> None:
        for owner in list(self._kept):
            self._drop(owner)

    async def _serve_keep(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        owner = str(params["owner"])
        self._drop(owner)
        if len(self._kept) < MOST_OWNERS:
            self._kept[owner] = [fds.take() for _ in range(len(fds))]
        return None, ()

    async def _serve_let_go(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        self._drop(str(params["owner"]))
        return None, ()

    async def _serve_kept(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        """[owner, number of descriptors] from number "from" on, as many as one message carries; [] at the end."""
        page: list[tuple[str, int]] = []
        copies: list[int] = []
        for owner in list(self._kept)[int(params.get("from", 0)) :]:
            held = self._kept[owner]
            if len(copies) + len(held) > MOST_FDS:
                break
            page.append((owner, len(held)))
            copies += [os.dup(fd) for fd in held]
        return page, copies

    def _drop(self, owner: str) -> None:
        for fd in self._kept.pop(owner, ()):
            os.close(fd)
