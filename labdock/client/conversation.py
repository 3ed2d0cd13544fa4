"""Carrying a process's streams between here and the engine, until its output ends.

One poll loop: output is written as it comes, input is sent only as fast as it is taken (so that neither side can
block the other), and a wake-up descriptor brings signals in.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labdock.client.streams import Attached

BLOCK = 65_536
Write = Callable[[str, bytes], None]


class Input:
    """What goes to the process: bytes at hand, then a descriptor until its end."""

    def __init__(self, data: bytes = b"", descriptor: int | None = None) -> None:
        self.data = memoryview(data)
        self.descriptor = descriptor
        self.closed = False

    def read(self) -> None:
        """Take what the descriptor has; its end leaves none."""
        try:
            data = os.read(self.descriptor if self.descriptor is not None else -1, BLOCK)
        except OSError:  # A terminal that went away answers EIO: the end of input like any other.
            data = b""
        self.data = memoryview(data)
        if not data:
            self.descriptor = None

    @property
    def over(self) -> bool:
        return not self.data and self.descriptor is None


def converse(
    attached: Attached,
    write: Write,
    source: Input | None = None,
    wake: tuple[int, Callable[[bytes], None]] | None = None,
) -> None:
    """Until the output's end. *source* None: no input is sent, the stream's input end stays open.

    *wake*: a descriptor and what is called with the bytes it brings.
    """
    raw = attached.raw
    poll = select.poll()
    if wake is not None:
        poll.register(wake[0], select.POLLIN)
    while True:
        if source is not None and not source.closed and source.over:
            source.closed = True
            attached.close_stdin()
        _watch(poll, raw.fileno(), source)
        ready = {raw.fileno(): select.POLLIN} if raw.pending else dict(poll.poll())
        if wake is not None and wake[0] in ready:
            wake[1](os.read(wake[0], BLOCK))
        if source is not None and source.descriptor in ready and not source.data:
            _unwatch(poll, source.descriptor)
            source.read()
        events = ready.get(raw.fileno(), 0)
        if events & select.POLLOUT and source is not None:
            _send(attached, source)
        if events & ~select.POLLOUT:
            data = raw.read(BLOCK)
            if not data:
                return
            for stream, part in attached.output.feed(data):
                write(stream, part)


def _watch(poll: select.poll, connection: int, source: Input | None) -> None:
    sending = source is not None and bool(source.data)
    poll.register(connection, select.POLLIN | (select.POLLOUT if sending else 0))
    if source is not None and source.descriptor is not None:
        # Not even errors are watched while input waits: a closed terminal would wake the loop for ever.
        if sending:
            _unwatch(poll, source.descriptor)
        else:
            poll.register(source.descriptor, select.POLLIN)


def _unwatch(poll: select.poll, descriptor: int | None) -> None:
    if descriptor is not None:
        try:
            poll.unregister(descriptor)
        except KeyError:
            return


def _send(attached: Attached, source: Input) -> None:
    try:
        source.data = source.data[attached.raw.write_some(bytes(source.data)) :]
    except OSError:
        # The process has ended or closed its input; what it still says is read to the end.
        source.data, source.descriptor, source.closed = memoryview(b""), None, True
