"""`labdock registry serve` end to end: skopeo, podman, docker and curl push and pull; engines that die."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.images import platforms
from labdock.schema import oci
from tests import stores

from .conftest import EngineUnderTest, short_folder, wait_until

SKOPEO, PODMAN, CURL = shutil.which("skopeo"), shutil.which("podman"), shutil.which("curl")
#: What an engine may grow by at most while a blob of any size comes or goes, in KiB.
GROWTH = 96 * 1024


class Registry:
    """The registry of *engine*, and the programs that use it, with files of their own under ``engine.root``."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self.engine = engine
        self.host = ""
        for name in ("docker", "tmp", "xdg"):
            (engine.root / name).mkdir(exist_ok=True)
        (engine.root / "docker" / "config.json").write_text("{}")
        (engine.root / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        self.environment = {
            **engine.environment,
            "HOME": str(engine.root),
            "TMPDIR": str(engine.root / "tmp"),
            "XDG_RUNTIME_DIR": str(engine.root / "xdg"),
        }

    def ask(self, method: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """One request to the engine's own endpoint."""
        command = [str(CURL), "-s", "-X", method, "--unix-socket", f"{self.engine.run}/docker.sock"]
        if body is not None:
            command += ["-d", json.dumps(body)]
        command += ["-w", "\n%{http_code}", "http://docker/labdock/registry"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        text, _, status = said.rpartition("\n")
        return int(status), json.loads(text) if text.strip() else {}

    def serve(self, **more: Any) -> None:
        status, found = self.ask("POST", {"Port": 0, **more})
        assert status == 201, found
        self.host = f"127.0.0.1:{found['Port']}"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=90, check=False, cwd=self.engine.root
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done

    def skopeo(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        assert SKOPEO is not None, "scripts/system.sh test installs skopeo"
        return self.run(SKOPEO, "--policy", str(self.engine.root / "policy.json"), *arguments, check=check)

    def podman(self, *arguments: str) -> str:
        assert PODMAN is not None, "scripts/system.sh test installs podman"
        root = self.engine.root
        places = ["--root", str(root / "pod"), "--runroot", str(root / "podrun"), "--storage-driver", "vfs"]
        done = self.run(PODMAN, *places, "--cgroup-manager", "cgroupfs", *arguments)
        return done.stdout.strip()

    def curl(self, method: str, path: str, *more: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (small letters) and body."""
        assert CURL is not None
        head = self.engine.root / "head"
        # The body to a file: it need not be text.
        out = self.engine.root / "body"
        flag = ["-I"] if method == "HEAD" else ["-X", method]
        self.run(CURL, "-s", *flag, "-D", str(head), "-o", str(out), *more, f"http://{self.host}{path}")
        first, *lines = head.read_bytes().decode().strip().split("\r\n\r\n")[-1].split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if ": " in line)}
        return int(first.split()[1]), headers, out.read_bytes() if out.exists() else b""

    def digest(self, name: str, reference: str) -> str:
        status, headers, _ = self.curl("HEAD", f"/v2/{name}/manifests/{reference}")
        assert status == 200
        return headers["docker-content-digest"]

    def peak(self) -> int:
        """The most memory that the engine has had so far, in KiB."""
        status = Path(f"/proc/{self.engine.pid('engine')}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


@pytest.fixture
def registry(engine: EngineUnderTest) -> Iterator[Registry]:
    engine.docker("pull", "busybox")
    found = Registry(engine)
    found.serve()
    yield found
    # What podman unpacked belongs to ids of its user's namespace.
    if PODMAN is not None and (engine.root / "pod").exists():
        found.podman("system", "reset", "--force")
        subprocess.run([PODMAN, "unshare", "rm", "-rf", str(engine.root / "pod")], env=found.environment, check=True)


def manifest_of(registry: Registry, name: str, reference: str) -> bytes:
    status, _, body = registry.curl("GET", f"/v2/{name}/manifests/{reference}")
    assert status == 200
    return body


def test_skopeo_takes_and_brings_images_byte_for_byte(registry: Registry) -> None:
    host, root = registry.host, registry.engine.root
    registry.skopeo("copy", "--src-tls-verify=false", f"docker://{host}/busybox:latest", f"dir:{root}/plain")
    plain = (root / "plain" / "manifest.json").read_bytes()
    assert plain == manifest_of(registry, "busybox", "latest")
    # A layout has its layers compressed; it comes back under another name with other bytes of the same image.
    registry.skopeo("copy", f"dir:{root}/plain", f"oci:{root}/layout:x")
    (entry,) = json.loads((root / "layout" / "index.json").read_text())["manifests"]
    registry.skopeo(
        "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{root}/layout:x", f"docker://{host}/team/app:1"
    )
    assert registry.digest("team/app", "1") == entry["digest"]
    assert entry["digest"] != registry.digest("busybox", "latest")
    stored = root / "layout" / "blobs" / "sha256" / entry["digest"][7:]
    assert manifest_of(registry, "team/app", "1") == stored.read_bytes()
    # It is an image of the engine, the same as the one that it came from.
    assert registry.engine.docker("run", "--rm", "team/app:1", "echo", "hello") == "hello"
    ids = registry.engine.docker("images", "-q", "--no-trunc").split()
    assert len(ids) == 2
    assert len(set(ids)) == 1
    # As Docker's schema 2, and away again.
    registry.skopeo(
        "copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{root}/layout:x", f"docker://{host}/team/app:2"
    )
    kind = json.loads(manifest_of(registry, "team/app", "2"))["mediaType"]
    assert kind == oci.DOCKER_MANIFEST
    listed = json.loads(registry.skopeo("list-tags", "--tls-verify=false", f"docker://{host}/team/app").stdout)
    assert listed["Tags"] == ["1", "2"]
    registry.skopeo("delete", "--tls-verify=false", f"docker://{host}/team/app:2")
    assert registry.skopeo("inspect", "--tls-verify=false", f"docker://{host}/team/app:2", check=False).stderr.count(
        "manifest unknown"
    )
    assert "team/app:2" not in registry.engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}")


def test_skopeo_copies_an_index_with_all_its_images(registry: Registry) -> None:
    """Made by hand: this machine's busybox, and the same said to be for another machine."""
    host, root = registry.host, registry.engine.root
    registry.skopeo("copy", "--src-tls-verify=false", f"docker://{host}/busybox:latest", f"oci:{root}/many:x")
    blobs = root / "many" / "blobs" / "sha256"
    (entry,) = json.loads((root / "many" / "index.json").read_text())["manifests"]

    def keep(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = json.loads((blobs / entry["digest"][7:]).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_bytes())
    children = []
    for architecture in (platforms.native().architecture, "s390x"):
        made = msgspec.json.encode({**config, "architecture": architecture, "os": "linux"})
        described = {**manifest["config"], **keep(made)}
        child = keep(msgspec.json.encode({**manifest, "mediaType": oci.MANIFEST, "config": described}))
        children.append({"mediaType": oci.MANIFEST, **child, "platform": {"os": "linux", "architecture": architecture}})
    whole = msgspec.json.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": children})
    top = {"mediaType": oci.INDEX, **keep(whole), "annotations": {oci.REF_NAME: "all"}}
    (root / "many" / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    registry.skopeo(
        "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
        f"oci:{root}/many:all", f"docker://{host}/multi:1",
    )  # fmt: skip
    assert manifest_of(registry, "multi", "1") == whole
    assert registry.engine.docker("run", "--rm", "multi:1", "echo", "native") == "native"
    registry.skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{host}/multi:1", f"oci:{root}/back:x")
    assert (root / "back" / "blobs" / "sha256" / top["digest"][7:]).read_bytes() == whole


def test_podman_pulls_and_pushes(registry: Registry) -> None:
    host = registry.host
    image = registry.podman("pull", "-q", "--tls-verify=false", f"{host}/busybox:latest")
    assert registry.engine.docker("images", "-q", "--no-trunc", "busybox") == f"sha256:{image}"
    registry.podman("push", "-q", "--tls-verify=false", image, f"{host}/pod/app:2")
    assert registry.engine.docker("run", "--rm", "pod/app:2", "echo", "from podman") == "from podman"
    registry.podman("rmi", "-fa")
    assert registry.podman("pull", "-q", "--tls-verify=false", f"{host}/pod/app:2") == image


def test_docker_against_another_engine(registry: Registry) -> None:
    """What a class does: a teacher's engine serves, a learner's engine pulls from it and pushes to it."""
    root = short_folder()
    learner = EngineUnderTest(root)
    learner.start()
    try:
        name = f"{registry.host}/busybox:latest"
        learner.docker("pull", "-q", name)
        found = learner.client().images.get(name)
        assert found.attrs["RepoDigests"] == [f"{registry.host}/busybox@{registry.digest('busybox', 'latest')}"]
        learner.docker(
            "build", "-q", "-t", f"{registry.host}/class/work:1", "-", stdin=f"FROM {name}\nRUN echo done >/w"
        )
        said = learner.docker("push", f"{registry.host}/class/work:1")
        assert f"digest: {registry.digest('class/work', '1')}" in said
        assert registry.engine.docker("run", "--rm", "class/work:1", "cat", "/w") == "done"
        # A second push finds every layer there.
        assert learner.docker("push", f"{registry.host}/class/work:1").count("Layer already exists") == 2
        missing = learner.docker("pull", f"{registry.host}/class/none:1", check=False)
        assert missing == ""
    finally:
        learner.stop()
        stores.remove(root)


def test_an_engine_is_its_own_registry(registry: Registry) -> None:
    """A push lab on one machine: pushed, removed, pulled again, through the host's port."""
    engine, name = registry.engine, f"localhost:{registry.host.rpartition(':')[2]}/lab/app:1"
    engine.docker("build", "-q", "-t", name, "-", stdin="FROM busybox\nRUN echo mine >/m")
    engine.docker("push", "-q", name)
    assert engine.docker("run", "--rm", "lab/app:1", "cat", "/m") == "mine"
    engine.docker("rmi", name)
    engine.docker("pull", "-q", name)
    assert engine.docker("run", "--rm", name, "cat", "/m") == "mine"


def test_curl_reads_ranges_and_memory_stays_flat(registry: Registry) -> None:
    size = 128 << 20
    big = registry.engine.root / "big"
    with open(big, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    with open(big, "rb") as written:
        digest = "sha256:" + hashlib.file_digest(written, "sha256").hexdigest()
    before = registry.peak()
    status, headers, _ = registry.curl("POST", "/v2/big/blobs/uploads/")
    assert status == 202
    where = headers["location"]
    # Half of it as a chunk that is cut off in its middle, then on from where it ended.
    half = str(size // 2)
    cut = registry.run(
        "timeout", "0.2", str(CURL), "-s", "--limit-rate", "10M", "-X", "PATCH", "-T", str(big),
        f"http://{registry.host}{where}", check=False,
    )  # fmt: skip
    assert cut.returncode == 124

    def arrived() -> int:
        return int(registry.curl("GET", where)[1]["range"].partition("-")[2]) + 1

    wait_until(lambda: registry.curl("PATCH", where, "-d", "")[0] == 202, "the cut request is over")
    start = arrived()
    assert 1 < start < size
    rest = registry.engine.root / "rest"
    with open(big, "rb") as source, open(rest, "wb") as target:
        source.seek(start)
        shutil.copyfileobj(source, target, 1 << 20)
    status, headers, body = registry.curl(
        "PUT", f"{where}?digest={digest}", "-T", str(rest), "-H", f"Content-Range: {start}-{size - 1}"
    )
    assert status == 201, body
    status, headers, body = registry.curl("GET", f"/v2/big/blobs/{digest}")
    assert status == 200
    assert "sha256:" + hashlib.sha256(body).hexdigest() == digest
    status, headers, part = registry.curl("GET", f"/v2/big/blobs/{digest}", "-r", f"{half}-{size // 2 + 9}")
    assert (status, headers["content-range"]) == (206, f"bytes {half}-{size // 2 + 9}/{size}")
    assert part == body[size // 2 : size // 2 + 10]
    assert registry.peak() - before < GROWTH


def test_logins_and_read_only(registry: Registry) -> None:
    engine = registry.engine
    assert registry.ask("DELETE")[0] == 204
    registry.serve(User="ada", Password="secret")
    source = f"docker://{registry.host}/busybox:latest"
    inspect = ["inspect", "--tls-verify=false"]
    assert "unauthorized" in registry.skopeo(*inspect, source, check=False).stderr
    assert registry.skopeo(*inspect, "--creds", "ada:wrong", source, check=False).returncode != 0
    registry.skopeo(*inspect, "--creds", "ada:secret", source)
    # The password is nowhere on the disk.
    for path in engine.data.glob("labdock.db*"):
        assert b"secret" not in path.read_bytes()
    assert registry.ask("DELETE")[0] == 204
    registry.serve(ReadOnly=True)
    copy = ["copy", "--dest-tls-verify=false", "--src-tls-verify=false"]
    refused = registry.skopeo(
        *copy, f"docker://{registry.host}/busybox:latest", f"docker://{registry.host}/x:1", check=False
    )
    assert refused.returncode != 0
    assert registry.curl("POST", "/v2/x/blobs/uploads/")[0] == 405
    assert registry.digest("busybox", "latest")


def test_only_the_loopback_listens_unless_another_address_is_asked_for(registry: Registry) -> None:
    port = int(registry.host.rpartition(":")[2])
    other = next((ip for ip in _addresses() if not ip.startswith("127.")), "127.0.0.2")
    with pytest.raises(ConnectionRefusedError), socket.create_connection((other, port), timeout=5):
        pass
    assert registry.ask("DELETE")[0] == 204
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    registry.serve(Address="127.0.0.2")
    with socket.create_connection(("127.0.0.2", int(registry.host.rpartition(":")[2])), timeout=5):
        pass


def _addresses() -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]


def test_a_killed_engine_serves_on_at_the_same_port(registry: Registry) -> None:
    engine, host = registry.engine, registry.host
    digest = registry.digest("busybox", "latest")
    _, headers, _ = registry.curl("POST", "/v2/half/blobs/uploads/")
    assert registry.curl("PATCH", headers["location"], "-d", "half of a blob")[0] == 202
    before = engine.pid("engine")
    engine.kill("engine")
    wait_until(lambda: engine.pid("engine") not in (0, before), "the engine is started again")
    engine.docker("version")
    assert registry.ask("GET")[1]["Running"] is True
    assert registry.digest("busybox", "latest") == digest
    # The upload went with the engine, and nothing of it is left.
    assert registry.curl("GET", headers["location"])[0] == 404
    assert not list((engine.data / "content" / "ingest").iterdir())
    # So does a whole new sandbox.
    engine.stop()
    engine.start()
    assert registry.host == host
    assert registry.digest("busybox", "latest") == digest


def test_a_push_that_is_killed_succeeds_the_second_time(registry: Registry) -> None:
    engine, root, host = registry.engine, registry.engine.root, registry.host
    registry.skopeo("copy", "--src-tls-verify=false", f"docker://{host}/busybox:latest", f"oci:{root}/layout:x")
    command = [
        "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{root}/layout:x", f"docker://{host}/killed/app:1"
    ]  # fmt: skip
    for point in ("registry:arrived", "registry:remembered", "registry:listed"):
        engine.arm(point)
        assert registry.skopeo(*command, check=False).returncode != 0
        assert not engine.is_armed(point)
        engine.docker("version")
        # Either no image of this name is listed, or a whole one.
        if engine.docker("images", "-q", "killed/app"):
            assert engine.docker("run", "--rm", "killed/app:1", "echo", "whole") == "whole"
        registry.skopeo(*command)
        assert engine.docker("run", "--rm", "killed/app:1", "echo", "whole") == "whole"
        (entry,) = json.loads((root / "layout" / "index.json").read_text())["manifests"]
        assert registry.digest("killed/app", "1") == entry["digest"]
        engine.docker("rmi", "killed/app:1")
