"""What takes room on the disk besides images, containers, volumes and build cache. Blocks: for worker threads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labdock.engine.sizes import weigh

Wire = dict[str, Any]


def measure_rest(data: Path) -> Wire:
    """``Labdock`` of ``/system/df``: bytes on the disk, by what they are for, and ``Total``, all of the data folder.

    ``Content`` is what layers and manifests take as they were pulled (blobs), ``Layers`` what they take unpacked with
    the containers' own files on top: both serve the images.
    """
    found = {
        "Content": weigh(data / "content"),
        "Layers": weigh(data / "snapshots"),
        "Volumes": weigh(data / "volumes"),
        "ContainerLogs": _weigh_files(data.glob("containers/*/log*")),
        "EngineLog": _weigh_files(data.glob("engine.log*")),
        "Records": _weigh_files((*data.glob("labdock.db*"), *data.glob("snapshots/*/ledger.db*"))),
        "Builds": weigh(data / "builds"),
        "Bases": weigh(data / "bases"),
        "Temporary": weigh(data / "tmp") + weigh(data / "scratch"),
    }
    total = weigh(data)
    # The ledgers lie among the layers.
    found["Layers"] -= _weigh_files(data.glob("snapshots/*/ledger.db*"))
    found["Other"] = max(0, total - sum(found.values()))
    return {**found, "Total": total}


def _weigh_files(paths: Iterable[Path]) -> int:
    size = 0
    for path in paths:
        try:
            found = path.lstat()
        except OSError:
            continue
        size += found.st_blocks * 512
    return size
