"""Containers in a notebook: ``%load_ext labdock``, then ``%container …`` and ``%%dockerfile``. Runs in the kernel.

What is typed after ``%container`` is what would be typed after ``labdock`` (or ``docker``) in a terminal; what
comes back is an object that shows itself. ``{name}`` takes the notebook's variable; ``{{…}}`` and ``$X`` stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["load_ipython_extension", "open_dashboard", "unload_ipython_extension"]


def open_dashboard(environment: Mapping[str, str] | None = None) -> Any:
    """See :func:`labdock.dashboard`."""
    from labdock.client import connect
    from labdock.client.breaking import Breakable
    from labdock.notebook.dashboard import Dashboard
    from labdock.notebook.failures import Interrupted

    client = connect(environment)
    try:
        return Dashboard(client, lambda: connect(environment, transport=Breakable))
    except KeyboardInterrupt:
        client.close()
        raise Interrupted("interrupted; there is no dashboard") from None


def make_widget(result: Any) -> Any:
    """The widget of a command's result."""
    from labdock.notebook.failures import Interrupted
    from labdock.notebook.made import widget_of

    try:
        return widget_of(result)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; there is no widget") from None


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and their completion with *shell*. Starts nothing."""
    from labdock.commands import results
    from labdock.notebook.magics import Magics

    results.make_widget = make_widget
    Magics(shell).register()


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again."""
    from labdock.commands import results
    from labdock.notebook.magics import unregister

    results.make_widget = None
    unregister(shell)
