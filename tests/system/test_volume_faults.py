"""Volumes over kills: data goes only when its removal is a fact, and comes whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder, wait_until

LABDOCK = str(Path(sys.executable).with_name("labdock"))


@pytest.fixture
def engine() -> Iterator[EngineUnderTest]:
    root = short_folder()
    found = EngineUnderTest(root, LABDOCK_FAILPOINTS=str(root / "failpoints"))
    found.start()
    try:
        found.docker("pull", "-q", "busybox")
        yield found
    finally:
        found.stop()
        stores.remove(root)


def attempt(engine: EngineUnderTest, *command: str, given: bytes | None = None) -> None:
    """Run what the engine is killed under; whatever comes of it, an engine answers afterwards."""
    before = engine.pid("engine")
    subprocess.run(command, env=engine.environment, input=given, capture_output=True, timeout=60, check=False)
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    wait_until(lambda: engine.docker("version", "--format", "{{.Server.Version}}", check=False), "it answers")


def names(engine: EngineUnderTest) -> set[str]:
    return set(engine.docker("volume", "ls", "-q").split())


def read(engine: EngineUnderTest, volume: str, *paths: str) -> str:
    return engine.docker("run", "--rm", "-v", f"{volume}:/n", "busybox", "cat", *paths)


@pytest.mark.parametrize("point", ["recorded:volume.remove", "acted:volume.remove"])
@pytest.mark.parametrize("verb", ["rm", "prune"])
def test_a_removal_that_is_no_fact_took_nothing(engine: EngineUnderTest, point: str, verb: str) -> None:
    engine.docker("run", "--rm", "-v", "precious:/n", "busybox", "sh", "-c", "mkdir /n/d && echo kept > /n/d/file")
    engine.arm(point)
    command = ("rm", "precious") if verb == "rm" else ("prune", "--all", "--force")
    # By labdock's own command line: an older docker command knows no --all.
    attempt(engine, LABDOCK, "volume", *command)
    assert not engine.is_armed(point)
    assert names(engine) == {"precious"}
    assert read(engine, "precious", "/n/d/file") == "kept"
    engine.docker("volume", "rm", "precious")
    assert names(engine) == set()
    wait_until(lambda: not list((engine.data / "volumes/.trash").iterdir()), "the bytes are freed")
    assert {entry.name for entry in (engine.data / "volumes").iterdir()} == {".removed", ".trash"}


def test_a_volume_is_filled_from_its_image_whole_or_again(engine: EngineUnderTest) -> None:
    engine.docker(
        "build", "-q", "-t", "full", "-", stdin="FROM busybox\nRUN mkdir /n && echo a >/n/a && echo b >/n/b\n"
    )
    engine.arm("filled:volume")
    attempt(engine, "docker", "create", "--name", "first", "-v", "fed:/n", "full", "true")
    assert not engine.is_armed("filled:volume")
    assert engine.docker("ps", "-aq") == ""
    assert engine.docker("run", "--rm", "-v", "fed:/n", "full", "cat", "/n/a", "/n/b") == "a\nb"
    assert {entry.name for entry in (engine.data / "volumes/fed").iterdir()} == {"_data"}


def test_an_import_is_there_whole_or_not_at_all(engine: EngineUnderTest) -> None:
    engine.docker("run", "--rm", "-v", "one:/n", "busybox", "sh", "-c", "echo a >/n/a; echo b >/n/b; chown 5:6 /n/b")
    exported = subprocess.run(
        [LABDOCK, "volume", "export", "one"], env=engine.environment, capture_output=True, timeout=60, check=True
    )
    engine.arm("filled:volume")
    attempt(engine, LABDOCK, "volume", "import", "two", given=exported.stdout)
    # It was whole when the engine was killed: the next one has finished it.
    assert read(engine, "two", "/n/a", "/n/b") == "a\nb"
    for length in (0, 700, 2048, len(exported.stdout) - 1024):
        cut = subprocess.run(
            [LABDOCK, "volume", "import", "three"],
            env=engine.environment,
            input=exported.stdout[:length],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert cut.returncode != 0 and b"importing volume three" in cut.stderr, length
    assert names(engine) == {"one", "two"}


def test_a_folder_that_no_record_names_is_a_volume_again(engine: EngineUnderTest) -> None:
    engine.docker("run", "--rm", "-v", "lost:/n", "busybox", "sh", "-c", "echo kept > /n/file")
    engine.stop()
    # As if the database had been restored from before, or lost.
    for name in ("labdock.db", "labdock.db-wal"):
        engine.data.joinpath(name).unlink(missing_ok=True)
    engine.start()
    assert names(engine) == {"lost"}
    engine.docker("pull", "-q", "busybox")
    assert read(engine, "lost", "/n/file") == "kept"


def test_a_volume_in_memory_lives_as_long_as_somebody_uses_it_over_the_engines_death(engine: EngineUnderTest) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=700")
    engine.docker("volume", "create", *options, "quick")
    first = engine.docker("run", "-d", "-v", "quick:/n", "busybox", "sh", "-c", "echo x > /n/file; sleep 1000")
    wait_until(lambda: engine.docker("exec", first, "cat", "/n/file", check=False) == "x", "it was written")
    before = engine.pid("engine")
    engine.kill("engine")
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    assert read(engine, "quick", "/n/file") == "x"
    engine.docker("rm", "-f", first)

    def forgotten() -> bool:
        return engine.docker("run", "--rm", "-v", "quick:/n", "busybox", "ls", "/n") == ""

    wait_until(forgotten, "it is empty for the next one")
