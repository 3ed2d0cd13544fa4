"""The client for asyncio: the same calls, awaited, and streams for ``async for``.

::

    async with labdock.aconnect() as client:
        for container in await client.containers.list(): ...
        async for line in client.images.pull("busybox"): ...
        async with await client.containers.run("httpd", detach=True) as web: ...

There is one client, the blocking one; here each call has a thread and connections of its own, and cancelling a task
hangs up on the engine, which ends what was asked for. The types are in ``aio.pyi``, made from the blocking client's
signatures by ``scripts/async_stub.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from labdock.client.breaking import Breakable

#: The attributes of the blocking client that hold its calls.
PARTS = ("builds", "containers", "execs", "images", "networks", "registries", "system", "volumes")
#: Values that are more than values: what a call gives to go on working with.
HANDLES = ("Attached", "Output", "Running", "Waiting")
_END = object()


async def work(do: Callable[[], Any], give_up: Callable[[], None]) -> Any:
    """What *do* returns, done in a thread; *give_up* is called when the task is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = do()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="labdock-call", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        give_up()
        raise


class Stream:
    """An iterator of the blocking client, for ``async for``. A context manager; closing it early ends the request."""

    def __init__(self, begin: Callable[[], Iterator[Any]], transport: Breakable) -> None:
        self._begin = begin
        self._transport = transport
        self._source: Iterator[Any] | None = None

    def _next(self) -> Any:
        if self._source is None:
            self._source = iter(self._begin())
        return next(self._source, _END)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        found = await work(self._next, self._transport.break_off)
        if found is _END:
            raise StopAsyncIteration
        return wrap(found, self._transport)

    async def aclose(self) -> None:
        self._transport.break_off()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()


class Calls:
    """The methods of *target*, awaited; each made on what *open* gives, with the transport to give up by."""

    def __init__(self, kind: type, open: Callable[[], tuple[Any, Breakable]]) -> None:
        self._kind = kind
        self._open = open

    def __getattr__(self, name: str) -> Any:
        function = None if name.startswith("_") else getattr(self._kind, name, None)
        if not callable(function):
            raise AttributeError(f"{self._kind.__name__} has no call {name!r}")
        streams = str(inspect.get_annotations(function).get("return", "")).startswith("Iterator[")

        def call(*arguments: Any, **options: Any) -> Any:
            target, transport = self._open()
            method = getattr(target, name)
            if streams:
                return Stream(lambda: method(*arguments, **options), transport)
            return self._await(lambda: method(*arguments, **options), transport)

        call.__name__, call.__doc__ = name, function.__doc__
        return call

    @staticmethod
    async def _await(do: Callable[[], Any], transport: Breakable) -> Any:
        return wrap(await work(do, transport.break_off), transport)


class Handle(Calls):
    """An object to go on working with (a running container, a stream of output), its calls awaited."""

    def __init__(self, value: Any, transport: Breakable) -> None:
        super().__init__(type(value), lambda: (value, transport))
        self._value = value
        self._transport = transport
        self._source: Stream | None = None

    def __getattr__(self, name: str) -> Any:
        found = inspect.getattr_static(type(self._value), name, None)
        if name.startswith("_") or callable(found):
            return super().__getattr__(name)
        return getattr(self._value, name)

    def __repr__(self) -> str:
        return f"<async {self._value!r}>"

    def __aiter__(self) -> Stream:
        return Stream(lambda: iter(self._value), self._transport)

    async def __aenter__(self) -> Handle:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await asyncio.shield(work(lambda: self._value.__exit__(None, None, None), lambda: None))


def wrap(value: Any, transport: Breakable) -> Any:
    return Handle(value, transport) if type(value).__name__ in HANDLES else value


class AsyncClient:
    """See :mod:`labdock.client.aio`. *make* gives a blocking client over a transport of the class it is given."""

    def __init__(self, make: Callable[[type[Breakable]], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Calls:
        if name not in PARTS:
            raise AttributeError(f"the client has no part {name!r}: {', '.join(PARTS)}")

        def open_part() -> tuple[Any, Breakable]:
            client = self._make(Breakable)
            return getattr(client, name), client.transport

        return Calls(type(open_part()[0]), open_part)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Nothing is kept between calls."""
