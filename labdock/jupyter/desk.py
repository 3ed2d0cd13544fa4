"""What the handlers of one server share."""

from __future__ import annotations

import asyncio
import atexit
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir

from labdock.jupyter.board import Board
from labdock.jupyter.engine import Link
from labdock.jupyter.relay import Relay
from labdock.jupyter.trust import Trust
from labdock.jupyter.usage import Usage

#: The command, whatever PATH says; nothing is imported from the folder it is run in.
LABDOCK = (sys.executable, "-P", "-c", "from labdock.cli import main; raise SystemExit(main())")


class Desk:
    """``settings``: the web application's; what other extensions put there is looked up when it is needed."""

    def __init__(self, environment: Mapping[str, str], settings: dict[str, Any]) -> None:
        self.settings = settings
        self._tasks: set[asyncio.Task[Any]] = set()
        self.link = Link(environment)
        self.board = Board(self.link, self._abilities)
        self.usage = Usage(self.link, self.board)
        self.relay = Relay(self.link)
        self.trust = Trust(Path(jupyter_data_dir()) / "labdock" / "trusted-images.json", self.link)
        self.ports = False
        #: The names of cookies that containers' applications have set, by container and port.
        self.cookies: dict[tuple[str, str], set[str]] = {}
        atexit.register(self.relay.close)

    def _abilities(self) -> dict[str, bool]:
        return {"terminals": self.terminals is not None, "ports": self.ports}

    @property
    def terminals(self) -> Any:
        """Jupyter's terminal manager; None when terminals are disabled."""
        return self.settings.get("terminal_manager")

    @property
    def environment(self) -> dict[str, str]:
        return self.link.environment

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do *work* in a task that is kept until its end."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what goes on for browsers; the engine stays as it is."""
        await self.board.close()
        self.relay.close()
        atexit.unregister(self.relay.close)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
