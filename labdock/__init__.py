"""labdock: a Docker engine that you pip install.

Importing this package is cheap: it loads none of its rooms. See ARCHITECTURE.md for what they are.
"""

__version__ = "0.1.0"


def load_ipython_extension(shell: object) -> None:
    """``%load_ext labdock``: the magics ``%container``, ``%%container`` and ``%%dockerfile``."""
    from labdock import notebook

    notebook.load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """``%unload_ext labdock``."""
    from labdock import notebook

    notebook.unload_ipython_extension(shell)
