"""Streams and long work for one browser, several over one websocket; closing a channel ends its work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from labdock.errors import InvalidRequest, LabdockError
from labdock.jupyter.outbox import Outbox
from labdock.jupyter.shapes import Failure, encode

if TYPE_CHECKING:
    from labdock.jupyter.desk import Desk

log = logging.getLogger(__name__)

#: Data frames of a channel that the browser has not acknowledged; then nothing more is read for it.
WINDOW = 32
#: Channels of one websocket.
MOST = 64

Opened = dict[str, Any]
Kind = Callable[["Channel", Opened], Awaitable[dict[str, Any] | None]]


class Channel:
    """One channel, as its work sees it."""

    def __init__(self, number: int, outbox: Outbox, desk: Desk) -> None:
        self.number = number
        self.desk = desk
        self._outbox = outbox
        self._unacknowledged = 0
        self._room = asyncio.Event()
        self._room.set()
        self.task: asyncio.Task[None] | None = None

    async def data(self, **members: Any) -> None:
        """Send a data frame; waits while the browser is behind."""
        await self._room.wait()
        self._unacknowledged += 1
        if self._unacknowledged >= WINDOW:
            self._room.clear()
        self._outbox.put(encode({"type": "data", "channel": self.number, **members}))

    def acknowledge(self) -> None:
        self._unacknowledged = max(self._unacknowledged - 1, 0)
        if self._unacknowledged < WINDOW:
            self._room.set()

    def end(self, error: LabdockError | None = None, result: dict[str, Any] | None = None) -> None:
        frame: dict[str, Any] = {"type": "end", "channel": self.number}
        if error is not None:
            frame["error"] = Failure(message=error.message, hint=error.hint or "")
        elif result is not None:
            frame["result"] = result
        self._outbox.put(encode(frame))


class Channels:
    """The channels of one websocket."""

    def __init__(self, outbox: Outbox, desk: Desk, kinds: dict[str, Kind]) -> None:
        self._outbox = outbox
        self._desk = desk
        self._kinds = kinds
        self._open: dict[int, Channel] = {}

    def take(self, text: str | bytes) -> None:
        """A frame from the browser. Raises InvalidRequest for what is none."""
        try:
            frame = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise InvalidRequest(f"a frame that is no JSON object: {error}") from error
        number = frame.get("channel")
        if not isinstance(number, int) or isinstance(number, bool):
            raise InvalidRequest("a frame without a channel's number")
        operation = frame.get("op")
        if operation == "open":
            self._begin(number, frame)
        elif operation == "close":
            self._finish(number)
        elif operation == "ack":
            if found := self._open.get(number):
                found.acknowledge()
        else:
            raise InvalidRequest(f"{operation!r} is no operation")

    def _begin(self, number: int, frame: Opened) -> None:
        channel = Channel(number, self._outbox, self._desk)
        kind = frame.get("kind")
        work = self._kinds.get(kind) if isinstance(kind, str) else None
        if number in self._open:
            raise InvalidRequest(f"the channel {number} is open already")
        if work is None:
            channel.end(InvalidRequest(f"{kind!r} is no kind of channel", hint=f"known: {', '.join(self._kinds)}"))
        elif len(self._open) >= MOST:
            channel.end(InvalidRequest(f"{MOST} channels are open already", hint="close some first"))
        else:
            self._open[number] = channel
            channel.task = asyncio.create_task(self._work(channel, work, frame), name=f"labdock-{kind}")

    async def _work(self, channel: Channel, work: Kind, frame: Opened) -> None:
        try:
            channel.end(result=await work(channel, frame))
        except LabdockError as error:
            channel.end(error)
        except Exception:
            log.exception("the channel %r failed", frame.get("kind"))
            channel.end(LabdockError("this failed on the server", hint="the Jupyter server's log has the reason"))
        finally:
            if self._open.get(channel.number) is channel:
                del self._open[channel.number]

    def _finish(self, number: int) -> None:
        channel = self._open.pop(number, None)
        if channel is not None and channel.task is not None:
            channel.task.cancel()

    async def close(self) -> None:
        """End all work."""
        tasks = [channel.task for channel in self._open.values() if channel.task is not None]
        self._open.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def text(frame: Opened, name: str, default: str | None = None) -> str:
    """The text *name* that a channel was opened with. Raises InvalidRequest when it has none (and no *default*)."""
    value = frame.get(name, default)
    if value is None:
        value = default
    if not isinstance(value, str) or (not value and default is None):
        raise InvalidRequest(f"{name!r} is missing")
    return value
