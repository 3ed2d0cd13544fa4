"""Ending containers for somebody who waits: asked first, killed soon."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.containers import Waiting

#: Seconds that programs get between being asked and being killed when a cell is interrupted.
GRACE = 0.4


def end_all(client: Client, ids: Iterable[str], seconds: float = GRACE) -> None:
    """Send each container its stop signal; kill those that have not ended after *seconds*. Raises nothing."""
    asked: dict[str, Waiting] = {}
    with contextlib.ExitStack() as ends:
        for id in ids:
            with contextlib.suppress(LabdockError):
                asked[id] = client.containers.prepare_wait(id)
                ends.callback(asked[id].close)
                signal = (client.containers.inspect(id).raw.get("Config") or {}).get("StopSignal")
                client.containers.kill(id, signal or "TERM")
        left, end = dict(asked), time.monotonic() + seconds
        while left and (rest := end - time.monotonic()) > 0:
            ready = select.select(list(left.values()), [], [], rest)[0]
            left = {id: waiting for id, waiting in left.items() if waiting not in ready}
    for id in left:
        with contextlib.suppress(LabdockError):
            client.containers.stop(id, timeout=0)
