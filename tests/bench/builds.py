"""Builds under measurement: the same Dockerfile and the same context, byte for byte, sent to every engine's API.

Contexts are tars made beforehand, so what is timed is the engine's work and not a client's packing. Docker's own
BuildKit is driven through the command line of the same package (it speaks gRPC over a session that docker-py lacks):
a row's time for it holds that program's start too, some 30 ms.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.archive import IMAGE
from tests.bench.engines import Engine
from tests.bench.measures import Series, interleave

TAG = "localhost/built:latest"
#: What Docker's built-in BuildKit is called in the table.
BUILDKIT = "buildkit"
STEPS = 8
FILES, FILE_SIZE = 8_000, 2_048
BIG_FILES, BIG_SIZE = 3, 128 << 20
SOURCES, SOURCE_SIZE = 10_000, 1_024
DEADLINE = 300

Build = Callable[[Path, bool], None]


@dataclass(frozen=True, slots=True)
class Builder:
    """One way to build: ``build(context, cached)`` builds from the tar; ``tidy()`` removes what nothing names."""

    name: str
    build: Build
    tidy: Callable[[], None]


@contextlib.contextmanager
def opened_builders(engines: Sequence[Engine]) -> Iterator[list[Builder]]:
    """A builder for each engine, and one for docker's BuildKit where its command line can drive it."""
    with contextlib.ExitStack() as stack:
        found = []
        for engine in engines:
            client = engine.client()
            stack.callback(client.close)
            found.append(_api_builder(engine.name, client))
            if engine.name == "docker" and (builder := _buildkit(engine)) is not None:
                found.append(builder)
        yield found


def _api_builder(name: str, client: object) -> Builder:
    api = client.api  # type: ignore[attr-defined]

    def build(context: Path, cached: bool) -> None:
        with context.open("rb") as tar:
            lines = list(api.build(fileobj=tar, custom_context=True, tag=TAG, nocache=not cached, rm=True, decode=True))
        failed = next((line["error"] for line in lines if "error" in line), None)
        if failed or not any("Successfully" in line.get("stream", "") for line in lines):
            raise RuntimeError(f"{name}: the build failed: {failed or lines[-3:]}")

    def tidy() -> None:
        api.prune_images(filters={"dangling": True})

    return Builder(name, build, tidy)


def _buildkit(engine: Engine) -> Builder | None:
    """BuildKit inside dockerd, or None when the command line of the package can't drive it (it needs a plugin)."""
    command = [*engine.command, "build", "--tag", TAG, "--quiet"]
    environment = engine.environment | {"DOCKER_BUILDKIT": "1"}

    def build(context: Path, cached: bool) -> None:
        with context.open("rb") as tar:
            arguments = [*command, *([] if cached else ["--no-cache"]), "-"]
            done = subprocess.run(
                arguments, stdin=tar, env=environment, capture_output=True, timeout=DEADLINE, check=False
            )
        if done.returncode != 0:
            raise RuntimeError(f"buildkit: {done.stderr.decode(errors='replace').strip()}")

    def tidy() -> None:
        subprocess.run(
            [*command[: command.index("build")], "image", "prune", "--force"],
            env=environment,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )

    probe = Path(engine.environment["HOME"]) / "probe.tar"
    write_context(probe, f"FROM {IMAGE}\n", ())
    try:
        build(probe, True)
    except (RuntimeError, subprocess.TimeoutExpired):
        return None
    return Builder(BUILDKIT, build, tidy)


def measure_steps(builders: Sequence[Builder], home: Path, *, rounds: int, warmup: int) -> dict[str, Series]:
    """``FROM`` and eight small RUN steps, nothing taken from a cache."""
    context = home / "steps.tar"
    write_context(context, _steps(), ())
    return _measure(builders, context, cached=False, rounds=rounds, warmup=warmup)


def measure_cached(builders: Sequence[Builder], home: Path, *, rounds: int, warmup: int) -> dict[str, Series]:
    """The same, everything cached."""
    context = home / "cached.tar"
    write_context(context, _steps(), ())
    return _measure(builders, context, cached=True, rounds=rounds, warmup=max(warmup, 1))


def _steps() -> str:
    return f"FROM {IMAGE}\n" + "".join(f"RUN echo {number} > /step-{number}\n" for number in range(STEPS))


def measure_copy(builders: Sequence[Builder], home: Path, *, rounds: int, pause: float) -> dict[str, Series]:
    """``COPY`` of 8,000 small files and three of 128 MiB that don't compress, nothing taken from a cache."""
    context = home / "copy.tar"
    numbers = random.Random(4)
    small = ((f"tree/{n % 80:02}/{n:05}.txt", numbers.randbytes(FILE_SIZE // 2).hex().encode()) for n in range(FILES))
    # One MiB of noise, told apart by a shift: as large for a compressor as noise throughout.
    noise = numbers.randbytes(1 << 20)
    big = ((f"big/{n}.bin", noise[n:] + noise * (BIG_SIZE // len(noise) - 1) + noise[:n]) for n in range(BIG_FILES))
    write_context(context, f"FROM {IMAGE}\nCOPY . /copied/\n", (*small,), big)
    try:
        return _measure(builders, context, cached=False, rounds=rounds, warmup=0, pause=pause)
    finally:
        context.unlink()


def measure_change(
    builders: Sequence[Builder], home: Path, *, rounds: int, warmup: int, pause: float
) -> dict[str, Series]:
    """A re-build after one of 10,000 source files changed; the others are as the engine knows them."""
    context = home / "change.tar"
    numbers = random.Random(5)
    files = [
        (f"src/{n % 100:02}/{n:05}.py", numbers.randbytes(SOURCE_SIZE // 2).hex().encode()) for n in range(SOURCES)
    ]
    dockerfile = f"FROM {IMAGE}\nRUN echo tools > /tools\nCOPY src /src\nRUN ls /src > /seen\n"
    places = write_context(context, dockerfile, files)
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        with context.open("r+b") as tar:
            tar.seek(places[files[SOURCES // 2][0]])
            tar.write(b"%016d" % count)

    return _measure(builders, context, cached=True, rounds=rounds, warmup=max(warmup, 1), change=change, pause=pause)


def _measure(
    builders: Sequence[Builder],
    context: Path,
    *,
    cached: bool,
    rounds: int,
    warmup: int,
    change: Callable[[], None] | None = None,
    pause: float = 0.0,
) -> dict[str, Series]:
    tidy = {builder.name: builder.tidy for builder in builders}

    def before(_name: str) -> None:
        if change is not None:
            change()
        # What another engine left to be written would be waited for in this one's fsync.
        os.sync()
        # quirk: ext4 looks at every inode that was deleted in the last minute before it gives out a new one
        # (recently_deleted, fs/ext4/ialloc.c): who makes files pays for those that another has just deleted.
        time.sleep(pause)

    def action(builder: Builder) -> Callable[[], None]:
        return lambda: builder.build(context, cached)

    return interleave(
        {builder.name: action(builder) for builder in builders},
        rounds=rounds,
        warmup=warmup,
        before=before,
        after=None if cached else lambda name: tidy[name](),
    )


def write_context(
    target: Path, dockerfile: str, *groups: Sequence[tuple[str, bytes]] | Iterator[tuple[str, bytes]]
) -> dict[str, int]:
    """Write a context's tar; give where in it each file's bytes begin."""
    places: dict[str, int] = {}
    with target.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in [("Dockerfile", dockerfile.encode())]:
            _add(tar, name, data, places)
        for group in groups:
            for name, data in group:
                _add(tar, name, data, places)
    os.chmod(target, 0o644)
    return places


def _add(tar: tarfile.TarFile, name: str, data: bytes, places: dict[str, int]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), 0o644, 1_700_000_000
    tar.addfile(entry, io.BytesIO(data))
    places[name] = tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
