"""Containers in a notebook: ``%load_ext labdock``, then ``%container …`` and ``%%dockerfile``. Runs in the kernel.

What is typed after ``%container`` is what would be typed after ``labdock`` (or ``docker``) in a terminal; what
comes back is an object that shows itself. ``{name}`` takes the notebook's variable; ``{{…}}`` and ``$X`` stay.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and their completion with *shell*. Starts nothing."""
    from labdock.notebook.magics import Magics

    Magics(shell).register()


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again."""
    from labdock.notebook.magics import unregister

    unregister(shell)
