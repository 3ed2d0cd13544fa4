"""A builder on the real store, in a sandbox, with a runner of its own: a chroot instead of a container."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from labdock.build import BaseImage, BuildRequest, OnOutput, RunRequest, StepRecord
from labdock.build.caches import CacheFolders
from labdock.build.dockerfile.remotes import GitSource
from labdock.build.solve import Builder
from labdock.build.sources import FetchRecord
from labdock.build.traces import StageTrace
from labdock.errors import NoSuchImage, NotFound
from labdock.schema.build import BuildEvent, StepCached, StepStarted
from labdock.schema.oci import LAYER_TAR, Descriptor, ImageConfig, RootFS, RuntimeConfig, chain_ids
from labdock.store.content import ContentStore
from labdock.store.leases import Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer, Mount
from labdock.store.snapshots.mounting import mount_all, open_mounted, unmount
from labdock.store.snapshots.overlay import OverlaySnapshotter


@dataclass(frozen=True)
class FakeImage:
    id: str
    config: ImageConfig
    layers: tuple[Descriptor, ...]

    @property
    def chain_ids(self) -> tuple[str, ...]:
        return chain_ids(self.config.rootfs.diff_ids)


class FakeImages:
    """An ImageStore that keeps its images in a dict, their layers in the real store."""

    def __init__(self, content: ContentStore, snapshotter: OverlaySnapshotter) -> None:
        self.content = content
        self.snapshotter = snapshotter
        self.leases = Leases(content, snapshotter)
        self.images: dict[str, FakeImage] = {}

    def get(self, ref: str) -> FakeImage:
        try:
            return self.images[ref]
        except KeyError:
            raise NoSuchImage(ref) from None

    def commit_layer(self, key: str, parent: str | None) -> tuple[Layer, str]:
        with self.content.ingest(key) as ingest:
            diff_id = self.snapshotter.diff(key, ingest.file)
            size = os.fstat(ingest.file.fileno()).st_size
            ingest.commit_hashed(diff_id)
        text = f"{parent} {diff_id}"
        chain = "sha256:" + hashlib.sha256(text.encode()).hexdigest() if parent else diff_id
        if self.snapshotter.has(chain):
            self.snapshotter.remove(key)
        else:
            self.snapshotter.commit(chain, key)
        return Layer(LAYER_TAR, diff_id, size, diff_id), chain

    def unpack_layers(self, layers: Sequence[Layer]) -> None:
        parent = None
        for layer, chain in zip(layers, chain_ids(tuple(layer.diff_id for layer in layers)), strict=True):
            if not self.snapshotter.has(chain):
                self.snapshotter.prepare("unpack", parent)
                with self.content.open(layer.digest) as file:
                    self.snapshotter.apply("unpack", file)
                self.snapshotter.commit(chain, "unpack")
            parent = chain

    def assemble(self, config: ImageConfig, layers: Sequence[Layer], names: Sequence[str]) -> FakeImage:
        digest = self.content.write(msgspec.json.encode(config))
        blobs = tuple(Descriptor(media_type=one.media_type, digest=one.digest, size=one.size) for one in layers)
        image = FakeImage(digest, config, blobs)
        for name in (digest, *names):
            self.images[name] = image
        return image


class FakePuller:
    """Knows the images that FakeImages has."""

    def __init__(self, images: FakeImages) -> None:
        self.images = images
        self.asked: list[str] = []

    async def resolve(self, name: str, platform: str | None, *, pull: bool) -> BaseImage:
        self.asked.append(name)
        image = self.images.get(name)
        return BaseImage(image.id, image.config, image.chain_ids[-1] if image.layers else None)


class FakeFetcher:
    """Fetches from a folder: the name after the last slash of a URL; a repository is a folder, its commit a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    async def fetch(self, url: str, into: Path, known: FetchRecord | None = None) -> FetchRecord | None:
        self.asked.append(url)
        try:
            data = (self.folder / url.rpartition("/")[2]).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{url}: 404 Not Found") from None
        digest = hashlib.sha256(data).hexdigest()
        if known is not None and known.etag == digest:
            return None
        into.write_bytes(data)
        return FetchRecord(digest=digest, size=len(data), mtime_ns=10**18, etag=digest)

    async def find_commit(self, remote: str, ref: str) -> str:
        self.asked.append(f"{remote}#{ref}")
        return (self.folder / remote.rpartition("/")[2] / ".git").read_text()

    async def clone(self, source: GitSource, commit: str, into: Path) -> None:
        self.asked.append(f"{source.remote}@{commit}")
        shutil.copytree(self.folder / source.remote.rpartition("/")[2], into, dirs_exist_ok=True)


class ChrootRunner:
    """Runs a step's command in a chroot of the mounted snapshot."""

    def __init__(self, snapshotter: OverlaySnapshotter, folder: Path) -> None:
        self.snapshotter = snapshotter
        self.folder = folder
        self.requests: list[RunRequest] = []
        self.began = asyncio.Event()

    async def run(self, request: RunRequest, on_output: OnOutput) -> int:
        self.requests.append(request)
        folder = self.folder / request.container
        folder.mkdir(parents=True)
        mount_all(self.snapshotter.mounts(request.snapshot), folder)
        mounted = []
        try:
            self._make_places(folder)
            for each in request.mounts:
                point = folder / each.target.lstrip("/")
                if each.kind == "bind" and not Path(each.source).is_dir():
                    point.parent.mkdir(parents=True, exist_ok=True)
                    point.touch()
                else:
                    point.mkdir(parents=True, exist_ok=True)
                mount_all([Mount(each.kind, each.source, each.options)], point)
                mounted.append(point)
            process = await asyncio.create_subprocess_exec(
                "/usr/sbin/chroot",
                str(folder),
                "/bin/busybox",
                "env",
                "-i",
                *request.env,
                "/bin/sh",
                "-c",
                'cd "$0" && exec "$@"',
                request.cwd,
                *request.args,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self.began.set()
            try:
                out, err = await process.communicate()
            except asyncio.CancelledError:
                process.kill()
                await process.communicate()
                raise
            for stream, data in (("stdout", out), ("stderr", err)):
                if data:
                    on_output(stream, data)
            code = process.returncode
            assert code is not None
            return code
        finally:
            for point in reversed(mounted):
                unmount(point)
            unmount(folder)
            folder.rmdir()

    @staticmethod
    def _make_places(folder: Path) -> None:
        """As a runtime does: places for the mounts that a container has."""
        for name in ("etc", "dev", "proc", "sys"):
            (folder / name).mkdir(exist_ok=True)
        for name in ("etc/hosts", "etc/resolv.conf"):
            (folder / name).touch()


@dataclass
class World:
    """Everything a build needs, below one folder. Made inside the sandbox."""

    folder: Path
    events: list[BuildEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.database = Database(self.folder / "db")
        self.content = ContentStore(self.folder / "content")
        self.snapshotter = OverlaySnapshotter(self.folder / "snapshots")
        self.images = FakeImages(self.content, self.snapshotter)
        self.runner = ChrootRunner(self.snapshotter, self.folder / "run")
        self.puller = FakePuller(self.images)
        self.fetcher = FakeFetcher(self.folder / "remote")
        self.now = 1_700_000_000_000_000_000
        records = self.database.records("steps", StepRecord)
        self.builder = Builder(
            self.images,
            self.snapshotter,
            self.content,
            self.runner,
            self.puller,
            records,
            self.folder / "build",
            caches=CacheFolders(self.folder / "caches"),
            traces=self.database.records("traces", StageTrace),
            fetcher=self.fetcher,
            fetched=self.database.records("fetched", FetchRecord),
            now=self._tick,
        )

    def _tick(self) -> int:
        self.now += 1_000_000_000
        return self.now

    def close(self) -> None:
        # Owned by other ids: nobody outside of the sandbox could remove them.
        shutil.rmtree(self.folder / "caches", ignore_errors=True)
        self.database.close()
        self.snapshotter.close()

    def add_base(self, name: str = "base", **config: object) -> None:
        """An image with a static busybox and a few users."""
        self.snapshotter.prepare("base", None)
        tree = self.snapshotter.changes("base")
        for folder in ("bin", "etc", "tmp", "usr/lib"):
            (tree / folder).mkdir(parents=True)
        shutil.copy("/usr/bin/busybox", tree / "bin/busybox")
        (tree / "bin/busybox").chmod(0o755)
        (tree / "bin/sh").symlink_to("busybox")
        (tree / "lib").symlink_to("usr/lib")
        (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
        (tree / "etc/group").write_text("root:x:0:\nstaff:x:50:\napp:x:1001:\n")
        layer, _ = self.images.commit_layer("base", None)
        runtime = msgspec.structs.replace(RuntimeConfig(env=("PATH=/bin",), cmd=("sh",)), **config)
        image = ImageConfig(created="2020-01-01T00:00:00Z", config=runtime, rootfs=RootFS(diff_ids=(layer.diff_id,)))
        self.images.assemble(image, (layer,), (name,))

    def build(self, dockerfile: str | None = None, /, **request: object) -> FakeImage:
        """Build in the folder ``context``; the events are in :attr:`events`."""
        return asyncio.run(self.build_async(dockerfile, **request))

    async def build_async(self, dockerfile: str | None = None, /, **request: object) -> FakeImage:
        self.context.mkdir(exist_ok=True)
        if dockerfile is not None:
            (self.context / "Dockerfile").write_text(dockerfile)
        self.events = []
        made = replace(BuildRequest(self.context), **request)  # type: ignore[arg-type]
        return self.images.get(await self.builder.build(made, self.events.append))

    @property
    def context(self) -> Path:
        return self.folder / "context"

    def write(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        """A file of the context."""
        full = self.context / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
        full.chmod(mode)
        return full

    @property
    def steps(self) -> list[str]:
        """The texts of the steps, a * in front of those that came from the cache."""
        cached = {event.step for event in self.events if isinstance(event, StepCached)}
        started = sorted(
            (event for event in self.events if isinstance(event, StepStarted)), key=lambda event: event.step
        )
        return [("*" if event.step in cached else "") + event.text for event in started]

    def listing(self, image: FakeImage) -> dict[str, tuple[int, int, int]]:
        """Every path in the image: its st_mode, uid, gid."""
        found = {}
        root = self._open(image)
        try:
            base = f"/proc/self/fd/{root}"
            for here, folders, files in os.walk(base):
                for name in folders + files:
                    status = os.lstat(os.path.join(here, name))
                    path = os.path.relpath(os.path.join(here, name), base)
                    found[path] = (status.st_mode, status.st_uid, status.st_gid)
        finally:
            os.close(root)
        return found

    def read(self, image: FakeImage, path: str) -> str:
        """A file of the image."""
        root = self._open(image)
        try:
            return Path(f"/proc/self/fd/{root}/{path}").read_text()
        finally:
            os.close(root)

    def _open(self, image: FakeImage) -> int:
        point = self.folder / "look"
        point.mkdir(exist_ok=True)
        mounts = self.snapshotter.view("look", image.chain_ids[-1])
        try:
            return open_mounted(mounts, point)
        finally:
            self.snapshotter.remove("look")

    def active(self) -> list[str]:
        """Snapshots that are not committed."""
        return [info.key for info in self.snapshotter.walk() if info.kind != "committed"]


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[[], World]:
    tmp_path.chmod(0o755)
    return lambda: World(tmp_path / "world")
