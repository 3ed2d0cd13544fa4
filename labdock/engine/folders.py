"""One folder of a container, listed; nothing below it is looked at."""

from __future__ import annotations

import os
import stat
from typing import Any

from labdock.engine.files import find_folder, translated
from labdock.store.layers import rooted

Wire = dict[str, Any]
#: Entries of one answer; more are left out, and said so.
MOST = 5000


def list_folder(root: int, path: str, ref: str) -> Wire:
    """The folder that *path* leads to below the folder fd *root*: folders first, by name. Blocks.

    Raises NotFound, InvalidRequest (it is no folder).
    """
    place = find_folder(root, path, ref)
    with translated(path, ref):
        folder = rooted.open_folder(root, place, links=False)
        try:
            # At most MOST names are held, whatever the folder has.
            with os.scandir(folder) as entries:
                names = [entry.name for _, entry in zip(range(MOST + 1), entries, strict=False)]
            shown = [found for name in names[:MOST] if (found := _show(folder, name)) is not None]
        finally:
            os.close(folder)
    shown.sort(key=lambda entry: (entry["Kind"] != "folder", entry["Name"]))
    return {"Path": "/" + _text(os.fsdecode(place)), "Entries": shown, "Truncated": len(names) > MOST}


def _show(folder: int, name: str) -> Wire | None:
    """None when it is gone meanwhile."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(found.st_mode) else None
    except OSError:
        return None
    shown: Wire = {
        "Name": _text(name),
        "Kind": _kind(found.st_mode),
        "Size": found.st_size,
        "Mode": stat.S_IMODE(found.st_mode),
        "Mtime": found.st_mtime,
    }
    return shown if target is None else {**shown, "Target": _text(target)}


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _text(name: str) -> str:
    """JSON has no bytes that are no UTF-8: they are shown as the replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")
