"""Work that goes on beside a widget: a thread of its own that follows the engine and ends with the widget."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

from labdock.client import Client, connect
from labdock.client.breaking import Breakable
from labdock.errors import LabdockError


class Watch:
    """Calls *see* with each value of what *follow* gives, in a thread, until it ends or :meth:`stop`.

    *follow* gets a client of its own; stopping hangs up on the engine, so nothing is left waiting. *failed* hears
    the error that ended it, never one that stopping caused.
    """

    def __init__(
        self,
        follow: Callable[[Client], Iterable[Any]],
        see: Callable[[Any], None],
        failed: Callable[[LabdockError], None] = lambda error: None,
        client: Callable[[], Client] | None = None,
    ) -> None:
        self._follow = follow
        self._see = see
        self._failed = failed
        self._client = client() if client is not None else connect(transport=Breakable)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labdock-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for value in self._follow(self._client):
                if self._stopped.is_set():
                    return
                self._see(value)
        except LabdockError as error:
            if not self._stopped.is_set():
                self._failed(error)
        finally:
            self._client.close()

    def pause(self, seconds: float) -> bool:
        """Wait; True when it was stopped meanwhile."""
        return self._stopped.wait(seconds)

    def stop(self) -> None:
        """End it. Returns at once; the thread is gone a moment later."""
        self._stopped.set()
        transport = self._client.transport
        if isinstance(transport, Breakable):
            transport.break_off()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end (not from the thread itself)."""
        with contextlib.suppress(RuntimeError):
            self._thread.join(seconds)
