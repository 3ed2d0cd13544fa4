"""The engine among its peers: Debian's docker-registry between labdock, skopeo, podman, docker and docker-py.

Digests are equal to what the others compute for the same image, in both directions.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.contract import registry

from .conftest import EngineUnderTest

SKOPEO, PODMAN = shutil.which("skopeo"), shutil.which("podman")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Peers:
    """The other programs, with files of their own under *root*, and the registry at *host*."""

    root: Path
    host: str
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=90, check=False, cwd=self.root
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode()

    def skopeo(self, *arguments: str) -> str:
        assert SKOPEO is not None, "scripts/system.sh test installs skopeo"
        return self.run(SKOPEO, "--insecure-policy", *arguments)

    def raw(self, name: str, *more: str) -> bytes:
        """The manifest's own bytes (``--config``: the config's)."""
        return self.skopeo("inspect", "--raw", "--tls-verify=false", *more, f"docker://{self.host}/{name}").encode()

    def podman(self, *arguments: str) -> str:
        assert PODMAN is not None, "scripts/system.sh test installs podman"
        places = ["--root", str(self.root / "pod"), "--runroot", str(self.root / "podrun"), "--storage-driver", "vfs"]
        return self.run(PODMAN, *places, "--cgroup-manager", "cgroupfs", *arguments).strip()


@pytest.fixture
def peers(engine: EngineUnderTest) -> Iterator[Peers]:
    root = engine.root / "peers"
    for name in ("", "registry", "tmp", "xdg", "docker"):
        (root / name).mkdir()
    with registry.serve(root / "registry") as host:
        found = Peers(root, host)
        found.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "TMPDIR": str(root / "tmp"),
            "XDG_RUNTIME_DIR": str(root / "xdg"),
        }
        yield found
        # What podman unpacked belongs to ids of its user's namespace.
        if PODMAN is not None and (root / "pod").exists():
            found.podman("system", "reset", "--force")
            found.run(PODMAN, "unshare", "rm", "-rf", str(root / "pod"))


def make_layer(seed: int) -> bytes:
    """Of all that a layer may hold without privileges."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in (f"d{seed}", f"d{seed}/" + "deep/" * 30):
            folder = tarfile.TarInfo(name.rstrip("/"))
            folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, 1_500_000_000
            tar.addfile(folder)
        for number in range(30):
            data = (f"line {seed} {number}\n" * (number * 100 + 1)).encode()
            file = tarfile.TarInfo(f"d{seed}/f{number}")
            file.size, file.mode, file.uid, file.gid = len(data), 0o4755, number, 42
            file.pax_headers = {"mtime": f"15000000{number:02}.123456789"}
            tar.addfile(file, io.BytesIO(data))
        for kind, name in ((tarfile.LNKTYPE, "hard"), (tarfile.SYMTYPE, "soft")):
            link = tarfile.TarInfo(f"d{seed}/{name}")
            link.type, link.linkname = kind, f"d{seed}/f3" if kind == tarfile.LNKTYPE else "f3"
            tar.addfile(link)
        if seed:
            tar.addfile(tarfile.TarInfo(f"d{seed - 1}/.wh.f7"))
    return out.getvalue()


def write_archive(target: Path, name: str) -> str:
    """A ``docker save`` archive of three layers; gives the image's id."""
    layers = [make_layer(seed) for seed in range(3)]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": {"Cmd": ["/d0/f3"], "Labels": {"a": "ä <>&"}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": f"step {n}"} for n in range(3)],
        }
    ).encode()
    entry = {"Config": "c.json", "RepoTags": [name], "Layers": [f"{n}/layer.tar" for n in range(3)]}
    files = {f"{n}/layer.tar": layer for n, layer in enumerate(layers)}
    files |= {"c.json": config, "manifest.json": json.dumps([entry]).encode()}
    with tarfile.open(target, "w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return digest_of(config)


def inspect(engine: EngineUnderTest, name: str) -> dict[str, Any]:
    (found,) = json.loads(engine.docker("image", "inspect", name))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("form", [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")], ids=lambda form: "-".join(form))
def test_what_skopeo_pushed_keeps_its_digests_through_the_engine(
    engine: EngineUnderTest, peers: Peers, form: tuple[str, str]
) -> None:
    kind, packing = form
    image = write_archive(peers.root / "a.tar", "app:1")
    name = f"{peers.host}/from/skopeo"
    options = ["copy", "--quiet", "--dest-tls-verify=false", "--format", kind, "--dest-compress-format", packing]
    peers.skopeo(*options, "docker-archive:a.tar", f"docker://{name}:1")
    manifest = peers.raw("from/skopeo:1")
    engine.docker("pull", f"{name}:1")
    found = inspect(engine, f"{name}:1")
    assert found["RepoDigests"] == [f"{name}@{digest_of(manifest)}"]
    # skopeo may write the config anew, for another kind of manifest.
    config = peers.raw("from/skopeo:1", "--config")
    assert found["Id"] == digest_of(config) == json.loads(manifest)["config"]["digest"]
    assert found["RootFS"]["Layers"] == json.loads(config)["rootfs"]["diff_ids"]
    assert kind != "v2s2" or found["Id"] == image
    engine.docker("tag", f"{name}:1", f"{peers.host}/back/again:2")
    engine.docker("push", f"{peers.host}/back/again:2")
    assert peers.raw("back/again:2") == manifest
    # The engine's archive of it is an image of the same layers to skopeo.
    engine.docker("save", "-o", str(peers.root / "saved.tar"), f"{name}:1")
    layers = json.loads(peers.skopeo("inspect", "--config", "docker-archive:saved.tar"))["rootfs"]["diff_ids"]
    assert layers == found["RootFS"]["Layers"]


def test_podman_has_the_image_that_the_engine_pushed_and_the_other_way_round(
    engine: EngineUnderTest, peers: Peers
) -> None:
    image = write_archive(peers.root / "a.tar", "app:1")
    engine.docker("load", "-i", str(peers.root / "a.tar"))
    assert inspect(engine, "app:1")["Id"] == image
    engine.docker("tag", "app:1", f"{peers.host}/by/engine:1")
    said = engine.docker("push", f"{peers.host}/by/engine:1")
    pushed = re.findall(r"1: digest: (sha256:\w+) size: (\d+)", said)
    raw = peers.raw("by/engine:1")
    assert pushed == [(digest_of(raw), str(len(raw)))]
    peers.podman("pull", "--quiet", "--tls-verify=false", f"{peers.host}/by/engine:1")
    (theirs,) = json.loads(peers.podman("image", "inspect", f"{peers.host}/by/engine:1"))
    ours = inspect(engine, f"{peers.host}/by/engine:1")
    assert f"sha256:{theirs['Id']}" == ours["Id"] == image
    assert theirs["Digest"] == digest_of(raw) and ours["RepoDigests"] == [f"{peers.host}/by/engine@{digest_of(raw)}"]
    assert theirs["RootFS"]["Layers"] == ours["RootFS"]["Layers"]
    # podman compresses in its own way, so its manifest is another; the image in it is the same.
    peers.podman("tag", f"{peers.host}/by/engine:1", f"{peers.host}/by/podman:1")
    peers.podman("push", "--quiet", "--tls-verify=false", f"{peers.host}/by/podman:1")
    engine.docker("image", "rm", f"{peers.host}/by/engine:1", "app:1")
    engine.docker("pull", f"{peers.host}/by/podman:1")
    again = inspect(engine, f"{peers.host}/by/podman:1")
    assert again["RootFS"]["Layers"] == ours["RootFS"]["Layers"] and again["Config"]["Labels"] == {"a": "ä <>&"}
    assert again["RepoDigests"] == [f"{peers.host}/by/podman@{digest_of(peers.raw('by/podman:1'))}"]
    # And what the engine saves, podman loads.
    engine.docker("save", "-o", str(peers.root / "saved.tar"), f"{peers.host}/by/podman:1")
    peers.podman("rmi", "--all", "--force")
    peers.podman("load", "--quiet", "-i", str(peers.root / "saved.tar"))
    (loaded,) = json.loads(peers.podman("image", "inspect", f"{peers.host}/by/podman:1"))
    assert f"sha256:{loaded['Id']}" == again["Id"]


def test_docker_py_gives_the_digests_that_skopeo_gives(engine: EngineUnderTest, peers: Peers) -> None:
    write_archive(peers.root / "a.tar", "app:1")
    name = f"{peers.host}/py/app"
    peers.skopeo("copy", "--quiet", "--dest-tls-verify=false", "docker-archive:a.tar", f"docker://{name}:1")
    digest = digest_of(peers.raw("py/app:1"))
    client = engine.client()
    try:
        pulled = client.images.pull(name, "1")
        assert pulled.attrs["RepoDigests"] == [f"{name}@{digest}"]
        assert client.images.get_registry_data(f"{name}:1").id == digest
        by_digest = client.images.pull(f"{name}@{digest}")
        assert by_digest.id == pulled.id
        pulled.tag(f"{name}-copy", "1")
        lines = list(client.images.push(f"{name}-copy", "1", stream=True, decode=True))
    finally:
        client.close()
    (aux,) = [line["aux"] for line in lines if "aux" in line]
    assert aux["Digest"] == digest == digest_of(peers.raw("py/app-copy:1"))


#: Bytes of the layer, and what the engine may grow by on its way, in KiB.
LARGE, GROWTH = 256 << 20, 96 * 1024


def write_large(target: Path) -> None:
    """An archive whose one layer is :data:`LARGE` bytes that hardly compress."""
    block = os.urandom(1 << 20)
    member = tarfile.TarInfo("large")
    member.size = LARGE
    parts = [member.tobuf(), *[block] * (LARGE >> 20), bytes(1024)]
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part)
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hasher.hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["large:1"], "Layers": ["l.tar"]}]).encode()
    with target.open("wb") as out:
        layer = tarfile.TarInfo("l.tar")
        layer.size = sum(map(len, parts))
        out.write(layer.tobuf())
        for part in parts:
            out.write(part)
        out.write(bytes(-layer.size % 512))
        for name, data in (("c.json", config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.write(entry.tobuf() + data + bytes(-len(data) % 512))
        out.write(bytes(1024))


def memory(engine: EngineUnderTest, field: str) -> int:
    """*field* of the engine process's status, in KiB."""
    status = Path(f"/proc/{engine.pid('engine')}/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+)", status)[0])


@pytest.mark.limit(240)
def test_memory_stays_flat_while_a_large_layer_travels(engine: EngineUnderTest, peers: Peers) -> None:
    write_large(peers.root / "large.tar")
    name = f"{peers.host}/large:1"
    # What is imported at first use is no growth by the layer's size.
    engine.docker("pull", "busybox")
    engine.docker("tag", "busybox", f"{peers.host}/small:1")
    engine.docker("push", f"{peers.host}/small:1")
    before, pid = memory(engine, "VmRSS"), engine.pid("engine")
    peaks: dict[str, int] = {}
    for step, command in {
        "load": ["load", "-i", str(peers.root / "large.tar")],
        "tag": ["tag", "large:1", name],
        "push": ["push", name],
        "save": ["save", "-o", str(peers.root / "saved.tar"), name],
        "rmi": ["rmi", "large:1", name],
        "pull": ["pull", name],
    }.items():
        engine.docker(*command)
        peaks[step] = memory(engine, "VmHWM") - before
    assert engine.pid("engine") == pid
    assert (peers.root / "saved.tar").stat().st_size > LARGE and inspect(engine, name)["Size"] >= LARGE
    assert max(peaks.values()) <= GROWTH, peaks
