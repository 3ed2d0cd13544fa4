"""The fd-passing channel: requests, answers and notices as JSON with file descriptors, over one SEQPACKET socket.

::

    request  {"id": "PREFIX-n", "do": METHOD, "with": {…}}     + descriptors
    answer   {"id": "PREFIX-n", "is": RESULT}                  + descriptors
             {"id": "PREFIX-n", "error": {"code", "message", "hint"}}
    notice   {"do": METHOD, "with": {…}}                       (no answer)

Both ends are equal. PREFIX is random per :class:`Channel`: an engine that was started again inherits the socket
of the one that died, and answers meant for that one are dropped, their descriptors closed. Messages are whole
(SEQPACKET keeps their borders) and bounded, the queue of unsent ones and the requests being served too.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from labdock import errors
from labdock.errors import EngineUnreachable, LabdockError, SystemFailure, Unavailable

#: Bytes of one message. Well below the default socket buffer (net.core.wmem_default), so that any one fits.
LONGEST = 64 * 1024
#: Descriptors with one message; the kernel's own bound is 253 (SCM_MAX_FD).
MOST_FDS = 16
#: Messages that wait for a peer that does not read, and requests being served at a time.
MOST_QUEUED = 8192
MOST_SERVED = 8192
#: Messages taken at one go, so that a busy channel leaves the loop to others.
_AT_ONE_GO = 64
_CMSG_SPACE = socket.CMSG_SPACE(MOST_FDS * array.array("i").itemsize)

Params = Mapping[str, Any]

log = logging.getLogger(__name__)


class Descriptors:
    """The descriptors that came with a message; whatever is not taken is closed by the channel."""

    __slots__ = ("_fds",)

    def __init__(self, fds: Iterable[int] = ()) -> None:
        self._fds = deque(fds)

    def __len__(self) -> int:
        return len(self._fds)

    def take(self) -> int:
        """The next descriptor, from now on the caller's. Raises SystemFailure when there is none."""
        if not self._fds:
            raise SystemFailure("a message on the channel came without the descriptor it should carry")
        return self._fds.popleft()

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popleft())


#: Serves one method: gets the parameters and descriptors, gives the result and descriptors to send (then closed).
Handler = Callable[[Params, Descriptors], Awaitable[tuple[Any, Sequence[int]]]]


class _Outgoing:
    __slots__ = ("data", "fds", "owned")

    def __init__(self, data: bytes, fds: Sequence[int], owned: bool) -> None:
        self.data = data
        self.fds = tuple(fds)
        self.owned = owned

    def drop(self) -> None:
        if self.owned:
            for fd in self.fds:
                os.close(fd)
        self.fds = ()


class Channel:
    """One end. Made inside a running event loop; takes the socket over and closes it.

    *handlers* maps a method to its handler and may be added to later. When the peer is gone every open
    call raises EngineUnreachable, and :meth:`wait_closed` returns.
    """

    def __init__(self, sock: socket.socket, handlers: Mapping[str, Handler] | None = None, *, name: str = "") -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._handlers: Mapping[str, Handler] = {} if handlers is None else handlers
        self._name = name or "the other process"
        self._prefix = os.urandom(6).hex()
        self._number = 0
        self._calls: dict[str, asyncio.Future[tuple[Any, Descriptors]]] = {}
        self._unsent: deque[_Outgoing] = deque()
        self._served: set[asyncio.Task[None]] = set()
        self._closed = self._loop.create_future()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._receive)

    @property
    def closed(self) -> bool:
        return self._closed.done()

    async def wait_closed(self) -> None:
        """Return when the peer is gone or :meth:`close` was called."""
        await asyncio.shield(self._closed)

    async def call(
        self, method: str, params: Params | None = None, fds: Sequence[int] = (), *, seconds: float | None = None
    ) -> tuple[Any, Descriptors]:
        """Ask the peer; gives its result and the descriptors that came along (close them, or take them).

        *fds* stay the caller's. The answer is waited for at most *seconds*. Raises what the peer raised
        (labdock.errors), EngineUnreachable when it is gone, Unavailable when it does not answer in time.
        """
        self._number += 1
        number = f"{self._prefix}-{self._number}"
        answer: asyncio.Future[tuple[Any, Descriptors]] = self._loop.create_future()
        message = self._send({"id": number, "do": method, "with": params or {}}, fds, owned=False)
        if self._closed.done():
            # The peer was found gone by this very message.
            raise EngineUnreachable(f"the channel to {self._name} is closed")
        self._calls[number] = answer
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            self._discard(answer)
            raise Unavailable(f"{self._name} did not answer {method!r} within {seconds:g} s") from error
        except asyncio.CancelledError:
            self._discard(answer)
            raise
        finally:
            self._calls.pop(number, None)
            if message in self._unsent:
                self._unsent.remove(message)

    @staticmethod
    def _discard(answer: asyncio.Future[tuple[Any, Descriptors]]) -> None:
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            answer.result()[1].close()

    def notify(self, method: str, params: Params | None = None, fds: Sequence[int] = ()) -> None:
        """Tell the peer, expecting no answer. *fds* stay the caller's, who may close them at once.

        Raises EngineUnreachable when the channel is closed.
        """
        self._send({"do": method, "with": params or {}}, [os.dup(fd) for fd in fds], owned=True)

    def forget_calls(self, reason: str) -> None:
        """Fail every open call: the process that would have answered has died, its successor will not.

        (The socket alone does not say so: others hold the same end.)
        """
        for answer in tuple(self._calls.values()):
            if not answer.done():
                answer.set_exception(EngineUnreachable(reason))

    def close(self) -> None:
        """Close this end: open calls fail, requests being served are cancelled. Safe to call twice."""
        if self._closed.done():
            return
        self._closed.set_result(None)
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self.forget_calls(f"the channel to {self._name} is closed")
        while self._unsent:
            self._unsent.popleft().drop()
        for task in self._served:
            task.cancel()

    # -- sending

    def _send(self, message: Mapping[str, Any], fds: Sequence[int], *, owned: bool) -> _Outgoing:
        data = json.dumps(message, separators=(",", ":")).encode()
        outgoing = _Outgoing(data, fds, owned)
        try:
            if self._closed.done():
                raise EngineUnreachable(f"the channel to {self._name} is closed")
            if len(data) > LONGEST or len(fds) > MOST_FDS:
                raise SystemFailure(
                    f"a message of {len(data)} bytes and {len(fds)} descriptors does not fit the channel"
                    f" ({LONGEST} bytes, {MOST_FDS} descriptors)"
                )
            if len(self._unsent) >= MOST_QUEUED:
                raise Unavailable(f"{self._name} takes no messages: {len(self._unsent)} wait for it")
        except LabdockError:
            outgoing.drop()
            raise
        if self._unsent or not self._put(outgoing):
            if not self._closed.done():
                if not self._unsent:
                    self._loop.add_writer(self._sock.fileno(), self._flush)
                self._unsent.append(outgoing)
            else:
                outgoing.drop()
        return outgoing

    def _put(self, outgoing: _Outgoing) -> bool:
        """Send now; False when the socket is full (or, then closed, the peer gone)."""
        ancillary = []
        if outgoing.fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", outgoing.fds))]
        try:
            self._sock.sendmsg([outgoing.data], ancillary, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            log.debug("sending to %s: %s", self._name, error)
            self.close()
            return False
        outgoing.drop()
        return True

    def _flush(self) -> None:
        while self._unsent and not self._closed.done():
            if not self._put(self._unsent[0]):
                return
            self._unsent.popleft()
        if not self._closed.done():
            self._loop.remove_writer(self._sock.fileno())

    # -- receiving

    def _receive(self) -> None:
        for _ in range(_AT_ONE_GO):
            if self._closed.done():
                return
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(LONGEST, _CMSG_SPACE, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.debug("receiving from %s: %s", self._name, error)
                self.close()
                return
            fds = Descriptors(_descriptors(ancillary))
            if not data or flags & socket.MSG_TRUNC:
                fds.close()
                self.close()
                return
            # quirk: at its limit of open files the kernel drops descriptors and says so only by this flag.
            self._dispatch(data, fds, lost=bool(flags & socket.MSG_CTRUNC))

    def _dispatch(self, data: bytes, fds: Descriptors, lost: bool) -> None:
        try:
            message = json.loads(data)
            number, method = message.get("id"), message.get("do")
        except (ValueError, AttributeError):
            log.error("a message from %s is not JSON; the channel is closed", self._name)
            fds.close()
            self.close()
            return
        if method is not None:
            self._start_serving(number, method, message.get("with", {}), fds, lost)
            return
        answer = self._calls.get(number)
        if answer is None or answer.done():
            fds.close()
        elif "error" in message:
            fds.close()
            answer.set_exception(revive(message["error"]))
        elif lost:
            fds.close()
            answer.set_exception(_lost_descriptors())
        else:
            answer.set_result((message.get("is"), fds))

    def _start_serving(self, number: str | None, method: str, params: Params, fds: Descriptors, lost: bool) -> None:
        if len(self._served) >= MOST_SERVED:
            fds.close()
            self._reply_error(number, Unavailable(f"{MOST_SERVED} requests are being served already"))
            return
        task = self._loop.create_task(self._serve(number, method, params, fds, lost), name=f"serve {method}")
        self._served.add(task)
        task.add_done_callback(lambda done: self._end_serving(done, fds))

    def _end_serving(self, task: asyncio.Task[None], fds: Descriptors) -> None:
        # Here and not in the task: one that is cancelled before its first step runs no line of it.
        self._served.discard(task)
        fds.close()

    async def _serve(self, number: str | None, method: str, params: Params, fds: Descriptors, lost: bool) -> None:
        try:
            if lost:
                raise _lost_descriptors()
            handler = self._handlers.get(method)
            if handler is None:
                raise SystemFailure(f"{method!r} is not a method of this end of the channel")
            result, carried = await handler(params, fds)
        except LabdockError as error:
            self._reply_error(number, error)
        except OSError as error:
            self._reply_error(number, SystemFailure(f"{method}: {error}"))
        except Exception as error:
            log.exception("serving %s", method)
            self._reply_error(number, SystemFailure(f"{method}: {type(error).__name__}: {error}"))
        else:
            self._reply(number, result, carried)

    def _reply(self, number: str | None, result: Any, carried: Sequence[int]) -> None:
        if number is None:
            for fd in carried:
                os.close(fd)
            return
        try:
            self._send({"id": number, "is": result}, carried, owned=True)
        except LabdockError as error:
            self._reply_error(number, error)

    def _reply_error(self, number: str | None, error: LabdockError) -> None:
        if number is None:
            log.warning("a notice could not be served: %s", error)
            return
        with contextlib.suppress(LabdockError):
            self._send({"id": number, "error": preserve(error)}, (), owned=False)


def preserve(error: LabdockError) -> dict[str, str | None]:
    """*error* as it travels."""
    return {"code": error.code, "message": error.message[:8192], "hint": error.hint and error.hint[:8192]}


def revive(travelled: Mapping[str, Any]) -> LabdockError:
    """The error that :func:`preserve` packed: of the class with its code, else a LabdockError."""
    kind = _classes().get(str(travelled.get("code")), LabdockError)
    revived = kind.__new__(kind)
    # Some classes have a constructor of their own that makes the message.
    LabdockError.__init__(revived, str(travelled.get("message")), hint=travelled.get("hint"))
    return revived


def _classes() -> dict[str, type[LabdockError]]:
    # DockerfileError carries more than travels here: it comes back as its base.
    found: dict[str, type[LabdockError]] = {"dockerfile": errors.InvalidRequest}
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, LabdockError) and value.code not in found:
            found[value.code] = value
    return found


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> Iterable[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds


def _lost_descriptors() -> SystemFailure:
    return SystemFailure(
        "the descriptors of a message were lost: this process has as many files open as it may",
        hint="raise the limit of open files (ulimit -n) and start the engine again",
    )
