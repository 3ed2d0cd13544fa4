"""The engine in a Jupyter server: REST, one websocket, and ports in a tab. Runs in the Jupyter server's process.

A browser reaches the engine only through here, behind Jupyter's own authentication, authorisation (resource
``labdock``) and XSRF check; it never learns where the engine's socket is. Nothing is asked of the engine while no
browser is connected, and nothing is polled while one is: the engine's events say what changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__ = ["_load_jupyter_server_extension"]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Add the routes to *server*. Called by Jupyter; the engine is not started."""
    from labdock.jupyter import routes

    routes.add_to(server)
