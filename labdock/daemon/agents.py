"""Sockets on the user's side of the sandbox, ssh agents', that outer connects to for the engine.

The engine's API answers only the user's own uid, so nobody reaches more than they could by themselves.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from labdock.daemon.channel import Descriptors, Handler, Params
from labdock.errors import InvalidRequest, Unavailable

PATIENCE = 10.0


def handlers() -> dict[str, Handler]:
    """The method of the channel to the engine, for ``ChannelOutside.dial_agent``."""
    return {"dial agent": _serve}


async def _serve(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    return None, ((await connect(str(params["path"]))).detach(),)


async def connect(path: str) -> socket.socket:
    """A connected, non-blocking socket to the one at *path*. Raises InvalidRequest, Unavailable."""
    if not os.path.isabs(path) or "\0" in path or len(os.fsencode(path)) > 107:
        raise InvalidRequest(f"{path} is not the absolute path of a socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, path)
    except (OSError, TimeoutError) as error:
        sock.close()
        raise Unavailable(
            f"connecting to the agent at {path}: {getattr(error, 'strerror', None) or 'no answer'}",
            hint="is ssh-agent running, and SSH_AUTH_SOCK its socket?",
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock
