"""Secrets and configs that are no files on this machine, as the tar that brings them into a container."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any


def tar_of(given: Sequence[tuple[str, bytes, Mapping[str, Any]]]) -> bytes:
    """(path, data, ``uid``, ``gid``, ``mode``) each as a file; 0444 and root's unless told."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data, how in given:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(data)
            entry.mode = int(how.get("mode", 0o444))
            entry.uid, entry.gid = int(how.get("uid", 0)), int(how.get("gid", 0))
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
