"""One image for every engine under measurement: a static busybox, as ``docker save`` would write it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

#: A registry-qualified name, so that no engine looks elsewhere for it.
IMAGE = "localhost/bench:latest"
APPLETS = ("sh", "true", "sleep", "cat", "echo", "ls", "yes", "head")


def write_archive(busybox: Path, target: Path) -> str:
    """Write the image archive made from *busybox* (a static binary) to *target*; return the image id."""
    layer = _layer(busybox.read_bytes())
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "busybox"}],
        }
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": f"{image_id}.json", "RepoTags": [IMAGE], "Layers": ["layer/layer.tar"]}]).encode()
    with tarfile.open(target, "w") as archive:
        for name, data in ((f"{image_id}.json", config), ("layer/layer.tar", layer), ("manifest.json", manifest)):
            _add(archive, name, data, 0o644)
    return f"sha256:{image_id}"


def _layer(busybox: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", 0o644)
        _add(tar, "bin/busybox", busybox, 0o755)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))
