"""Storage: what a container's start costs on a large image, on each storage driver."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker

from tests.bench.archive import IMAGE, write_archive
from tests.bench.engines import Engine, Place, start_labdock, started
from tests.bench.measures import Series, interleave

BIG = "localhost/bench-big:latest"
FILES, SIZE = 50_000, 21_475  # 1 GiB
DRIVERS = ("fuse-overlayfs", "copy", "flat")
#: The column of labdock's own start on the small image.
SMALL = "on busybox"


def write_big_archive(busybox: Path, target: Path) -> None:
    """An image of 1 GiB in 50,000 files, as ``docker save`` writes one."""
    layer = target.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        # The folders that a runtime mounts on are there, as in the small image.
        for name in (
            "bin",
            "dev",
            "etc",
            "proc",
            "sys",
            "tmp",
            "data",
            *(f"data/{number:03d}" for number in range(100)),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        _add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", 0o644)
        link = tarfile.TarInfo("bin/true")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
        noise = os.urandom(SIZE + FILES)
        for number in range(FILES):
            _add(tar, f"data/{number % 100:03d}/{number}", noise[number : number + SIZE], 0o644)
    with layer.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Cmd": ["true"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "files"}],
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [BIG], "Layers": ["layer/layer.tar"]}]).encode()
    with tarfile.open(target, "w") as archive:
        _add(archive, name, config, 0o644)
        archive.add(layer, "layer/layer.tar")
        _add(archive, "manifest.json", manifest, 0o644)
    layer.unlink()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def start_driven(driver: str, place: Place) -> tuple[Engine, Callable[[], None]]:
    """labdock on another storage *driver*, in folders of its own."""
    folder = Place(place.home / driver, place.runtime / driver[:4])
    folder.home.mkdir()
    folder.runtime.mkdir(mode=0o700)
    engine, stop = start_labdock(folder, LABDOCK_STORAGE_DRIVER=driver)
    return engine, stop


@contextmanager
def loaded(engines: Sequence[Engine], place: Place) -> Iterator[dict[str, docker.DockerClient]]:
    """Clients of *engines* and of labdock on its other drivers; all of them have both images."""
    small, big = place.home / "bench.tar", place.home / "bench-big.tar"
    write_archive(Path("/bin/busybox"), small)
    write_big_archive(Path("/bin/busybox"), big)
    with ExitStack() as stack:
        clients = {engine.name: engine.client() for engine in engines}
        for driver in DRIVERS:
            engine = stack.enter_context(started(functools.partial(start_driven, driver), place))
            # A copy of 1 GiB takes its time on a busy disk.
            clients[driver] = docker.DockerClient(base_url=f"unix://{engine.socket}", timeout=300)
        for client in clients.values():
            stack.callback(client.close)
            for archive in (small, big):
                with archive.open("rb") as source:
                    client.images.load(source)
        big.unlink()
        yield clients


def measure_starts(engines: Sequence[Engine], place: Place, *, rounds: int, warmup: int) -> dict[str, Series]:
    """create + start + wait + remove on the large image; "on busybox": labdock's on the small one."""

    def run(client: docker.DockerClient, image: str) -> None:
        container = client.containers.create(image, ["true"], network_mode="none")
        container.start()
        container.wait()
        container.remove()

    with loaded(engines, place) as clients:
        quick: dict[str, Callable[[], None]] = {
            name: functools.partial(run, client, BIG) for name, client in clients.items() if name not in DRIVERS[1:]
        }
        quick[SMALL] = functools.partial(run, clients["labdock"], IMAGE)
        found = interleave(quick, rounds=rounds, warmup=warmup)
        # Each of these copies 1 GiB: once is enough.
        slow: dict[str, Callable[[], None]] = {name: functools.partial(run, clients[name], BIG) for name in DRIVERS[1:]}
        return found | interleave(slow, rounds=1, warmup=0)
