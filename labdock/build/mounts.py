"""``RUN --mount``: what each shows, what of it counts for the step's cache key, and making it for the step's time.

Secrets are files of a tmpfs that is gone when the step is; neither they nor an agent's socket nor the id of a cache
is part of a key, a layer or the history.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from labdock.build import DialAgent, StepMount
from labdock.build.caches import CacheFolders
from labdock.build.config import Draft
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.mounts import read_mount
from labdock.build.dockerfile.source import Word, refuse
from labdock.build.patterns import PathMatcher
from labdock.build.plan import Source, find_source
from labdock.build.selection import Source as Selected
from labdock.build.selection import clean_source, digest_sources, find_sources
from labdock.build.transfer import Writer
from labdock.build.trees import FOLDER, FolderTree, MemoryTree, Tree, follow
from labdock.build.workspace import PREFIX, Workspace
from labdock.errors import DockerfileError, InvalidRequest, LabdockError
from labdock.store.layers.rooted import FLAGS
from labdock.store.leases import Hold
from labdock.store.snapshots import Mount
from labdock.store.snapshots.mounting import mount_all, unmount

_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Where files come from: a committed snapshot, or (``tree``) a context. Both None: an empty tree."""

    snapshot: str | None = None
    tree: MemoryTree | None = None


FindOrigin = Callable[[Source], Awaitable[Origin]]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A mount with its words resolved. ``origin`` None: it takes nothing from elsewhere; ``digest``: of what it has."""

    mount: ast.Mount
    target: str
    origin: Origin | None = None
    digest: str = ""

    @property
    def part(self) -> list[object]:
        """What of it counts for the step's key."""
        one = self.mount
        if one.type == "bind":
            return ["bind", self.target, one.read_only, self.digest]
        if one.type == "tmpfs":
            return ["tmpfs", self.target, one.size]
        if one.type == "cache":
            return ["cache", self.target, one.read_only]
        return [one.type, one.key, self.target, one.env, one.mode, one.uid, one.gid, one.required]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a step gets: mounts, and variables that are in no key."""

    mounts: tuple[StepMount, ...] = ()
    env: tuple[str, ...] = ()


class StepMounts:
    """Resolves and opens the mounts of one build's steps. ``folder`` is the build's own, to mount in."""

    def __init__(
        self,
        workspace: Workspace,
        caches: CacheFolders,
        folder: Path,
        context: MemoryTree,
        find_origin: FindOrigin,
        hold: Hold,
        secrets: Mapping[str, bytes],
        agents: Mapping[str, DialAgent],
    ) -> None:
        self._workspace = workspace
        self._caches = caches
        self._folder = folder
        self._context = context
        self._find_origin = find_origin
        self._hold = hold
        self._secrets = secrets
        self._agents = agents
        self._made: dict[str, asyncio.Task[str]] = {}
        self.no_cache = False

    # -- what they are ------------------------------------------------------------------------------

    async def resolve(self, draft: Draft, stage: int, flags: tuple[ast.MountFlag, ...]) -> tuple[Resolved, ...]:
        """The mounts of a RUN at this place in the file. Raises DockerfileError."""
        return tuple([await self._resolve(draft, stage, flag) for flag in flags])

    async def _resolve(self, draft: Draft, stage: int, flag: ast.MountFlag) -> Resolved:
        mount = read_mount(flag, draft.expand)
        target = mount.target
        if mount.type == "secret":
            target = mount.secret_target or ""
            if not target:
                return Resolved(mount, "")
        elif mount.type == "ssh" and not target:
            target = f"/run/buildkit/ssh_agent.{mount.key}"
        path = "/" + posixpath.normpath("/" + posixpath.join(draft.workdir, target)).lstrip("/")
        if path == "/":
            raise refuse(mount.range, f"invalid mount target {target or '/'!r}", hint="name a folder below /")
        if mount.type not in ("bind", "cache") or (mount.type == "cache" and not mount.origin):
            return Resolved(mount, path)
        origin = Origin(tree=self._context)
        if mount.origin:
            word = Word(mount.origin, mount.range)
            origin = await self._find_origin(find_source(draft.plan.dockerfile, stage, word, draft.plan.contexts))
        digest = ""
        if mount.type == "bind":
            digest = await self._workspace.work(self._digest, mount, origin)
        return Resolved(mount, path, origin, digest)

    def _digest(self, mount: ast.Mount, origin: Origin) -> str:
        if origin.tree is None and origin.snapshot is not None and clean_source(mount.source) == "":
            return origin.snapshot
        if origin.tree is not None:
            return digest_sources(origin.tree, [self._select(mount, origin.tree)], owners=False)
        with self._workspace.viewed(origin.snapshot) as tree:
            return digest_sources(tree, [self._select(mount, tree)], owners=True)

    @staticmethod
    def _select(mount: ast.Mount, tree: Tree) -> Selected:
        cleaned = clean_source(mount.source)
        try:
            real = follow(tree, cleaned)
            found = find_sources(tree, _escape(real), PathMatcher([]))
        except OSError:
            found = []
        if not found:
            hint = "source= is relative to the root of what from= names, else to the build context"
            raise refuse(mount.range, f"mount source {mount.source or '/'}: not found", hint=hint)
        return found[0]

    # -- making them --------------------------------------------------------------------------------

    @asynccontextmanager
    async def open(self, resolved: tuple[Resolved, ...], root: int | None = None) -> AsyncIterator[Opened]:
        """Make them while inside. Raises DockerfileError, LabdockError."""
        mounts: list[StepMount] = []
        env: list[str] = []
        async with AsyncExitStack() as stack:
            for one in resolved:
                try:
                    await self._open_one(one, stack, mounts, env)
                except DockerfileError:
                    raise
                except LabdockError as error:
                    raise refuse(one.mount.range, f"--mount=type={one.mount.type}: {error.message}") from error
            yield Opened(tuple(mounts), tuple(env))

    async def _open_one(self, one: Resolved, stack: AsyncExitStack, mounts: list[StepMount], env: list[str]) -> None:
        access = "ro" if one.mount.read_only else "rw"
        if one.mount.type == "tmpfs":
            size = (f"size={one.mount.size}",) if one.mount.size else ()
            mounts.append(StepMount(one.target, "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=1777", *size)))
        elif one.mount.type == "bind":
            path = await self._open_bind(one, stack)
            mounts.append(StepMount(one.target, path, "bind", ("rbind", "rprivate", access)))
        elif one.mount.type == "cache":
            path = await self._open_cache(one, stack)
            mounts.append(StepMount(one.target, path, "bind", ("rbind", "rprivate", access)))
        elif one.mount.type == "secret":
            self._open_secret(one, stack, mounts, env)
        else:
            await self._open_agent(one, stack, mounts, env)

    def _mounted(self, wanted: tuple[Mount, ...], stack: AsyncExitStack) -> Path:
        """A new folder with *wanted* mounted on it."""
        point = Path(tempfile.mkdtemp(prefix="mnt-", dir=self._folder))
        stack.callback(shutil.rmtree, point, True)
        mount_all(wanted, point)
        stack.callback(unmount, point, lazy=True)
        return point

    async def _open_bind(self, one: Resolved, stack: AsyncExitStack) -> str:
        assert one.origin is not None
        snapshot, inside = one.origin.snapshot, clean_source(one.mount.source)
        if one.origin.tree is not None:
            selected = self._select(one.mount, one.origin.tree)
            snapshot, inside = await self._materialise(one, selected), "it"
        if snapshot is None:
            point = Path(tempfile.mkdtemp(prefix="mnt-", dir=self._folder))
            stack.callback(shutil.rmtree, point, True)
            return str(point)
        wanted, key = self._workspace.lend(snapshot, writable=not one.mount.read_only)
        stack.callback(self._workspace.drop, key)
        point = self._mounted(wanted, stack)
        try:
            real = follow(FolderTree(point), inside)
        except OSError as error:
            raise refuse(one.mount.range, f"mount source {one.mount.source}: not found") from error
        return str(point / real) if real else str(point)

    async def _materialise(self, one: Resolved, selected: Selected) -> str:
        """A committed snapshot that has what of a context is mounted, as ``it``; made once per build."""
        assert one.origin is not None and one.origin.tree is not None
        task = self._made.get(one.digest)
        if task is None:
            making = self._workspace.work(self._write_tree, one.origin.tree, selected)
            task = self._made[one.digest] = asyncio.create_task(making, name="a context for a mount")
        return await asyncio.shield(task)

    def _write_tree(self, tree: MemoryTree, selected: Selected) -> str:
        name = f"{PREFIX}tree-{os.urandom(12).hex()}"
        self._hold.add(name)
        key = self._workspace.prepare(None)
        try:
            with self._workspace.opened(key) as root:
                writer = Writer(root, (0, 0), stop=self._workspace.stop)
                writer.write(tree, (selected,), "/it" + ("/" if selected.node.kind == FOLDER else ""))
            self._workspace.settle(name, key)
        except BaseException:
            self._workspace.drop(key)
            raise
        return name

    async def close(self) -> None:
        """The build's end: what was made for mounts is dropped."""
        for task in self._made.values():
            with suppress(BaseException):
                self._workspace.drop(await task)

    async def _open_cache(self, one: Resolved, stack: AsyncExitStack) -> str:
        mount = one.mount
        name = mount.id or one.target

        def make(folder: Path) -> None:
            fd = os.open(folder, FLAGS)
            try:
                if one.origin is not None:
                    self._seed(one, fd)
                os.fchown(fd, mount.uid or 0, mount.gid or 0)
                os.fchmod(fd, 0o755 if mount.mode is None else mount.mode)
            except OSError as error:
                raise InvalidRequest(f"making the cache {name}: {error.strerror}") from error
            finally:
                os.close(fd)

        taken = self._caches.take(name, mount.sharing or "shared", make, fresh=self.no_cache)
        return str(await stack.enter_async_context(taken))

    def _seed(self, one: Resolved, fd: int) -> None:
        assert one.origin is not None
        if one.origin.tree is not None:
            selected = self._select(one.mount, one.origin.tree)
            Writer(fd, (0, 0), stop=self._workspace.stop).write(one.origin.tree, (selected,), "/")
            return
        with self._workspace.viewed(one.origin.snapshot) as tree:
            selected = self._select(one.mount, tree)
            Writer(fd, None, stop=self._workspace.stop).write(tree, (selected,), "/")

    def _open_secret(self, one: Resolved, stack: AsyncExitStack, mounts: list[StepMount], env: list[str]) -> None:
        mount = one.mount
        value = self._secrets.get(mount.key)
        if value is None:
            if mount.required:
                raise refuse(
                    mount.range, f"secret {mount.key}: not found", hint=f"give it: --secret id={mount.key},src=FILE"
                )
            return
        if mount.env is not None:
            if b"\0" in value:
                raise refuse(mount.range, f"secret {mount.key}: a variable can't hold a NUL character")
            env.append(f"{mount.env}={os.fsdecode(value)}")
        if one.target:
            folder = self._mounted((Mount("tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", "mode=0700")),), stack)
            path = folder / "secret"
            path.write_bytes(value)
            _settle(path, mount, 0o400)
            mounts.append(StepMount(one.target, str(path), "bind", ("bind", "rprivate", "ro", "nosuid", "nodev")))

    async def _open_agent(self, one: Resolved, stack: AsyncExitStack, mounts: list[StepMount], env: list[str]) -> None:
        mount = one.mount
        dial = self._agents.get(mount.key)
        if dial is None:
            if mount.required:
                raise refuse(
                    mount.range,
                    f"unset ssh forward key {mount.key}",
                    hint="give it: --ssh default (with SSH_AUTH_SOCK set) or --ssh ID=SOCKET",
                )
            return
        folder = self._mounted((Mount("tmpfs", "tmpfs", ("nosuid", "nodev", "mode=0700")),), stack)
        await stack.enter_async_context(_forwarded(folder, dial))
        _settle(folder / "agent", mount, 0o600)
        mounts.append(StepMount(one.target, str(folder / "agent"), "bind", ("bind", "rprivate")))
        if not any(entry.startswith("SSH_AUTH_SOCK=") for entry in env):
            env.append(f"SSH_AUTH_SOCK={one.target}")


def _escape(path: str) -> str:
    """*path* as a pattern that means it alone."""
    return "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in path)


def _settle(path: Path, mount: ast.Mount, mode: int) -> None:
    try:
        os.chown(path, mount.uid or 0, mount.gid or 0)
    except OSError as error:
        raise InvalidRequest(f"uid={mount.uid or 0},gid={mount.gid or 0}: {error.strerror}") from error
    os.chmod(path, mode if mount.mode is None else mount.mode)


@asynccontextmanager
async def _forwarded(folder: Path, dial: DialAgent) -> AsyncIterator[None]:
    """Serve ``folder/agent``: each connection is one of *dial*'s."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, LabdockError):
                there = await dial()
                other_reader, other_writer = await asyncio.open_unix_connection(sock=there)
                try:
                    await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))
                finally:
                    other_writer.close()
        finally:
            writer.close()
            tasks.discard(task)

    sock = socket.socket(socket.AF_UNIX)
    fd = os.open(folder, FLAGS)
    try:
        # quirk: a socket's address holds 108 bytes, the folder's path may be longer.
        sock.bind(f"/proc/self/fd/{fd}/agent")
    finally:
        os.close(fd)
    server = await asyncio.start_unix_server(serve, sock=sock)
    try:
        yield
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
