"""Images made, named, found, saved, loaded and removed, on the real driver as root of a sandbox."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from labdock.errors import Conflict, Corrupt, HostUnfit, InvalidRequest, NoSuchImage, SystemFailure
from labdock.images import archive
from labdock.images.bootstrap import Bootstrap, find_options, find_sources
from labdock.images.bundled import ensure_busybox
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema.ids import short_id
from labdock.schema.oci import LAYER_TAR, ImageConfig, RuntimeConfig
from labdock.store.content import ContentStore
from labdock.store.layers.rooted import remove_tree
from labdock.store.leases import Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer, mounting, open_snapshotter

BUSYBOX = "/usr/bin/busybox"


@contextmanager
def store(folder: Path) -> Iterator[Images]:
    db = Database(folder / "labdock.db")
    content = ContentStore(folder / "content")
    snapshotter = open_snapshotter("overlay", folder / "snapshots", {})
    snapshotter.recover()
    try:
        yield Images(db, content, snapshotter, Leases(content, snapshotter))
    finally:
        snapshotter.close()
        db.close()


@contextmanager
def cleared(folder: Path) -> Iterator[Path]:
    """Trees made in there belong to the sandbox's ids: they go before the sandbox does."""
    try:
        yield folder
    finally:
        above = os.open(folder, os.O_RDONLY)
        for entry in os.listdir(folder):
            remove_tree(above, entry.encode())
        os.close(above)


def make_tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def add(images: Images, name: str | None, **files: bytes) -> Image:
    tar = make_tar(files)
    digest = images.content.write(tar)
    layer = Layer(LAYER_TAR, digest, len(tar), digest)
    images.unpack_layers([layer])
    return images.assemble(ImageConfig(created="2026-01-01T00:00:00Z"), [layer], [name] if name else [])


@pytest.mark.sandbox
def test_busybox_grows_a_layer_and_travels_through_an_archive(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        base = ensure_busybox(images, BUSYBOX)
        assert ensure_busybox(images, BUSYBOX) == base
        top = images.unpack(base)
        assert top is not None
        images.snapshotter.prepare("container", top)
        point = tmp_path / "mnt"
        point.mkdir()
        mounting.mount_all(images.snapshotter.mounts("container"), point)
        said = subprocess.run(
            ["chroot", point, "/bin/sh", "-c", "echo hi > /tmp/file; id -un; which httpd nc sleep; stat -c %a /tmp"],
            capture_output=True,
            text=True,
            env={"PATH": "/sbin:/bin:/usr/sbin:/usr/bin"},
            check=True,
        )
        mounting.unmount(point)
        assert said.stdout.split() == ["root", "/sbin/httpd", "/sbin/nc", "/sbin/sleep", "1777"]
        layer, chain_id = images.commit_layer("container", top)
        assert images.snapshotter.has(chain_id) and not images.snapshotter.has("container")
        layers = [Layer(x.media_type, x.digest, x.size, x.digest) for x in base.layers] + [layer]
        config = msgspec.structs.replace(base.config, config=RuntimeConfig(cmd=("cat", "/tmp/file")))
        made = images.assemble(config, layers, ["app", "app:1"])
        assert made.top == chain_id and [n.familiar for n in made.names] == ["app:1", "app:latest"]

        out = io.BytesIO()
        archive.save(images, ["app", "app:1", "busybox"], out)
        again = io.BytesIO()
        archive.save(images, ["app", "app:1", "busybox"], again)
        assert again.getvalue() == out.getvalue()
        images.remove("app:1", force=False, in_use={})
        images.remove("app", force=False, in_use={})
        images.remove("busybox", force=False, in_use={})
        assert images.list() == () and list(images.content.walk()) == [] and list(images.snapshotter.walk()) == []

        events: list[dict[str, object]] = []
        packed = io.BytesIO(gzip.compress(out.getvalue(), 1))
        loaded = archive.load(images, packed, events.append)
        assert [image.id for image in loaded] == [made.id, base.id]
        assert {"stream": "Loaded image: app:1\n"} in events and {"stream": "Loaded image: busybox:latest\n"} in events
        assert images.get("app:1").manifest == made.manifest
        assert images.unpack(loaded[0]) == chain_id


@pytest.mark.sandbox
def test_busybox_has_one_digest_wherever_it_is_made(tmp_path: Path) -> None:
    ids = []
    with cleared(tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            with store(tmp_path / name) as images:
                ids.append(ensure_busybox(images, BUSYBOX).id)
        assert ids[0] == ids[1]
        with store(tmp_path / "a") as images:
            assert images.get("busybox").id == ids[0]
            images.remove("busybox", force=False, in_use={})
            with pytest.raises(HostUnfit, match="none"):
                ensure_busybox(images, tmp_path / "none")
            with pytest.raises(HostUnfit, match="dynamically"):
                ensure_busybox(images, "/usr/bin/env")


@pytest.mark.sandbox
def test_images_are_found_by_name_and_id(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        one = add(images, "one", a=b"1")
        other = add(images, None, a=b"2")
        digits = one.id.removeprefix("sha256:")
        for ref in ("one", "one:latest", "docker.io/library/one", digits, one.id, digits[:12], one.id[:20]):
            assert images.get(ref) == one
        assert images.get(f"one@{one.manifest.digest}") == one
        assert images.get(other.id).names == ()
        for ref in ("two", "one:2", "f" * 64, "sha256:zz", "Bad Name", ""):
            with pytest.raises(NoSuchImage, match=f"No such image: {ref}"):
                images.get(ref)
        ids = [add(images, None, a=str(n).encode()).id for n in range(3, 25)]
        prefix = next(i[7:8] for i in ids if sum(j[7:8] == i[7:8] for j in ids) > 1)
        with pytest.raises(InvalidRequest, match="ambiguous"):
            images.get(f"sha256:{prefix}")
        assert len(images.list()) == 24


@pytest.mark.sandbox
def test_names_move_and_the_index_follows(tmp_path: Path) -> None:
    with cleared(tmp_path):
        with store(tmp_path) as images:
            one, two = add(images, "app", a=b"1"), add(images, "app", a=b"2")
            assert images.get("app") == two and images.get(one.id).names == ()
            images.tag(one.id, "registry.test:5000/app:old")
            index = msgspec.json.decode((tmp_path / "content/index.json").read_bytes())
            found = {m["digest"]: m["annotations"]["io.containerd.image.name"] for m in index["manifests"]}
            assert found == {
                one.manifest.digest: "registry.test:5000/app:old",
                two.manifest.digest: "docker.io/library/app:latest",
            }
            with pytest.raises(NoSuchImage):
                images.tag("none", "x")
        with store(tmp_path) as images:
            assert images.get("registry.test:5000/app:old").id == one.id


@pytest.mark.sandbox
def test_removing_follows_dockers_rules(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        one = add(images, "app", a=b"1")
        images.tag("app", "app:2")
        assert images.remove("app:2", force=False, in_use={}) == [("Untagged", "app:2")]
        use = {one.id: ["c" * 64]}
        with pytest.raises(Conflict, match=r"unable to remove repository reference .*container c{12} is using"):
            images.remove("app", force=False, in_use=use)
        with pytest.raises(Conflict, match=r"must be forced\) - image is being used"):
            images.remove(short_id(one.id), force=False, in_use=use)
        images.tag("app", "other")
        with pytest.raises(Conflict, match="multiple repositories"):
            images.remove(one.id, force=False, in_use={})
        assert images.remove(one.id, force=True, in_use=use) == [
            ("Untagged", "app:latest"),
            ("Untagged", "other:latest"),
        ]
        assert images.get(one.id).names == ()
        shared = add(images, "shared", a=b"1", b=b"2")
        assert images.remove(one.id, force=False, in_use={}) == [("Deleted", one.id), ("Deleted", one.chain_ids[0])]
        assert images.get("shared") == shared
        assert images.prune(everything=False, in_use={}).actions == ()
        pruned = images.prune(everything=True, in_use={})
        assert pruned.actions[:2] == (("Untagged", "shared:latest"), ("Deleted", shared.id)) and pruned.size > 0
        with pytest.raises(NoSuchImage):
            images.remove("shared", force=True, in_use={})


@pytest.mark.sandbox
def test_collecting_keeps_what_is_needed_or_leased(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        one = add(images, "app", a=b"1")
        stray = images.content.write(b"stray")
        images.snapshotter.prepare("x", None)
        images.snapshotter.commit("stray-snapshot", "x")
        images.snapshotter.prepare("active", one.top)
        with images.leases.hold(stray, "stray-snapshot"):
            assert images.collect().blobs == ()
        collected = images.collect()
        assert (collected.blobs, collected.snapshots, collected.size) == ((stray,), ("stray-snapshot",), 5)
        assert images.snapshotter.has("active") and images.unpack(images.get("app")) == one.top


@pytest.mark.sandbox
def test_a_lost_snapshot_is_unpacked_again_and_a_wrong_layer_is_not(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        one = add(images, "app", a=b"1")
        assert one.top is not None
        images.snapshotter.remove(one.top)
        assert images.unpack(one) == one.top
        tar = make_tar({"x": b"x"})
        digest = images.content.write(tar)
        with pytest.raises(Corrupt, match="unpacks to"):
            images.unpack_layers([Layer(LAYER_TAR, digest, len(tar), "sha256:" + "0" * 64)])
        assert [info.key for info in images.snapshotter.walk()] == [one.top]


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "flaw", ["no manifest", "missing layer", "wrong layer", "bad json", "escape", "cut", "rubbish"]
)
def test_a_bad_archive_leaves_nothing(tmp_path: Path, flaw: str) -> None:
    layer = make_tar({"../x" if flaw == "escape" else "x": b"x"})
    with cleared(tmp_path), store(tmp_path) as images:
        digest = images.content.write(layer)
        images.content.delete(digest)
        config = msgspec.json.encode({"rootfs": {"type": "layers", "diff_ids": [digest]}})
        manifest = msgspec.json.encode([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l/layer.tar"]}])
        files = {"c.json": config, "l/layer.tar": layer, "manifest.json": manifest}
        if flaw == "no manifest":
            del files["manifest.json"]
        elif flaw == "missing layer":
            del files["l/layer.tar"]
        elif flaw == "wrong layer":
            files["l/layer.tar"] = make_tar({"y": b"y"})
        elif flaw == "bad json":
            files["manifest.json"] = b"[{]"
        data = make_tar(files)
        data = data[:700] if flaw == "cut" else b"rubbish" * 200 if flaw == "rubbish" else data
        with pytest.raises((Corrupt, InvalidRequest)):
            archive.load(images, io.BytesIO(data), lambda event: None)
        assert images.list() == () and list(images.content.walk()) == [] and list(images.snapshotter.walk()) == []


@pytest.mark.sandbox
def test_old_docker_archives_and_oci_layouts_load(tmp_path: Path) -> None:
    layer = make_tar({"x": b"x"})
    packed = gzip.compress(layer, mtime=0)
    with cleared(tmp_path), store(tmp_path) as images:
        digest = images.content.write(layer)
        config = msgspec.json.encode({"rootfs": {"type": "layers", "diff_ids": [digest, digest]}, "created": "2020"})
        manifest = msgspec.json.encode(
            [{"Config": "c.json", "RepoTags": None, "Layers": ["1/layer.tar", "2/layer.tar"]}]
        )
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in {"1/layer.tar": packed, "c.json": config, "manifest.json": manifest}.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo("2/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, "../1/layer.tar"
            tar.addfile(link)
        events: list[dict[str, object]] = []
        (old,) = archive.load(images, io.BytesIO(out.getvalue()), events.append)
        assert (
            len(old.layers) == 2
            and old.size == 2 * len(layer)
            and events == [{"stream": f"Loaded image ID: {old.id}\n"}]
        )
        images.tag(old.id, "old")
        out = io.BytesIO()
        archive.save(images, ["old"], out)
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            files = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar if m.name != "manifest.json"}
        images.remove("old", force=True, in_use={})
        (layout,) = archive.load(images, io.BytesIO(make_tar(files)), events.append)
        assert layout.id == old.id and [name.familiar for name in layout.names] == ["old:latest"]


def test_the_machines_own_mirrors_are_used(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "apt.conf.d").mkdir()
    listed = tmp_path / "sources.list.d/debian.sources"
    listed.write_text("Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n")
    (tmp_path / "sources.list.d/other.sources.disabled").write_text("Suites: trixie\n")
    (tmp_path / "apt.conf.d/10proxy").write_text('Acquire::http::Proxy "http://proxy.test";\n')
    (tmp_path / "apt.conf.d/20else").write_text('APT::Install-Recommends "false";\n')
    assert find_sources(tmp_path, "bookworm") == [str(listed)]
    assert find_sources(tmp_path, "trixie") == ["http://mirror.test/debian"]
    assert find_sources(tmp_path / "none", "trixie") == []
    assert find_options(tmp_path) == [str(tmp_path / "apt.conf.d/10proxy")]


def _fake(folder: Path, script: str) -> Bootstrap:
    program = folder / "mmdebstrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (folder / "apt").mkdir()
    (folder / "apt/sources.list").write_text("deb http://mirror.test/debian bookworm main\n")
    content = ContentStore(folder / "content")
    snapshotter = open_snapshotter("overlay", folder / "snapshots", {})
    db = Database(folder / "x.db")
    images = Images(db, content, snapshotter, Leases(content, snapshotter))
    return Bootstrap(images, folder / "cache", str(program), folder / "apt")


@pytest.mark.sandbox
def test_a_base_is_made_once_and_cached(tmp_path: Path) -> None:
    tar = tmp_path / "made.tar"
    tar.write_bytes(make_tar({"etc/debian_version": b"12"}))
    lines: list[str] = []
    with cleared(tmp_path):
        made = _fake(tmp_path, f'echo "I: working"; for x; do :; done; cp {tar} "$6"')
        image = asyncio.run(made.bootstrap("debian:bookworm", "bookworm", lines.append))
        assert image.names[0].familiar == "debian:bookworm" and len(image.layers) == 1 and "I: working" in lines
        Path(made.program).unlink()
        assert asyncio.run(made.bootstrap("debian:bookworm", "bookworm", lines.append)) == image
        with pytest.raises(HostUnfit, match="mmdebstrap"):
            asyncio.run(made.bootstrap("debian:trixie", "trixie", lines.append))
        with pytest.raises(InvalidRequest, match="suite"):
            asyncio.run(made.bootstrap("debian:x", "../x", lines.append))


@pytest.mark.sandbox
def test_a_failed_or_cancelled_base_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    async def cancel(made: Bootstrap) -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(made.bootstrap("d", "bookworm", lambda line: begun.set()))
        await asyncio.wait_for(begun.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with cleared(tmp_path):
        for name in ("fails", "hangs"):
            (tmp_path / name).mkdir()
        fails = _fake(tmp_path / "fails", 'echo "E: no mirror"; exit 3')
        with pytest.raises(SystemFailure, match=r"status 3[\s\S]*E: no mirror"):
            asyncio.run(fails.bootstrap("d", "bookworm", lambda line: None))
        hangs = _fake(tmp_path / "hangs", "echo begun; exec sleep 60")
        asyncio.run(cancel(hangs))
        for made in (fails, hangs):
            assert os.listdir(made.cache) == [] and made.images.list() == ()


def test_the_program_that_the_tests_need_is_here() -> None:
    assert shutil.which("busybox")
