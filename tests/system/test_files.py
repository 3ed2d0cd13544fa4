"""Files in and out of real containers: as they are created, running, paused and ended, through their mounts."""

from __future__ import annotations

import gc
import io
import os
import tarfile
import threading
from collections.abc import Iterator

import docker.errors
import pytest
import requests
import urllib3
from docker.models.containers import Container

from tests.system.conftest import EngineUnderTest, wait_until

# docker-py leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


@pytest.fixture
def client(engine: EngineUnderTest) -> Iterator[docker.DockerClient]:
    made = engine.client()
    made.images.pull("busybox")
    yield made
    made.close()


def pack(files: Files, uid: int = 0) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(data), uid, uid
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def take(container: Container, path: str) -> Files:
    """The plain files of an archive."""
    pieces, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


def test_files_go_in_and_out_in_every_state_and_through_volumes(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["sleep", "1000"], volumes=["named:/named", "/anonymous"])
    for state in ("created", "running", "paused", "exited"):
        if state == "running":
            container.start()
        elif state == "paused":
            container.pause()
        elif state == "exited":
            container.unpause()
            container.kill()
            container.wait()
        for folder in ("/named", "/anonymous", "/etc"):
            data = f"{state} {folder}".encode()
            assert container.put_archive(folder, pack({f"own-{state}": data}))
            assert take(container, f"{folder}/own-{state}") == {f"own-{state}": data}, state
    other = client.containers.run("busybox", ["cat", "/v/own-created"], volumes={"named": {"bind": "/v"}}, remove=True)
    assert other == b"created /named"
    changed = {entry["Path"] for entry in container.diff()}
    assert changed == {"/etc", *(f"/etc/own-{state}" for state in ("created", "running", "paused", "exited"))}


def test_a_volumes_first_use_may_be_a_copy(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["true"], volumes={"first": {"bind": "/etc"}})
    assert take(container, "/etc/passwd")["passwd"].startswith(b"root:")


def test_a_running_containers_tmpfs_and_binds_are_seen(engine: EngineUnderTest, client: docker.DockerClient) -> None:
    place = engine.root / "bound"
    place.mkdir()
    place.chmod(0o777)
    container = client.containers.run(
        "busybox", ["sleep", "1000"], detach=True, tmpfs={"/t": ""}, volumes={str(place): {"bind": "/b"}}
    )
    container.put_archive("/t", pack({"x": b"in memory"}))
    container.put_archive("/b", pack({"y": b"outside"}))
    assert container.exec_run(["cat", "/t/x", "/b/y"]).output == b"in memoryoutside"
    assert (place / "y").read_bytes() == b"outside"
    assert take(container, "/t") == {"t/x": b"in memory"}


def test_what_is_read_only_stays_so_whether_it_runs_or_not(client: docker.DockerClient) -> None:
    container = client.containers.create(
        "busybox",
        ["sleep", "1000"],
        read_only=True,
        volumes={"ro": {"bind": "/ro", "mode": "ro"}, "rw": {"bind": "/rw", "mode": "rw"}},
    )
    for running in (False, True):
        if running:
            container.start()
        for path, words in (("/etc", "container rootfs is marked read-only"), ("/ro", "marked read-only")):
            with pytest.raises(docker.errors.APIError, match=words) as refused:
                container.put_archive(path, pack({"x": b"x"}))
            assert refused.value.response.status_code == 403
        container.put_archive("/rw", pack({"x": b"x"}))
        assert take(container, "/rw/x") == {"x": b"x"}
    # A link from where writing is allowed does not lead to where it is not.
    container.exec_run(["ln", "-s", "/etc", "/rw/etc"])
    with pytest.raises(docker.errors.APIError, match="read-only"):
        container.put_archive("/rw", pack({"etc/x": b"x"}))


def test_an_ids_owner_that_is_not_here_is_roots(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["stat", "-c", "%u", "/far", "/near"])
    container.put_archive("/", pack({"far": b""}, uid=1_900_000_000))
    container.put_archive("/", pack({"near": b""}, uid=1234))
    container.start()
    container.wait()
    assert container.logs() == b"0\n1234\n"


def test_links_that_are_swapped_meanwhile_lead_nowhere_outside(
    engine: EngineUnderTest, client: docker.DockerClient
) -> None:
    secret = engine.root / "secret"
    secret.mkdir(mode=0o777)
    secret.chmod(0o777)
    (secret / "f").write_text("the host's own")
    swap = f"mkdir -p /w /real; echo own > /real/f; while :; do ln -sfn {secret} /w/d; ln -sfn /real /w/d; done"
    container = client.containers.run("busybox", ["sh", "-c", swap], detach=True)
    wait_until(lambda: container.exec_run(["test", "-e", "/w/d"]).exit_code == 0, "the links are being swapped")
    seen: set[bytes] = set()
    errors = 0
    for _ in range(150):
        try:
            seen.update(take(container, "/w/d/f").values())
            container.put_archive("/w/d", pack({"planted": b"x"}))
        except docker.errors.APIError:
            errors += 1
    assert seen == {b"own\n"}
    assert sorted(os.listdir(secret)) == ["f"]
    assert errors, "the links never led outside: nothing was tried"


def test_a_start_during_a_copy_shares_its_files(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["sh", "-c", "until [ -e /tmp/last ]; do sleep 0.05; done"])
    data, go = pack({"first": b"1", "last": b"2"}), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield data[:1536]
        go.wait(60)
        yield data[1536:]

    copy = threading.Thread(target=container.put_archive, args=("/tmp", slowly()))
    copy.start()
    container.start()
    go.set()
    copy.join(60)
    assert container.wait(timeout=60)["StatusCode"] == 0


def test_nothing_stays_mounted(engine: EngineUnderTest, client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["true"], volumes={"vol": {"bind": "/v"}})
    container.put_archive("/v", pack({"x": b"x"}))
    take(container, "/v")
    container.diff()
    b"".join(container.export())
    roots = engine.run / "box" / "rootfs"
    inside = f"/proc/{engine.pid('engine')}/root{roots}"
    wait_until(lambda: os.listdir(inside) == [], "nothing is left in the folder of roots")


def test_an_export_has_the_containers_own_files_and_no_mounts(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox", ["sh", "-c", "echo mine > /mine; sleep 1000"], detach=True, volumes={"vol": {"bind": "/v"}}
    )
    container.put_archive("/v", pack({"x": b"x"}))
    wait_until(lambda: container.exec_run(["test", "-s", "/mine"]).exit_code == 0, "the file is written")
    for _ in ("running", "ended"):
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as tar:
            names = set(tar.getnames())
        assert {"mine", "bin/busybox", "v", "proc"} <= names
        assert not {name for name in names if name.startswith(("v/", "proc/"))}
        client.api.stop(container.id, timeout=0)


def test_hostile_and_broken_tars_are_refused_and_bounded(client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["true"])
    for bad in (b"no tar at all", pack({"x": b"y" * 2000})[:1000], pack({"../../out": b"x"}), b"\x1f\x8b broken"):
        with pytest.raises(docker.errors.APIError) as refused:
            container.put_archive("/tmp", bad)
        assert refused.value.response.status_code == 400, refused.value
    # Not even the half file that a torn tar held before it broke off.
    assert set(take(container, "/tmp")) == set()
    assert not container.diff()


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    engine: EngineUnderTest, client: docker.DockerClient
) -> None:
    container = client.containers.create("busybox", ["true"], volumes={"vol": {"bind": "/v"}})
    container.put_archive("/v", pack({"big": bytes(32 << 20)}))
    for _ in range(3):
        pieces, _ = container.get_archive("/v")
        next(iter(pieces))
        pieces.close()
    gc.collect()
    inside = f"/proc/{engine.pid('engine')}/root{engine.run / 'box' / 'rootfs'}"
    wait_until(lambda: os.listdir(inside) == [], "all roots were given back")
    container.remove(v=True)


def test_the_command_copies_a_whole_running_container(engine: EngineUnderTest, client: docker.DockerClient) -> None:
    client.containers.run("busybox", ["sleep", "1000"], detach=True, name="whole")
    target = engine.root / "whole"
    engine.docker("cp", "whole:/", str(target))
    assert (target / "bin/busybox").exists() and os.listdir(target / "proc") == []


def peak(engine: EngineUnderTest) -> int:
    """The most memory the engine ever had, in MiB."""
    with open(f"/proc/{engine.pid('engine')}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))


def test_large_copies_need_little_memory(engine: EngineUnderTest, client: docker.DockerClient) -> None:
    size = 160 << 20
    container = client.containers.create("busybox", ["true"])

    def tar() -> Iterator[bytes]:
        info = tarfile.TarInfo("big")
        info.size = size
        yield info.tobuf()
        for _ in range(size >> 20):
            yield bytes(1 << 20)
        yield bytes(1024)

    container.put_archive("/tmp", pack({"small": b"x"}))
    before = peak(engine)
    assert container.put_archive("/tmp", tar())
    assert sum(map(len, container.get_archive("/tmp/big")[0])) >= size
    assert sum(map(len, container.export())) >= size
    container.commit("large")
    assert peak(engine) - before < 80


def test_an_engine_killed_during_an_export_breaks_it_off_and_the_next_exports_whole(
    engine: EngineUnderTest, client: docker.DockerClient
) -> None:
    size = 48 << 20
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    assert container.exec_run(["dd", "if=/dev/zero", "of=/big", "bs=1M", "count=48"]).exit_code == 0
    before = engine.pid("engine")
    pieces = container.export()
    received = len(next(iter(pieces)))
    engine.kill("engine")
    try:
        received += sum(map(len, pieces))
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError):
        assert received < size
    else:
        pytest.fail("an archive that was cut off must not be taken for whole")
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    wait_until(lambda: engine.docker("version", "--format", "{{.Server.Version}}", check=False), "it answers")
    container.reload()
    assert container.status == "running"
    assert sum(map(len, container.export())) > size
