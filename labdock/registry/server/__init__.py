"""An OCI registry (distribution-spec v1.1) over whatever keeps blobs and manifests. In the engine process.

:func:`make_application` is all that others need; :class:`labdock.registry.server.holdings.Holdings` is what it serves.
Routes, ranges, uploads and manifests are pure; only :mod:`labdock.registry.server.handlers` speaks HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

    from labdock.registry.server.accounts import Accounts
    from labdock.registry.server.holdings import Holdings


def make_application(holdings: Holdings, accounts: Accounts, *, read_only: bool = False) -> web.Application:
    """The application that serves *holdings* to those whom *accounts* let in."""
    from labdock.registry.server.handlers import Server

    return Server(holdings, accounts, read_only=read_only).application()
