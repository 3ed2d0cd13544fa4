"""What real clients count on: a test for each point, numbered, of a list made by watching clients at other engines."""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from . import registry
from .clients import PATIENCE, Engine, wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TAR = {"Content-Type": "application/x-tar"}


@pytest.fixture
def client(engine: Engine, clean: None) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", timeout=int(PATIENCE))
    yield found
    for network in found.networks.list():
        if network.name not in ("bridge", "host", "none"):
            network.remove()
    found.close()


def make(http: httpx.Client, name: str, *command: str, **more: Any) -> str:
    answer = http.post(f"/containers/create?name={name}", json={"Image": "busybox", "Cmd": list(command), **more})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["Id"]
    return found


def start(http: httpx.Client, name: str, *command: str, **more: Any) -> str:
    found = make(http, name, *command, **more)
    answer = http.post(f"/containers/{name}/start")
    assert answer.status_code == 204, answer.text
    return found


def wait(http: httpx.Client, name: str) -> int:
    found: int = http.post(f"/containers/{name}/wait", timeout=PATIENCE).json()["StatusCode"]
    return found


def frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        stream, size = struct.unpack(">BxxxL", data[:8])
        found.append((stream, data[8 : 8 + size]))
        data = data[8 + size :]
    return found


def context(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            entry.uid = entry.gid = 4_000_000  # more than the sandbox's ids
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines() if line]


def words(answer: httpx.Response) -> str:
    return "".join(line.get("stream", "") for line in lines(answer))


def test_point_1_leaving_a_swarm_is_a_503(http: httpx.Client) -> None:
    for path in ("/swarm/leave?force=True", "/v1.24/swarm/leave"):
        assert http.post(path).status_code == 503


@pytest.mark.parametrize("text", ["False", "false", "0", "", "no", "NONE"])
def test_point_2_false_has_many_spellings(http: httpx.Client, clean: None, text: str) -> None:
    make(http, "idle", "true")
    assert http.get(f"/containers/json?all={text}").json() == []
    for true in ("True", "true", "1"):
        assert len(http.get(f"/containers/json?all={true}").json()) == 1


def test_point_3_an_execs_stream_follows_the_starts_tty(http: httpx.Client, clean: None) -> None:
    start(http, "box", "sleep", "60")

    def begin(body: dict[str, Any]) -> httpx.Response:
        made = http.post("/containers/box/exec", json={"Cmd": ["echo", "hi"], "AttachStdout": True, "Tty": True})
        return http.post(f"/exec/{made.json()['Id']}/start", json=body, timeout=PATIENCE)

    assert begin({"Tty": False}).content == b"\x01\0\0\0\0\0\0\x04hi\r\n"
    assert begin({"Tty": True}).content == b"hi\r\n"
    assert begin({"Detach": True}).content == b""


def test_point_3_the_connection_ends_with_the_exec(client: Any) -> None:
    box = client.containers.run("busybox", ["sleep", "60"], detach=True)
    made = client.api.exec_create(box.id, ["echo", "hi"], stdin=True)["Id"]
    raw = client.api.exec_start(made, socket=True)._sock
    raw.settimeout(PATIENCE)
    seen = b""
    while data := raw.recv(4096):  # its input stays open: it is the engine that ends it
        seen += data
    assert frames(seen) == [(1, b"hi\n")]
    assert client.api.exec_inspect(made)["ExitCode"] == 0
    raw.close()


def test_point_4_a_wait_answers_at_once_and_ends_with_the_container(http: httpx.Client, clean: None) -> None:
    make(http, "box", "true", HostConfig={"AutoRemove": True})
    with http.stream("POST", "/containers/box/wait?condition=removed", timeout=PATIENCE) as waiting:
        assert waiting.status_code == 200  # the head is there; the container was never started
        http.post("/containers/box/start")
        assert json.loads(waiting.read()) == {"StatusCode": 0}
    start(http, "gone", "sh", "-c", "exit 7", HostConfig={"AutoRemove": True})
    http.get("/containers/gone/logs?stdout=1&follow=1", timeout=PATIENCE)
    assert wait(http, "gone") == 7


def test_points_5_and_6_logs_are_there_after_the_start_and_come_a_line_a_frame(http: httpx.Client, clean: None) -> None:
    start(http, "box", "printf", "a\\nb\\nc")
    assert frames(http.get("/containers/box/logs?stdout=1").content) == [(1, b"a\n"), (1, b"b\n"), (1, b"c")]
    start(http, "other", "sleep", "60")
    made = http.post("/containers/other/exec", json={"Cmd": ["printf", "a\\nb\\n"], "AttachStdout": True})
    answer = http.post(f"/exec/{made.json()['Id']}/start", json={}, timeout=PATIENCE)
    assert frames(answer.content) == [(1, b"a\nb\n")]


HOST = {
    "Isolation": "default", "CgroupnsMode": "host", "Runtime": "runc", "VolumeDriver": "local", "UTSMode": "host",
    "DeviceCgroupRules": ["c 7:128 rwm"], "Tmpfs": {"/t": "size=64k"}, "Init": True, "CpuShares": 512,
    "CpusetCpus": "0", "MemorySwappiness": 40,
}  # fmt: skip


@pytest.mark.parametrize("field", HOST)
def test_point_7_host_config_comes_back_as_it_was_sent(http: httpx.Client, clean: None, field: str) -> None:
    make(http, "box", "true", HostConfig={field: HOST[field]})
    assert http.get("/containers/box/json").json()["HostConfig"][field] == HOST[field]


def test_point_7_so_does_the_rest(http: httpx.Client, clean: None) -> None:
    make(
        http, "box", "true", StopTimeout=5, Env=["BARE", "A=b"], HostConfig={"LogConfig": {"Type": "", "Config": None}}
    )
    shown = http.get("/containers/box/json").json()
    assert shown["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert (shown["Config"]["StopTimeout"], shown["Config"]["Image"]) == (5, "busybox")
    assert {"BARE", "A=b"} <= set(shown["Config"]["Env"])
    image = http.get("/images/busybox/json").json()["Id"]
    for asked in (image, image[7:19], "docker.io/library/busybox:latest"):
        make(http, f"box-{len(asked)}", "true", Image=asked)
        assert http.get(f"/containers/box-{len(asked)}/json").json()["Config"]["Image"] == asked


@pytest.mark.parametrize(("driver", "said"), [("", b"hi\n"), ("json-file", b"hi\n"), ("none", None)])
def test_point_7_output_is_returned_of_drivers_that_can_be_read(client: Any, driver: str, said: bytes | None) -> None:
    config = docker.types.LogConfig(type=driver)
    assert client.containers.run("busybox", ["echo", "hi"], remove=True, log_config=config) == said


def test_point_8_texts_are_dockers(client: Any, http: httpx.Client) -> None:
    def text(method: str, path: str, body: Any = None) -> str:
        found: str = http.request(method, path, json=body).json()["message"]
        return found

    start(http, "box", "sleep", "60", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": ""}]}})
    port = http.get("/containers/box/json").json()["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    assert text("GET", "/images/nope/json") == "No such image: nope"
    assert text("GET", "/containers/nope/json") == "No such container: nope"
    assert "Stop the container before" in text("DELETE", "/containers/box")
    made = {"Image": "busybox", "HostConfig": {"LogConfig": {"Type": "X"}}}
    assert "logger: no log driver named 'X' is registered" in text("POST", "/containers/create", made)
    make(http, "second", "true", HostConfig={"PortBindings": {"80/tcp": [{"HostPort": port}]}})
    assert "port is already allocated" in text("POST", "/containers/second/start")
    assert re.search(
        "unknown operating system|invalid platform", text("POST", "/images/create?fromImage=a&tag=1&platform=no")
    )
    saved = http.get("/images/busybox/get").content
    assert [line["stream"] for line in lines(http.post("/images/load", content=saved))][-1] == (
        "Loaded image: busybox:latest\n"
    )


def test_point_9_builds_speak_the_classic_builders_words(http: httpx.Client, clean: None) -> None:
    script = "FROM busybox\nRUN echo out; echo err >&2\nCMD ['sh'\n"
    url = "/build?t=spoken&rm=0"
    said = words(http.post(url, content=context(Dockerfile=script), headers=TAR, timeout=PATIENCE))
    assert re.search(r"Step 1/3 : FROM busybox\n ---> [0-9a-f]{12}\nStep 2/3 : RUN ", said)
    assert re.search(r" ---> Running in [0-9a-f]{12}\n", said)
    assert "\x1b[91merr\n\x1b[0m" in said
    assert said.endswith("Successfully tagged spoken:latest\n")
    assert " ---> Using cache\n" in words(http.post(url, content=context(Dockerfile=script), headers=TAR))
    # A CMD that is nearly JSON is a shell's.
    assert http.get("/images/spoken/json").json()["Config"]["Cmd"] == ["/bin/sh", "-c", "['sh'"]
    failing = context(Dockerfile="FROM busybox\nRUN exit 3\n")
    last = lines(http.post("/build", content=failing, headers=TAR, timeout=PATIENCE))[-1]
    assert last["errorDetail"]["code"] == 3
    assert last["error"] == "The command '/bin/sh -c exit 3' returned a non-zero code: 3"


def test_point_9_the_id_is_told_aside_and_in_the_last_lines(http: httpx.Client, clean: None) -> None:
    said = lines(http.post("/build?t=a&t=b:1", content=context(Dockerfile="FROM busybox\nRUN true\n"), headers=TAR))
    (aux,) = [line["aux"]["ID"] for line in said if "aux" in line]
    assert [line["stream"] for line in said[-3:]] == [
        f"Successfully built {aux.removeprefix('sha256:')[:12]}\n",
        "Successfully tagged a:latest\n",
        "Successfully tagged b:1\n",
    ]
    assert aux == http.get("/images/a/json").json()["Id"] == http.get("/images/b:1/json").json()["Id"]


def test_point_9_what_a_step_says_on_stderr_comes_in_one_chunk(http: httpx.Client, clean: None) -> None:
    script = "FROM busybox\nRUN printf 'one two' >&2\n"
    said = [line.get("stream") for line in lines(http.post("/build", content=context(Dockerfile=script), headers=TAR))]
    assert "\x1b[91mone two\x1b[0m" in said


def test_point_9_only_the_named_images_are_a_cache(client: Any) -> None:
    script = b"FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /made\n"

    def build(tag: str, **options: Any) -> tuple[str, bool]:
        image, said = client.images.build(fileobj=io.BytesIO(script), tag=tag, **options)
        return image.id, any("Using cache" in line.get("stream", "") for line in said)

    first, _ = build("cached")
    assert build("cached:2") == (first, True)
    assert build("cached:3", cache_from=["cached"]) == (first, True)
    second, used = build("cached:4", cache_from=["nothing-of-that-name"])
    assert not used and second != first


def test_point_9_a_proxy_needs_no_arg(client: Any) -> None:
    script = b"FROM busybox\nRUN echo [$HTTP_PROXY$other] > /said\n"
    arguments = {"HTTP_PROXY": "http://127.0.0.1:9", "other": "unasked"}
    client.images.build(fileobj=io.BytesIO(script), tag="proxied", buildargs=arguments)
    assert client.containers.run("proxied", ["cat", "/said"], remove=True) == b"[http://127.0.0.1:9]\n"


def test_point_9_a_step_runs_in_the_network_that_is_named(client: Any) -> None:
    network = client.networks.create("around")
    client.containers.run("busybox", ["sleep", "60"], name="peer", network="around", detach=True)
    # The second time it is no step from the cache: the mode is a part of what is asked.
    for mode in ("around", network.id):
        script = f"FROM busybox\nRUN ping -c 1 -W 20 peer # {mode}\n".encode()
        client.images.build(fileobj=io.BytesIO(script), tag="met", network_mode=mode)
    client.containers.get("peer").remove(force=True)


def test_point_10_a_dockerfile_from_outside_the_context(client: Any, tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "kept").write_text("x")
    (inside / ".dockerignore").write_text(".dockerignore\n")
    (outside / "Dockerfile").write_text("FROM busybox\nCOPY . /src\n")
    client.images.build(path=str(inside), dockerfile=str(outside / "Dockerfile"), tag="outside")
    assert client.containers.run("outside", "ls -A /src", remove=True) == b"kept\n"


def test_point_10_owners_beyond_the_sandboxs_ids_do_no_harm(http: httpx.Client, clean: None) -> None:
    data = context(Dockerfile="FROM busybox\nCOPY file /file\n", file="x")
    assert "Successfully built" in words(http.post("/build", content=data, headers=TAR, timeout=PATIENCE))


def test_point_11_loading_what_is_no_tar_fails_in_the_stream(http: httpx.Client) -> None:
    assert "errorDetail" in lines(http.post("/images/load", content=b"no tar at all"))[-1]


def test_point_12_bodies_are_chunked_and_compressed(http: httpx.Client, clean: None) -> None:
    data = context(Dockerfile="FROM busybox\nCOPY file /file\n", file="x")
    pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
    assert "Successfully built" in words(http.post("/build", content=pieces, headers=TAR, timeout=PATIENCE))
    packed = {**TAR, "Content-Encoding": "gzip"}
    answer = http.post("/build", content=gzip.compress(data), headers=packed, timeout=PATIENCE)
    assert "Successfully built" in words(answer)


def test_point_13_volumes_and_archives(http: httpx.Client, clean: None) -> None:
    made = http.post("/volumes/create", json={"Name": "kept"})
    assert http.get("/volumes/kept").content == made.content
    nameless = http.post("/volumes/create", json={}).json()["Name"]
    make(http, "box", "true", HostConfig={"Binds": ["kept:/k"]}, Volumes={"/own": {}})
    assert {m["Destination"] for m in http.get("/containers/box/json").json()["Mounts"]} == {"/k", "/own"}
    for _ in ("created", "ended"):
        assert http.put("/containers/box/archive?path=/own", content=context(file="x"), headers=TAR).status_code == 200
        with tarfile.open(fileobj=io.BytesIO(http.get("/containers/box/archive?path=/own/file").content)) as tar:
            assert tar.getnames() == ["file"]
        http.post("/containers/box/start")
        wait(http, "box")
    http.delete("/containers/box")
    assert nameless in (http.post("/v1.42/volumes/prune").json()["VolumesDeleted"] or [])
    assert http.get("/volumes/kept").status_code == 200
    http.delete("/volumes/kept")


def test_point_14_networks(client: Any, http: httpx.Client) -> None:
    assert http.get("/networks/bridge").status_code == 200
    config = [{"Subnet": "172.31.77.0/24", "Gateway": "172.31.77.1"}]
    made = http.post("/networks/create", json={"Name": "two words", "IPAM": {"Config": config}}).json()["Id"]
    assert http.get(f"/networks/{made}").json()["IPAM"]["Config"] == config
    assert http.get("/networks", params={"filters": json.dumps({"id": [made[:12]]})}).json()[0]["Name"] == "two words"
    assert http.post("/networks/create", json={"Name": "two words"}).status_code == 409
    make(
        http, "box", "true", NetworkingConfig={"EndpointsConfig": {"two words": None}}, HostConfig={"NetworkMode": made}
    )
    endpoint = http.get("/containers/box/json").json()["NetworkSettings"]["Networks"]["two words"]
    assert (endpoint["Aliases"], endpoint["DriverOpts"]) == (None, None)
    assert http.post(f"/networks/{made}/connect", json={"Container": "box"}).status_code == 403
    assert http.post(f"/networks/{made}/disconnect", json={"Container": "box"}).status_code == 200
    for force in (False, True):
        answer = http.post(f"/networks/{made}/disconnect", json={"Container": "box", "Force": force})
        assert answer.status_code >= 400
    http.delete("/containers/box?force=1")


def test_point_15_links(http: httpx.Client, clean: None) -> None:
    start(http, "db", "sleep", "60", Env=["FOO=bar"])
    start(http, "box", "env", HostConfig={"Links": ["db:mylink1"]})
    wait(http, "box")
    said = http.get("/containers/box/logs?stdout=1").text
    assert "MYLINK1_NAME=/box/mylink1" in said
    assert "MYLINK1_ENV_FOO=bar" in said
    assert http.delete("/containers/box/mylink1?link=True").status_code == 204


def test_point_16_a_mac_address_at_the_top(http: httpx.Client, clean: None) -> None:
    start(http, "box", "sleep", "60", MacAddress="02:42:ac:11:65:43")
    settings = http.get("/v1.43/containers/box/json").json()["NetworkSettings"]
    assert settings["MacAddress"] == "02:42:ac:11:65:43"


def test_point_17_a_diff_has_only_the_containers_own_changes(http: httpx.Client, clean: None) -> None:
    start(http, "box", "touch", "/new")
    wait(http, "box")
    assert http.get("/containers/box/changes").json() == [{"Path": "/new", "Kind": 1}]


def test_point_18_info_and_stats_have_what_clients_read(http: httpx.Client, clean: None) -> None:
    info = http.get("/info").json()
    assert info["Images"] == len({image["Id"] for image in http.get("/images/json?all=1").json()})
    assert {"ExperimentalBuild", "Name", "ID", "Debug"} <= info.keys()
    start(http, "box", "sleep", "60")
    assert {"networks", "memory_stats"} <= http.get("/containers/box/stats?stream=0").json().keys()


def test_point_19_names_and_ids_of_images(http: httpx.Client, clean: None) -> None:
    image = http.get("/images/busybox/json").json()
    assert image["RepoTags"] == ["busybox:latest"]
    assert http.get(f"/images/{image['Id'].removeprefix('sha256:')}/json").json()["Id"] == image["Id"]
    make(http, "box", "true")
    made = http.post("/commit?container=box&repo=mine", json={}).json()["Id"]
    assert http.get(f"/images/{made}/json").json()["Parent"] == image["Id"]


def test_point_19_a_missing_image_is_pulled_and_one_that_nobody_has_is_told(
    client: Any, http: httpx.Client, tmp_path: Path
) -> None:
    with registry.serve(tmp_path) as host:
        client.images.get("busybox").tag(f"{host}/there", "1")
        client.images.push(f"{host}/there", "1")
        client.images.remove(f"{host}/there:1")
        answer = http.post("/containers/create", json={"Image": f"{host}/there:1"})
        assert answer.status_code in (400, 404) and answer.json()["message"] == f"No such image: {host}/there:1"
        assert client.containers.run(f"{host}/there:1", ["echo", "pulled"], remove=True) == b"pulled\n"
        with pytest.raises(docker.errors.ImageNotFound):
            client.images.get(f"{host}/nowhere:1")
        with pytest.raises(docker.errors.NotFound, match=r"manifest unknown|repository does not exist"):
            client.containers.run(f"{host}/nowhere:1", ["true"])


def test_point_19_a_name_that_a_registry_keeps_closed_does_not_exist(client: Any, tmp_path: Path) -> None:
    with registry.serve(tmp_path, registry.USERS) as host:
        with pytest.raises(docker.errors.ImageNotFound, match="repository does not exist") as refused:
            client.images.pull(f"{host}/nowhere", "1")
        assert refused.value.status_code == 404


def test_point_20_a_wait_for_what_restarts_ends_with_its_first_end(http: httpx.Client, clean: None) -> None:
    start(http, "box", "sh", "-c", "exit 9", HostConfig={"RestartPolicy": {"Name": "always"}})
    assert wait(http, "box") == 9
    refused = http.delete("/containers/box")
    assert (refused.status_code, "Stop the container before" in refused.json()["message"]) == (409, True)


@pytest.mark.parametrize(("query", "keys"), [("", b"\x10\x11"), ("&detachKeys=ctrl-a,b", b"\x01b")])
def test_point_21_detach_keys(engine: Engine, http: httpx.Client, clean: None, query: str, keys: bytes) -> None:
    start(http, "box", "cat", Tty=True, OpenStdin=True)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(PATIENCE)
        raw.connect(str(engine.socket))
        head = f"POST /containers/box/attach?stdin=1&stdout=1&stream=1{query} HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n"
        raw.sendall(head.encode() + b"Connection: Upgrade\r\nContent-Length: 0\r\n\r\n")
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += raw.recv(4096)
        raw.sendall(keys)
        while raw.recv(4096):  # until the engine closes the connection
            pass
    assert http.get("/containers/box/json").json()["State"]["Running"]


def test_point_21_an_exec_is_left_by_the_keys_that_it_was_made_with(engine: Engine, client: Any) -> None:
    box = client.containers.run("busybox", ["sleep", "60"], detach=True)
    for more, keys in (({}, b"\x10\x11"), ({"DetachKeys": "ctrl-a,b"}, b"\x01b")):
        body = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "Tty": True, **more}
        answer = client.api._post_json(client.api._url("/containers/{0}/exec", box.id), data=body)
        made = answer.json()["Id"]
        raw = client.api.exec_start(made, tty=True, socket=True)._sock
        raw.settimeout(PATIENCE)
        raw.sendall(keys)
        while raw.recv(4096):  # until the engine closes the connection
            pass
        raw.close()
        assert client.api.exec_inspect(made)["Running"]


def test_point_22_docker_py_finds_the_image_and_keeps_the_steps(client: Any, http: httpx.Client) -> None:
    image, said = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN touch /made\n"))
    steps = [re.search(r"Running in ([0-9a-f]{12})", line.get("stream", "")) for line in said]
    assert image.id == http.get(f"/images/{image.id}/json").json()["Id"]
    # It sends rm=False: what a step ran in may stay, and is then no container that runs.
    assert all(http.get(f"/containers/{step[1]}/json").status_code in (200, 404) for step in steps if step)
    assert client.containers.list() == []


def test_point_22_the_classic_builder_is_announced_and_takes_arguments_without_a_value(
    http: httpx.Client, clean: None
) -> None:
    assert http.head("/_ping").headers["builder-version"] == "1"
    data = context(Dockerfile="FROM busybox\nARG X\nRUN echo [${X-unset}]\n")
    answer = http.post('/build?version=1&buildargs={"X":null}', content=iter([data]), headers=TAR, timeout=PATIENCE)
    last = lines(answer)[-1]
    assert "[unset]\n" in words(answer)
    assert re.search(r"(^Successfully built |sha256:)([0-9a-f]+)$", last["stream"])


def test_point_23_a_container_speaks_to_the_engine_through_dockers_socket(http: httpx.Client, clean: None) -> None:
    start(http, "box", "sleep", "60", HostConfig={"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]})
    made = http.post("/containers/box/exec", json={"Cmd": ["test", "-S", "/var/run/docker.sock"]}).json()["Id"]
    http.post(f"/exec/{made}/start", json={}, timeout=PATIENCE)
    assert http.get(f"/exec/{made}/json").json()["ExitCode"] == 0
    # As a mount that must be there, too, whether the machine has such a socket or not.
    mount = {"Type": "bind", "Source": "/var/run/docker.sock", "Target": "/engine.sock"}
    mounted = make(http, "mounted", "test", "-S", "/engine.sock", HostConfig={"Mounts": [mount]})
    http.post(f"/containers/{mounted}/start")
    assert wait(http, "mounted") == 0
    plain = make(http, "plain", "ls", "/var/run/docker.sock")
    http.post(f"/containers/{plain}/start")
    assert wait(http, "plain") == 1  # nobody has it who did not ask for it


def test_what_was_missed_between_two_readings_of_events_comes_with_since(http: httpx.Client, clean: None) -> None:
    start(http, "first", "true")
    wait(http, "first")
    now = http.get("/info").json()["SystemTime"]
    past = lines(http.get("/events", params={"since": "0", "until": now}))
    last = [event for event in past if event["Type"] == "container"][-1]
    # The reader is away: what happens now must be there when it comes back with the last event's time.
    start(http, "second", "true")
    wait(http, "second")
    nano = f"{last['timeNano'] // 10**9}.{last['timeNano'] % 10**9:09d}"
    until = http.get("/info").json()["SystemTime"]
    filters = json.dumps({"type": ["container"]})
    again = lines(http.get("/events", params={"since": nano, "until": until, "filters": filters}))
    assert again[0] == last  # the limit itself is in: nothing can fall between
    assert [e["Action"] for e in again if e["Actor"]["Attributes"]["name"] == "second"][:2] == ["create", "start"]
    assert [e["timeNano"] for e in again] == sorted({e["timeNano"] for e in again})


def test_a_reader_that_never_reads_its_log_does_not_slow_the_container(
    engine: Engine, http: httpx.Client, clean: None
) -> None:
    start(
        http,
        "box",
        "sh",
        "-c",
        "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890; i=$((i+1)); done",
    )
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(engine.socket))
        raw.sendall(b"GET /containers/box/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wait(http, "box") == 0


@pytest.mark.parametrize("path", ["/containers/a%0Ab/json", "/v1.41/%0A", "/containers/%0D%0A?link=1"])
def test_a_line_end_in_a_path_is_refused_in_json(http: httpx.Client, path: str) -> None:
    answer = http.delete(path)
    assert answer.status_code in (400, 404) and answer.json()["message"]


def test_clients_that_vanish_at_any_byte_leave_nothing(engine: Engine, http: httpx.Client, clean: None) -> None:
    start(http, "box", "sleep", "60")
    body = b'{"Image":"busybox","Cmd":["true"]}'
    request = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    before = http.get("/info").json()["NFd"]

    def send(data: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(engine.socket))
            raw.sendall(data)

    for path in ("events", "containers/box/logs?follow=1&stdout=1", "containers/box/stats"):
        send(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for path in ("wait", "attach?stream=1&stdout=1"):
        send(f"POST /containers/box/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    threads = [threading.Thread(target=send, args=(request[:at],)) for at in range(1, len(request))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(http.get("/containers/json?all=1").json()) == 1
    wait_until(lambda: http.get("/info").json()["NFd"] <= before + 3, "the descriptors of those who left are closed")
