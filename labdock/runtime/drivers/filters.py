"""Compiled seccomp filters, kept: compiling Docker's profile costs the runtime about 10 ms at every create.

crun takes a compiled filter from the annotation ``run.oci.seccomp_bpf_data`` (crun(1)), base64-encoded, in
place of the profile. What crun compiled for the first container with a profile lies in its state folder, and is
given to the next ones. The profile is then replaced by one that allows nothing, which is quicker to read; should a
runtime overlook the annotation, the container fails instead of running without a filter.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

ANNOTATION = "run.oci.seccomp_bpf_data"
#: struct sock_filter is 8 bytes; the kernel takes at most BPF_MAXINSNS (4096) of them.
_INSTRUCTION = 8
_LIMIT = 4096 * _INSTRUCTION
_NOTHING = {"defaultAction": "SCMP_ACT_ERRNO"}


class SeccompFilters:
    """Filters by the profile they were compiled from, in memory and in *folder* (for the next engine).

    *runtime* is crun's path: one whose program does not know the annotation is left alone.
    """

    def __init__(self, folder: Path, runtime: str) -> None:
        self._folder = folder
        self._usable = ANNOTATION.encode() in Path(runtime).read_bytes()
        self._known: dict[str, str] = {}

    def key(self, spec: Mapping[str, object]) -> str | None:
        """What names *spec*'s profile; None when it has none that could be kept."""
        linux = spec.get("linux")
        profile = linux.get("seccomp") if isinstance(linux, Mapping) else None
        annotations = spec.get("annotations")
        if not self._usable or profile is None or (isinstance(annotations, Mapping) and ANNOTATION in annotations):
            return None
        return hashlib.sha256(msgspec.json.encode(profile)).hexdigest()

    def apply(self, key: str, spec: Mapping[str, object]) -> Mapping[str, object]:
        """*spec* with the compiled filter, when there is one."""
        data = self._known.get(key) or self._read(key)
        if data is None:
            return spec
        annotations = spec.get("annotations")
        linux = spec.get("linux")
        return dict(spec) | {
            "annotations": _mapping(annotations) | {ANNOTATION: data},
            "linux": _mapping(linux) | {"seccomp": _NOTHING},
        }

    def knows(self, key: str) -> bool:
        return key in self._known

    def keep(self, key: str, compiled: Path) -> None:
        """Keep what the runtime compiled, from the container's state. Nothing happens when it wrote none."""
        try:
            data = compiled.read_bytes()
        except FileNotFoundError:
            return
        if not data or len(data) > _LIMIT or len(data) % _INSTRUCTION:
            return
        self._known[key] = base64.b64encode(data).decode("ascii")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        partial = self._folder / f".{key}"
        partial.write_bytes(data)
        os.replace(partial, self._folder / key)

    def _read(self, key: str) -> str | None:
        try:
            data = (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None
        self._known[key] = base64.b64encode(data).decode("ascii")
        return self._known[key]


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}
