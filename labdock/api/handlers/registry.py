"""``labdock registry serve``: endpoints of labdock's own for the engine's registry."""

from __future__ import annotations

import msgspec
from aiohttp import web

from labdock.api.answers import empty_answer, json_answer
from labdock.api.bodies import convert, read_object
from labdock.api.call import Call
from labdock.errors import InvalidRequest


class ServeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """``User`` and ``Password`` are one login; ``Logins`` more of them, each ``NAME:PASSWORD``."""

    address: str = "127.0.0.1"
    port: int = 5000
    user: str = ""
    password: str = ""
    logins: tuple[str, ...] = ()
    read_only: bool = False


async def serve(call: Call) -> web.StreamResponse:
    wanted = convert(await read_object(call.request), ServeRequest)
    logins = list(wanted.logins)
    if wanted.user:
        if ":" in wanted.user or not wanted.password:
            raise InvalidRequest("a login is a user's name without a colon, and a password")
        logins.append(f"{wanted.user}:{wanted.password}")
    elif wanted.password:
        raise InvalidRequest("a password without a user's name")
    return json_answer(await call.engine.registry.serve(wanted.address, wanted.port, logins, wanted.read_only), 201)


async def status(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.registry.status())


async def stop(call: Call) -> web.StreamResponse:
    await call.engine.registry.stop()
    return empty_answer()
