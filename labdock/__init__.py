"""labdock: a Docker engine that you pip install.

Importing this package is cheap: it loads none of its rooms. See ARCHITECTURE.md for what they are.

::

    import labdock

    with labdock.connect() as client:                      # or: async with labdock.aconnect() as client
        print(client.containers.run("busybox", "echo hello").text)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.aio import AsyncClient

__version__ = "0.1.0"
__all__ = ["aconnect", "connect", "dashboard", "load_ipython_extension", "unload_ipython_extension"]


def connect(environment: Mapping[str, str] | None = None, *, start: bool = True) -> Client:
    """A client for this user's engine, which is started at the first call (unless not *start*).

    LABDOCK_HOST, DOCKER_HOST or the chosen context name another engine. Raises Unsupported for other addresses; the
    client's calls raise :mod:`labdock.errors`, EngineUnreachable when nobody answers.
    """
    from labdock import client

    return client.connect(environment, start=start)


def aconnect(environment: Mapping[str, str] | None = None, *, start: bool = True) -> AsyncClient:
    """As :func:`connect`, for asyncio: every call is awaited, every stream is iterated with ``async for``."""
    from labdock import client

    return client.aconnect(environment, start=start)


def dashboard(environment: Mapping[str, str] | None = None) -> Any:
    """A widget with this engine's containers: buttons, logs, charts. Raises Unsupported without ipywidgets."""
    from labdock import notebook

    return notebook.open_dashboard(environment)


def load_ipython_extension(shell: object) -> None:
    """``%load_ext labdock``: the magics ``%container``, ``%explain``, ``%%dockerfile``, ``%%in``."""
    from labdock import notebook

    notebook.load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """``%unload_ext labdock``."""
    from labdock import notebook

    notebook.unload_ipython_extension(shell)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Where Jupyter finds the server extension."""
    return [{"module": "labdock.jupyter"}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where the JupyterLab extension lies, for ``jupyter-builder develop``."""
    return [{"src": "labextension", "dest": "labdock"}]
