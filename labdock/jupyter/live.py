"""The one websocket: how things are, what changes, and channels for streams and long work."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from typing import Any

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from labdock.errors import InvalidRequest
from labdock.jupyter import access
from labdock.jupyter.channels import Channels, Kind
from labdock.jupyter.desk import Desk
from labdock.jupyter.outbox import Outbox
from labdock.jupyter.shapes import Engine, Shape, State, encode

#: RFC 6455 §7.4.1; the browser may try again later.
POLICY, LATER = 1008, 1013
#: Bytes of a frame from a browser.
LONGEST = 1 << 20


class Live(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A :class:`labdock.jupyter.board.Watcher`."""

    auth_resource = access.RESOURCE
    desk: Desk
    outbox: Outbox | None = None
    channels: Channels

    def initialize(self, desk: Desk, kinds: dict[str, Kind]) -> None:
        self.desk = desk
        self._kinds = kinds

    @property
    def max_message_size(self) -> int:
        return LONGEST

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        await super().prepare(*args, **kwargs)
        if not self._finished:
            await access.authorise(self, "execute")

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        self.outbox = Outbox(self._send, lambda reason: self.close(LATER, reason))
        self.channels = Channels(self.outbox, self.desk, self._kinds)
        self.desk.board.join(self)

    async def _send(self, frame: bytes) -> None:
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            await self.write_message(frame)

    def on_message(self, message: str | bytes) -> None:
        try:
            self.channels.take(message)
        except InvalidRequest as error:
            self.close(POLICY, error.message[:100])

    def on_close(self) -> None:
        super().on_close()
        if self.outbox is not None:
            self.desk.board.leave(self)
            self.outbox.close()
            self.desk.spawn(self.channels.close())

    def show_engine(self, engine: Engine) -> None:
        if self.outbox is not None:
            self.outbox.put(encode({"type": "engine", "engine": engine}), "engine")

    def show_state(self, state: State) -> None:
        if self.outbox is not None:
            # It says all that waiting changes would.
            self.outbox.drop(_is_change)
            self.outbox.put(b'{"type":"state",' + encode(state)[1:], "state")

    def show_change(self, kind: str, id: str, value: Shape | None) -> None:
        if self.outbox is not None:
            frame = encode({"type": "change", "kind": kind, "id": id, "value": value})
            self.outbox.put(frame, ("change", kind, id))


def _is_change(key: Hashable) -> bool:
    return isinstance(key, tuple) and key[0] == "change"
