"""How long a large image takes to be pulled, loaded, saved and pushed, by each engine's own command line."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from isal import isal_zlib

from tests.bench.engines import Engine, Place
from tests.bench.layers import BigImage, write_big_archive
from tests.bench.measures import Series, interleave
from tests.bench.registry import served

NAME = "localhost/big:latest"
REPOSITORY = "bench/big"
#: Where rootlesskit's slirp4netns shows the host's loopback.
_HOST_OF_DOCKER = "10.0.2.2"


class Travels:
    """One image, an archive and a registry that has it; each measure leaves the engines as it found them."""

    def __init__(self, engines: Sequence[Engine], place: Place, stack: ExitStack) -> None:
        self._engines = engines
        self._home = place.home
        self._stack = stack
        self._count = 0
        self.image: BigImage = write_big_archive(place.home / "big.tar", NAME)
        self._port = stack.enter_context(served(place.home / "registry"))
        copy = ["copy", "--quiet", "--dest-tls-verify=false", f"docker-archive:{self.image.archive}"]
        self._skopeo(*copy, f"docker://127.0.0.1:{self._port}/{REPOSITORY}:latest")

    def measure_pull(self, rounds: int) -> dict[str, Series]:
        """``pull`` of what is not there, and ``skopeo copy`` to a folder."""
        actions = {e.name: self._action(e, "pull", *_plain(e), _remote(e, self._port)) for e in self._engines}
        prepare = {e.name: self._forget(e) for e in self._engines}
        folder = self._home / "copied"
        source = ["copy", "--quiet", "--src-tls-verify=false", f"docker://127.0.0.1:{self._port}/{REPOSITORY}:latest"]
        actions["skopeo"] = lambda: self._skopeo(*source, f"dir:{folder}")
        prepare["skopeo"] = lambda: shutil.rmtree(folder, ignore_errors=True)
        return interleave(actions, rounds=rounds, warmup=1, before=lambda name: prepare[name]())

    def measure_load(self, rounds: int) -> dict[str, Series]:
        """``load`` of the archive, whose layers are plain, as Docker writes it."""
        actions = {e.name: self._action(e, "load", "-i", str(self.image.archive)) for e in self._engines}
        forget = {e.name: self._forget(e) for e in self._engines}
        return interleave(actions, rounds=rounds, warmup=1, before=lambda name: forget[name]())

    def measure_save(self, rounds: int) -> dict[str, Series]:
        """``save`` of the image that was loaded: what comes out has all layers plain, with every engine."""
        out = self._home / "saved.tar"
        actions = {e.name: self._action(e, "save", "-o", str(out), NAME) for e in self._engines}
        prepare = {e.name: lambda: out.unlink(missing_ok=True) for e in self._engines}
        try:
            return interleave(actions, rounds=rounds, warmup=1, before=lambda name: prepare[name]())
        finally:
            out.unlink()

    def measure_push(self, rounds: int) -> dict[str, Series]:
        """``push`` of the image that was loaded to a registry that has nothing: layers are compressed on the way."""
        ports: dict[str, int] = {}

        def prepare(engine: Engine) -> Callable[[], None]:
            def fresh() -> None:
                self._count += 1
                ports[engine.name] = stack.enter_context(served(self._home / f"registry{self._count}"))
                self._run(engine, "tag", NAME, _remote(engine, ports[engine.name]))

            return fresh

        def action(engine: Engine) -> Callable[[], None]:
            return lambda: self._run(engine, "push", *_plain(engine), _remote(engine, ports[engine.name]))

        with ExitStack() as stack:
            fresh = {e.name: prepare(e) for e in self._engines}
            actions = {e.name: action(e) for e in self._engines}
            return interleave(actions, rounds=rounds, warmup=1, before=lambda name: fresh[name]())

    def measure_bound(self, rounds: int) -> float:
        """Seconds that hashing, decompressing and hashing again of the layers takes on one core, at best."""
        packed = [isal_zlib.compress(layer, 1, wbits=31) for layer in self._layers()]
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            for data in packed:
                hashlib.sha256(data).digest()
                hashlib.sha256(isal_zlib.decompress(data, wbits=31)).digest()
            times.append(time.perf_counter() - begun)
        return min(times)

    def _layers(self) -> list[bytes]:
        with tarfile.open(self.image.archive) as archive:
            members = [member for member in archive if member.name.endswith("layer.tar")]
            return [file.read() for member in members if (file := archive.extractfile(member)) is not None]

    def _action(self, engine: Engine, *arguments: str) -> Callable[[], None]:
        return lambda: self._run(engine, *arguments)

    def _forget(self, engine: Engine) -> Callable[[], None]:
        return lambda: self._run(engine, "rmi", "-f", self.image.image_id.removeprefix("sha256:"), check=False)

    def _run(self, engine: Engine, *arguments: str, check: bool = True) -> None:
        _call([*engine.command, *arguments], engine.environment, check)

    def _skopeo(self, *arguments: str) -> None:
        _call(["skopeo", "--insecure-policy", *arguments], self._engines[0].environment, True)


def _plain(engine: Engine) -> tuple[str, ...]:
    """What lets it speak to a registry without TLS; the others take the loopback for such."""
    return ("--quiet", "--tls-verify=false") if engine.name == "podman" else ("--quiet",)


def _remote(engine: Engine, port: int) -> str:
    host = _HOST_OF_DOCKER if engine.name == "docker" else "127.0.0.1"
    return f"{host}:{port}/{REPOSITORY}:latest"


def _call(command: list[str], environment: dict[str, str], check: bool) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()[-500:]}")
