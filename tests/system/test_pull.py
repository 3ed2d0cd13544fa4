"""Pulls, pushes and loads that are cut and killed, at every point: the next try succeeds and nothing half is listed."""

from __future__ import annotations

import functools
import gc
import gzip
import http.server
import io
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Cut, Flip, Registry, Short, Stall, Status, digest_of, threaded
from tests.system.conftest import DOCKER, EngineUnderTest, wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MIB = 1 << 20


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


def make_tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def add_image(registry: Registry, name: str = "team/app", layers: int = 3, size: int = 3 * MIB) -> list[bytes]:
    """An image of incompressible layers gives its blobs as they travel."""
    plain = [
        make_tar(**{f"file{number}": os.urandom(size), "common": str(number).encode()}) for number in range(layers)
    ]
    packed = [gzip.compress(data, 1, mtime=0) for data in plain]
    config = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["x"], "Volumes": None, "Labels": None},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in plain]},
        "history": None,
    }
    registry.add_image(name, "1", packed, config)
    return packed


@pytest.fixture
def registry() -> Iterator[Registry]:
    with threaded(Registry()) as found:
        yield found


def images(engine: EngineUnderTest) -> list[str]:
    return engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()


def revive(engine: EngineUnderTest, before: int) -> None:
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    wait_until(lambda: engine.docker("version", "--format", "{{.Server.Version}}", check=False), "it answers")


def content(engine: EngineUnderTest) -> tuple[set[str], list[str]]:
    """Names of blobs, and of what is arriving."""
    folder = engine.data / "content"
    return set(os.listdir(folder / "blobs" / "sha256")), os.listdir(folder / "ingest")


PULL_POINTS = ["pull:fetching", "pull:fetched", "pull:unpacked", "pull:unlisted", "pull:listed"]


@pytest.mark.parametrize("point", PULL_POINTS)
def test_an_engine_killed_in_a_pull_succeeds_the_second_time(
    engine: EngineUnderTest, registry: Registry, point: str
) -> None:
    blobs = add_image(registry)
    name = f"{registry.host}/team/app:1"
    before = engine.pid("engine")
    engine.arm(point)
    # Cut or not: no answer is taken for whole that has no "Status:" line.
    assert "Status: Downloaded" not in engine.docker("pull", name, check=False)
    assert not engine.is_armed(point)
    revive(engine, before)
    assert images(engine) == ([name] if point == "pull:listed" else [])
    asked = len(registry.asked("GET", "/blobs/"))
    said = engine.docker("pull", name)
    assert ("Image is up to date" if point == "pull:listed" else "Downloaded newer image") in said
    if point == "pull:listed":
        assert len(registry.asked("GET", "/blobs/")) == asked
    if point == "pull:fetching":
        ranges = [seen.headers["range"] for seen in registry.asked("GET", "/blobs/") if "range" in seen.headers]
        assert ranges, "what had arrived was asked for again"
    assert images(engine) == [name]
    found, arriving = content(engine)
    assert arriving == []
    assert {digest_of(blob)[7:] for blob in blobs} <= found
    # Each layer's file is in a container of the image, whole.
    engine.docker("create", "--name", "look", name)
    assert engine.docker("inspect", "--format", "{{len .RootFS.Layers}}", "--type", "image", name) == "3"


def test_an_engine_killed_at_any_moment_of_a_pull_succeeds_in_the_end(
    engine: EngineUnderTest, registry: Registry
) -> None:
    add_image(registry, size=8 * MIB)
    name = f"{registry.host}/team/app:1"
    for wait in (0.02, 0.05, 0.1, 0.2):
        before = engine.pid("engine")
        with subprocess.Popen(
            [DOCKER, "pull", name], env=engine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as pulling:
            time.sleep(wait)
            os.kill(before, signal.SIGKILL)
            pulling.wait(30)
        revive(engine, before)
        assert images(engine) in ([], [name])
    engine.docker("pull", name)
    assert images(engine) == [name]
    assert content(engine)[1] == []
    engine.docker("save", "-o", str(engine.root / "saved.tar"), name)
    engine.docker("rmi", name)
    assert content(engine)[0] == set()


def test_a_cancelled_pull_goes_on_where_it_was(engine: EngineUnderTest, registry: Registry) -> None:
    (blob,) = add_image(registry, layers=1, size=6 * MIB)
    name = f"{registry.host}/team/app:1"
    registry.misbehave("GET", f"/blobs/{digest_of(blob)}", Stall(4 * MIB))
    with subprocess.Popen([DOCKER, "pull", name], env=engine.environment, stdout=subprocess.DEVNULL) as pulling:
        wait_until(
            lambda: any(path.stat().st_size >= 3 * MIB for path in (engine.data / "content" / "ingest").iterdir()),
            "half of it is here",
        )
        pulling.send_signal(signal.SIGINT)
        pulling.wait(30)
    assert images(engine) == []
    wait_until(lambda: len(content(engine)[1]) == 1, "what arrived was kept")
    engine.docker("pull", name)
    last = registry.asked("GET", f"/blobs/{digest_of(blob)}")[-1]
    assert int(last.headers["range"].removeprefix("bytes=").removesuffix("-")) >= 3 * MIB
    assert images(engine) == [name]


@pytest.mark.parametrize(
    "fault", [Cut(2 * MIB), Status(503), Flip(2 * MIB + 7), Short(MIB), Cut(-1)], ids=lambda fault: type(fault).__name__
)
def test_a_registry_that_misbehaves_once_is_got_over(
    engine: EngineUnderTest, registry: Registry, fault: Cut | Status | Flip | Short
) -> None:
    blobs = add_image(registry)
    for blob in blobs:
        registry.misbehave("GET", f"/blobs/{digest_of(blob)}", fault)
    name = f"{registry.host}/team/app:1"
    engine.docker("pull", name)
    assert images(engine) == [name] and content(engine)[1] == []


def test_a_registry_that_lies_for_good_ends_in_an_error_and_no_image(
    engine: EngineUnderTest, registry: Registry
) -> None:
    blobs = add_image(registry)
    registry.misbehave("GET", f"/blobs/{digest_of(blobs[1])}", Flip(99), times=1000)
    name = f"{registry.host}/team/app:1"
    done = subprocess.run([DOCKER, "pull", name], env=engine.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and digest_of(blobs[1]) in done.stderr
    assert images(engine) == []
    # Damaged bytes are no start for the next try.
    registry.misbehave("GET", "/nothing", Status(500))
    registry._rules.clear()
    engine.docker("pull", name)
    assert images(engine) == [name]


@pytest.mark.parametrize("point", ["push:sent", "push:unlisted"])
def test_an_engine_killed_in_a_push_succeeds_the_second_time(
    engine: EngineUnderTest, registry: Registry, point: str
) -> None:
    engine.docker("pull", "busybox")
    name = f"{registry.host}/team/bb:1"
    engine.docker("tag", "busybox", name)
    before = engine.pid("engine")
    engine.arm(point)
    assert "digest:" not in engine.docker("push", name, check=False)
    revive(engine, before)
    assert ("team/bb", "1") not in registry.manifests
    said = engine.docker("push", name)
    assert "digest: sha256:" in said
    assert ("team/bb", "1") in registry.manifests
    sent = len(registry.asked("PUT", "/blobs/"))
    assert "Layer already exists" in engine.docker("push", name)
    assert len(registry.asked("PUT", "/blobs/")) == sent
    assert os.listdir(engine.data / "scratch") == []


@pytest.mark.parametrize("point", ["load:taken", "load:unlisted"])
def test_an_engine_killed_in_a_load_succeeds_the_second_time(
    engine: EngineUnderTest, registry: Registry, point: str
) -> None:
    add_image(registry)
    name = f"{registry.host}/team/app:1"
    engine.docker("pull", name)
    saved = str(engine.root / "saved.tar")
    engine.docker("save", "-o", saved, name)
    digest = engine.docker("images", "--digests", "--format", "{{.Digest}}")
    engine.docker("rmi", name)
    before = engine.pid("engine")
    engine.arm(point)
    assert "Loaded image" not in engine.docker("load", "-i", saved, check=False)
    revive(engine, before)
    assert images(engine) == []
    wait_until(lambda: content(engine) == (set(), []), "what nothing needs was collected")
    assert f"Loaded image: {name}" in engine.docker("load", "-i", saved)
    assert images(engine) == [name]
    # The manifest came along: pushed again, it is what it was.
    registry.manifests.clear()
    assert digest in engine.docker("push", name)


def test_two_pulls_of_one_image_fetch_each_layer_once(engine: EngineUnderTest, registry: Registry) -> None:
    blobs = add_image(registry)
    name = f"{registry.host}/team/app:1"
    said: list[str] = []
    pulls = [threading.Thread(target=lambda: said.append(engine.docker("pull", name))) for _ in range(3)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join(60)
    assert len(said) == 3 and images(engine) == [name]
    for blob in blobs:
        assert len(registry.asked("GET", f"/blobs/{digest_of(blob)}")) == 1


def test_a_bundle_needs_no_network(engine: EngineUnderTest, registry: Registry, tmp_path: Path) -> None:
    add_image(registry)
    name = f"{registry.host}/team/app:1"
    engine.docker("pull", name)
    digest = engine.docker("images", "--digests", "--format", "{{.Digest}}")
    bundles = engine.root / "bundles"
    bundles.mkdir()
    engine.docker("save", "-o", str(bundles / "app.tar"), name)
    engine.docker("rmi", name)
    engine.stop()
    engine.environment["LABDOCK_BUNDLES"] = str(bundles)
    engine.start()
    asked = len(registry.seen)
    said = engine.docker("pull", name)
    assert digest in said and len(registry.seen) == asked
    assert images(engine) == [name]


@pytest.mark.parametrize("wait", [0.0, 0.005, 0.02, 0.05])
def test_an_engine_killed_in_a_prune_removes_what_it_may_and_nothing_else(
    engine: EngineUnderTest, registry: Registry, wait: float
) -> None:
    add_image(registry, "team/used", layers=2, size=MIB)
    used = f"{registry.host}/team/used:1"
    engine.docker("pull", used)
    engine.docker("create", "--name", "keeper", used)
    for number in range(6):
        add_image(registry, f"team/spare{number}", layers=3, size=MIB)
        engine.docker("pull", f"{registry.host}/team/spare{number}:1")
    before = engine.pid("engine")
    with subprocess.Popen(
        [DOCKER, "image", "prune", "-af"], env=engine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as pruning:
        time.sleep(wait)
        os.kill(before, signal.SIGKILL)
        pruning.wait(30)
    revive(engine, before)
    # Every image that is still listed is whole: saving reads all of it. One may have lost its name already.
    for image in engine.docker("images", "-q", "--no-trunc").split():
        engine.docker("save", "-o", str(engine.root / "whole.tar"), image)
    assert used in images(engine)
    engine.docker("image", "prune", "-af")
    assert images(engine) == [used]
    config, manifest, layers = 1, 1, 2
    wait_until(lambda: len(content(engine)[0]) == config + manifest + layers, "only what is used is left")
    assert engine.docker("inspect", "--format", "{{.State.Status}}", "keeper") == "created"


def test_an_import_is_fetched_from_a_url_over_the_hosts_network(engine: EngineUnderTest, tmp_path: Path) -> None:
    root = make_tar(**{"bin": b"", "hello": b"from afar\n"})
    (tmp_path / "root.tar").write_bytes(root)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        address = f"http://127.0.0.1:{server.server_port}"
        made = engine.docker("import", "-c", "CMD cat /hello", f"{address}/root.tar", "afar:1")
        assert made.splitlines()[-1].startswith("sha256:")
        missing = subprocess.run(
            [DOCKER, "import", f"{address}/nothing.tar"],
            env=engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
        serving.join()
    assert missing.returncode != 0
    assert "the server answered 404" in missing.stderr
    assert images(engine) == ["afar:1"]
    assert engine.docker("inspect", "--format", "{{.Config.Cmd}}", "afar:1") == "[/bin/sh -c cat /hello]"
    assert os.listdir(engine.data / "scratch") == []
