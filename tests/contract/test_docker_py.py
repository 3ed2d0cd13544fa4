"""docker-py against the engine: what its users write, and the exceptions they catch."""

from __future__ import annotations

import gc
import io
import socket
import struct
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker import errors

from .clients import Engine

# docker-py leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(engine: Engine, clean: None) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", timeout=60)
    yield found
    found.close()
    # Here, where its warnings are expected, and not in somebody else's test.
    gc.collect()


def test_the_engine_introduces_itself(client: Any) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    info = client.info()
    assert info["Images"] == len(client.images.list(all=True))
    assert {"ID", "Name", "Debug", "ExperimentalBuild", "Containers"} <= info.keys()


@pytest.mark.parametrize("version", ["1.24", "1.40", "1.41", "1.44", "1.51"])
def test_versions_are_negotiated(engine: Engine, version: str) -> None:
    with_version = docker.DockerClient(base_url=f"unix://{engine.socket}", version=version)
    assert with_version.containers.list(all=True) == []
    with_version.close()
    gc.collect()


def test_run_returns_output(client: Any) -> None:
    assert client.containers.run("busybox", "echo hi") == b"hi\n"
    both = client.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2"], stderr=True)
    assert sorted(both.splitlines()) == [b"err", b"out"]
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    assert client.containers.run("busybox", "env", environment={"A": "b"}).decode().splitlines().count("A=b") == 1


def test_a_failing_run_raises_with_its_code(client: Any) -> None:
    with pytest.raises(errors.ContainerError) as caught:
        client.containers.run("busybox", "sh -c 'echo why >&2; exit 4'", remove=True)
    assert caught.value.exit_status == 4
    assert caught.value.stderr == b"why\n"
    assert client.containers.list(all=True) == []


def test_exceptions_are_of_the_right_class(client: Any) -> None:
    # It asks for the image then: Docker Hub knows none of that name, or can't be reached from here.
    with pytest.raises(errors.APIError, match=r"repository does not exist|no such host"):
        client.containers.run("nope:1", "true")
    with pytest.raises(errors.ImageNotFound):
        client.images.get("nope")
    with pytest.raises(errors.NotFound, match="No such container: nope"):
        client.containers.get("nope")
    with pytest.raises(errors.NotFound):
        client.volumes.get("nope")
    with pytest.raises(errors.NotFound):
        client.networks.get("nope")
    with pytest.raises(errors.APIError, match=r"executable file not found|no such file"):
        client.containers.run("busybox", "nosuchcommand")
    with pytest.raises(errors.APIError, match="not a swarm manager"):
        client.services.list()
    assert client.api.leave_swarm(force=True)  # by the 503 that an engine without a swarm answers


def test_the_life_of_a_container(client: Any) -> None:
    box = client.containers.run("busybox", "sleep 60", detach=True, name="life", labels={"a": "b"})
    assert box.status == "created"
    box.reload()
    assert box.status == "running"
    assert box.name == "life"
    assert box.labels == {"a": "b"}
    assert [each.id for each in client.containers.list(filters={"label": "a=b"})] == [box.id]
    assert [each.id for each in client.containers.list(filters={"name": "lif", "status": "running"})] == [box.id]
    assert box.top()["Processes"]
    box.pause()
    box.reload()
    assert box.status == "paused"
    box.unpause()
    box.rename("lives")
    box.stop(timeout=0)
    assert box.wait()["StatusCode"] == 137
    box.start()
    box.restart(timeout=0)
    box.kill()
    assert box.wait() == {"StatusCode": 137}
    box.remove()
    with pytest.raises(errors.NotFound):
        box.reload()


def test_conflicts(client: Any) -> None:
    box = client.containers.run("busybox", "sleep 60", detach=True, name="taken")
    with pytest.raises(errors.APIError, match="already in use") as caught:
        client.containers.create("busybox", name="taken")
    assert caught.value.status_code == 409
    with pytest.raises(errors.APIError, match=r"(?i)stop the container before") as caught:
        box.remove()
    assert caught.value.status_code == 409
    box.remove(force=True)


def test_host_config_comes_back_as_sent(client: Any) -> None:
    box = client.containers.create(
        "busybox", "true", cpu_shares=512, mem_swappiness=10, isolation="default", tmpfs={"/t": "size=1m"}, init=True
    )
    shown = box.attrs["HostConfig"]
    assert (shown["CpuShares"], shown["MemorySwappiness"], shown["Isolation"]) == (512, 10, "default")
    assert (shown["Tmpfs"], shown["Init"]) == ({"/t": "size=1m"}, True)
    assert shown["LogConfig"] == {"Type": "json-file", "Config": {}}


def test_logs(client: Any) -> None:
    box = client.containers.run("busybox", ["sh", "-c", "echo one; echo two >&2; echo three"], detach=True)
    box.wait()
    assert sorted(box.logs().splitlines()) == [b"one", b"three", b"two"]  # two pipes: their order is open
    assert box.logs(stderr=False) == b"one\nthree\n"
    assert box.logs(since=int(time.time()) + 1000) == b""
    assert list(box.logs(stream=True, follow=True, stdout=False)) == [b"two\n"]
    plain = client.containers.run("busybox", ["sh", "-c", "echo four; echo five"], detach=True)
    plain.wait()
    assert plain.logs(tail=1) == b"five\n"
    assert plain.logs(tail=1, timestamps=True).endswith(b"Z five\n")


def test_logs_are_followed_line_by_line(client: Any) -> None:
    box = client.containers.run("busybox", ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"], detach=True)
    assert list(box.logs(stream=True)) == [b"1\n", b"2\n", b"3\n"]


def test_exec(client: Any) -> None:
    box = client.containers.run("busybox", "sleep 60", detach=True)
    assert box.exec_run("echo hi") == (0, b"hi\n")
    assert box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 5"], demux=True) == (5, (b"out\n", b"err\n"))
    assert box.exec_run("tty", tty=True).output.startswith(b"/dev/")
    assert box.exec_run("id -u", user="33").output == b"33\n"
    assert box.exec_run("pwd", workdir="/tmp").output == b"/tmp\n"
    assert box.exec_run("env", environment=["A=b"]).output.decode().splitlines().count("A=b") == 1
    assert box.exec_run("nosuchcommand").exit_code in (126, 127)
    assert not box.exec_run("true", detach=True).output
    assert b"".join(box.exec_run(["sh", "-c", "echo 1; echo 2"], stream=True).output) == b"1\n2\n"


def test_a_terminals_exec_started_without_tty_comes_in_frames(client: Any) -> None:
    box = client.containers.run("busybox", "sleep 60", detach=True)
    made = client.api.exec_create(box.id, "echo hi", tty=True)
    assert client.api.exec_start(made["Id"], tty=False, demux=True) == (b"hi\r\n", None)


def test_exec_over_a_socket(client: Any) -> None:
    box = client.containers.run("busybox", "sleep 60", detach=True)
    made = client.api.exec_create(box.id, "cat", stdin=True)
    raw = _socket_of(client.api.exec_start(made["Id"], socket=True))
    raw.sendall(b"hello\n")
    assert _frame(raw) == (1, b"hello\n")
    raw.shutdown(socket.SHUT_WR)
    assert raw.recv(1) == b""
    assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0


def test_attach_over_a_socket(client: Any) -> None:
    # docker-py's own create asks for StdinOnce, with which the program's stdin ends with this socket.
    made = client.api.create_container_from_config({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True})
    box = client.containers.get(made["Id"])
    raw = _socket_of(box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1}))
    box.start()
    raw.sendall(b"one\n")
    assert _frame(raw) == (1, b"one\n")
    raw.shutdown(socket.SHUT_WR)
    raw.close()
    again = _socket_of(box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1}))
    again.sendall(b"two\n")
    assert _frame(again) == (1, b"two\n")
    again.shutdown(socket.SHUT_WR)
    again.close()
    box.reload()
    assert box.status == "running"
    box.kill()


def test_stdin_once_ends_with_its_first_writer(client: Any) -> None:
    box = client.containers.create("busybox", "cat", stdin_open=True)
    raw = _socket_of(box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1}))
    box.start()
    raw.sendall(b"one\n")
    assert _frame(raw) == (1, b"one\n")
    raw.shutdown(socket.SHUT_WR)
    raw.close()
    assert box.wait(timeout=30)["StatusCode"] == 0


def test_attach_gathers_output(client: Any) -> None:
    box = client.containers.create("busybox", "echo attached")
    found: list[bytes] = []
    stream = box.attach(stream=True)
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    box.start()
    reader.join(30)
    assert found == [b"attached\n"]


def test_resize_and_detach_keys(client: Any) -> None:
    box = client.containers.create("busybox", "sh", tty=True, stdin_open=True)
    raw = _socket_of(box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1, "detachKeys": "ctrl-a"}))
    box.start()
    box.resize(31, 99)
    raw.sendall(b"stty size\n")
    seen = b""
    while b"31 99" not in seen:
        seen += raw.recv(4096)
    raw.sendall(b"\x01")
    while raw.recv(4096):
        pass
    box.reload()
    assert box.status == "running"
    box.kill()


def test_wait_conditions(client: Any) -> None:
    box = client.containers.create("busybox", "sh -c 'exit 6'")
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(box.wait(condition="next-exit")))
    waiter.start()
    time.sleep(0.2)
    assert results == []
    box.start()
    waiter.join(30)
    assert results[0]["StatusCode"] == 6


def test_auto_removed_containers_still_tell_their_code(client: Any) -> None:
    box = client.containers.run("busybox", "sh -c 'echo last; exit 3'", detach=True, auto_remove=True)
    try:
        list(box.logs(stream=True))
        assert box.wait()["StatusCode"] == 3
    except errors.NotFound as gone:  # it may end before the first request
        assert "No such container" in str(gone)
    removed = time.monotonic() + 30
    # Without ignore_removed, docker-py looks at each again and fails when one has gone in between.
    while client.containers.list(all=True, ignore_removed=True) and time.monotonic() < removed:
        time.sleep(0.05)
    assert client.containers.list(all=True, ignore_removed=True) == []


def test_a_published_port(client: Any) -> None:
    command = ["sh", "-c", "echo page > /tmp/index.html; exec httpd -f -h /tmp"]
    box = client.containers.run("busybox", command, detach=True, ports={"80/tcp": ("127.0.0.1", None)})
    box.reload()
    port = int(box.ports["80/tcp"][0]["HostPort"])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        assert answer.read() == b"page\n"


def test_networks_have_the_bridge(client: Any) -> None:
    assert "bridge" in [each.name for each in client.networks.list()]
    box = client.containers.run("busybox", "sleep 60", detach=True)
    box.reload()
    assert box.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].startswith("172.")


def test_volumes(client: Any) -> None:
    made = client.volumes.create("kept", labels={"a": "b"})
    assert made.attrs["CreatedAt"] == client.volumes.get("kept").attrs["CreatedAt"]
    client.containers.run("busybox", "touch /v/f", volumes={"kept": {"bind": "/v", "mode": "rw"}}, remove=True)
    listed = client.containers.run("busybox", "ls /v", volumes={"kept": {"bind": "/v", "mode": "ro"}}, remove=True)
    assert listed == b"f\n"
    made.remove()


def test_build_from_a_file_object(client: Any) -> None:
    image, lines = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo hi > /hi\n"), tag="fromfile")
    assert image.tags == ["fromfile:latest"]
    text = "".join(line.get("stream", "") for line in lines)
    assert "Successfully tagged fromfile:latest" in text
    assert client.containers.run("fromfile", "cat /hi") == b"hi\n"


def test_build_from_a_tar_with_content_encoding(client: Any) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        member = tarfile.TarInfo("Dockerfile")
        text = b"FROM busybox\nENV A=b\n"
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    data.seek(0)
    image, _ = client.images.build(fileobj=data, custom_context=True, encoding="gzip", rm=True)
    assert "A=b" in image.attrs["Config"]["Env"]


def test_a_failing_build_raises_with_its_lines(client: Any) -> None:
    with pytest.raises(errors.BuildError, match="returned a non-zero code: 2") as caught:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo before; exit 2\n"))
    lines = list(caught.value.build_log)
    assert any("before" in line.get("stream", "") for line in lines)
    assert lines[-1]["errorDetail"]["code"] == 2


def test_save_and_load(client: Any) -> None:
    client.images.get("busybox").tag("again", "1")
    archive = b"".join(client.images.get("again:1").save(named=True))
    client.images.remove("again:1")
    assert client.images.load(archive)[0].tags
    with pytest.raises(errors.APIError):
        client.images.pull("nope")


def test_events(client: Any) -> None:
    since = time.time()
    client.containers.run("busybox", "true", name="eventful", remove=True)
    found = client.events(
        since=f"{since:.9f}", until=f"{time.time() + 0.1:.9f}", decode=True, filters={"type": "container"}
    )
    seen = [event["status"] for event in found if event["Actor"]["Attributes"].get("name") == "eventful"]
    wanted = ["create", "start", "die", "destroy"]
    assert [status for status in seen if status in wanted] == wanted


def test_a_short_programs_words_are_in_the_log_right_after_its_start(client: Any) -> None:
    for _ in range(5):
        box = client.containers.create("busybox", "ls -a /")
        box.start()
        assert b"bin\n" in box.logs()


def test_an_exec_is_left_by_the_keys_of_the_clients_configuration(client: Any) -> None:
    api = client.api
    box = client.containers.run("busybox", "cat", detach=True, stdin_open=True)
    api._general_configs["detachKeys"] = "ctrl-p"
    made = api.exec_create(box.id, "cat", stdin=True, tty=True)
    raw = _socket_of(api.exec_start(made, tty=True, socket=True))
    raw.sendall(b"\x10")
    while raw.recv(100):  # until the engine closes it
        pass
    assert api.exec_inspect(made)["Running"]
    raw.close()


def test_what_was_asked_for_at_create_is_shown(client: Any) -> None:
    made = client.api.create_container("busybox", "true", runtime="runc", environment={"BARE": None, "SET": "1"})
    shown = client.api.inspect_container(made)
    assert shown["HostConfig"]["Runtime"] == "runc"
    assert {"BARE", "SET=1"} <= set(shown["Config"]["Env"])


def test_pruning_tells_how_much_was_freed(client: Any) -> None:
    client.containers.run("busybox", ["sh", "-c", "echo something > /file"])
    assert client.containers.prune()["SpaceReclaimed"] > 0


def test_a_build_takes_several_extra_hosts(client: Any) -> None:
    script = b"FROM busybox\nRUN ping -c1 a.test && ping -c1 b.test\n"
    image, _ = client.images.build(
        fileobj=io.BytesIO(script), extra_hosts={"a.test": "127.0.0.1", "b.test": "127.0.0.1"}, tag="hosts"
    )
    assert image.tags == ["hosts:latest"]


def test_prunes_and_df(client: Any) -> None:
    client.containers.run("busybox", "true")
    assert len(client.containers.prune()["ContainersDeleted"]) == 1
    client.volumes.prune()
    client.images.prune()
    assert client.df()["Images"]


def test_history_and_tags(client: Any) -> None:
    image = client.images.get("busybox")
    assert image.tags == ["busybox:latest"]
    assert client.images.get(image.id.removeprefix("sha256:")).id == image.id
    assert client.images.get(image.short_id).id == image.id
    assert image.history()[0]["Tags"] == ["busybox:latest"]


def _socket_of(found: Any) -> socket.socket:
    raw = getattr(found, "_sock", found)
    assert isinstance(raw, socket.socket)
    raw.settimeout(30)
    return raw


def _frame(raw: socket.socket) -> tuple[int, bytes]:
    stream, size = struct.unpack(">BxxxL", _exactly(raw, 8))
    return stream, _exactly(raw, size)


def _exactly(raw: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = raw.recv(size - len(data))
        assert piece, "the stream ended early"
        data += piece
    return data
