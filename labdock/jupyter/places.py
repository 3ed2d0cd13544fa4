"""Paths that a browser names: those of Jupyter's contents, on this machine's disk, inside the server's root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from labdock.errors import Forbidden, InvalidRequest, NotFound, Unsupported


def locate(settings: dict[str, Any], path: str) -> Path:
    """Where the contents' *path* lies, links followed.

    Raises Unsupported when contents are not on the local disk, Forbidden for what is outside of the root, NotFound.
    """
    from jupyter_server.services.contents.fileio import FileManagerMixin

    manager = settings.get("contents_manager")
    if not isinstance(manager, FileManagerMixin) or not getattr(manager, "root_dir", ""):
        raise Unsupported(
            f"{path}: this server keeps its files elsewhere than on its own disk ({type(manager).__name__})",
            hint="build and compose from a terminal or a notebook, where the files are",
        )
    if not isinstance(path, str) or "\0" in path:
        raise InvalidRequest("that is no path")
    root = Path(os.path.realpath(str(getattr(manager, "root_dir"))))  # noqa: B009
    # Links are followed before it is compared: one inside may lead outside.
    found = Path(os.path.realpath(root / path.strip("/")))
    if not found.is_relative_to(root):
        raise Forbidden(f"{path} leads out of the folder that this server shows")
    if not found.exists():
        raise NotFound(f"there is no {path}")
    return found
