"""What comes from elsewhere, for ADD: files at URLs and git repositories. Known first, fetched when needed."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

from labdock.build.dockerfile.remotes import GitSource, HttpSource
from labdock.build.dockerfile.source import Range, refuse
from labdock.build.patterns import PathMatcher
from labdock.build.selection import Source, find_sources
from labdock.build.trees import FILE, FOLDER, MemoryTree, Node, scan
from labdock.errors import DockerfileError, LabdockError

Remote = GitSource | HttpSource


class FetchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A file at a URL as it was: its sha256 (hex), size in bytes, time, and what a server knows it by."""

    digest: str
    size: int
    mtime_ns: int = 0
    etag: str = ""
    modified: str = ""
    name: str = ""


class FetchRecords(Protocol):
    """Where they are kept, by URL (a Records[FetchRecord] of the store)."""

    def get(self, id: str) -> FetchRecord | None: ...

    def put(self, id: str, value: FetchRecord, name: str | None = None) -> None: ...


class Fetcher(Protocol):
    """Brings things from the host's network. Raises LabdockError with what went wrong."""

    async def fetch(self, url: str, into: Path, known: FetchRecord | None = None) -> FetchRecord | None:
        """Write the file at *url* to *into*; None when it is still the *known* one, and nothing was written."""

    async def find_commit(self, remote: str, ref: str) -> str:
        """The commit, hex, that *ref* ("": the default branch) of the repository is now."""

    async def clone(self, source: GitSource, commit: str, into: Path) -> None:
        """Check *commit* out into the folder *into*."""


@dataclass(frozen=True, slots=True)
class Held:
    """A remote source as far as it is known. ``identity`` names its content; ``tree`` has it once it was fetched."""

    remote: Remote
    where: Range
    identity: str
    tree: MemoryTree
    source: Source
    fetched: bool = False


class Remotes:
    """One build's. *make_folder* gives an empty folder that lasts as long as the build."""

    def __init__(self, fetcher: Fetcher | None, records: FetchRecords | None, make_folder: Callable[[], Path]) -> None:
        self._fetcher = fetcher
        self._records = records
        self._make_folder = make_folder
        self._known: dict[Remote, asyncio.Task[Held]] = {}

    async def look(self, remote: Remote, where: Range) -> Held:
        """What *remote* is now: a URL's file is fetched unless its server says that it is the one known before.

        Raises DockerfileError at *where*.
        """
        task = self._known.get(remote)
        if task is None:
            looking = self._look_git(remote, where) if isinstance(remote, GitSource) else self._look_http(remote, where)
            task = self._known[remote] = asyncio.create_task(self._guard(looking, where))
        return replace(await asyncio.shield(task), where=where)

    async def fetch(self, held: Held) -> Held:
        """*held* with its content here."""
        if held.fetched:
            return held
        if isinstance(held.remote, GitSource):
            return await self._guard(self._clone(held.remote, held.identity.split(":")[1], held.where), held.where)
        return await self._guard(self._look_http(held.remote, held.where, fresh=True), held.where)

    @staticmethod
    async def _guard(doing: object, where: Range) -> Held:
        try:
            return await doing  # type: ignore[misc, no-any-return]
        except DockerfileError:
            raise
        except LabdockError as error:
            raise refuse(where, error.message, hint=error.hint) from error

    def _need(self, where: Range) -> Fetcher:
        if self._fetcher is None:
            raise refuse(where, "nothing can be fetched here")
        return self._fetcher

    async def _look_http(self, remote: HttpSource, where: Range, *, fresh: bool = False) -> Held:
        fetcher = self._need(where)
        known = self._records.get(remote.url) if self._records is not None and not fresh else None
        folder = await asyncio.to_thread(self._make_folder)
        found = await fetcher.fetch(remote.url, folder / "file", known)
        record = found or known
        assert record is not None
        if found is not None and self._records is not None:
            self._records.put(remote.url, found)
        node = Node("file", FILE, 0o600, size=record.size, mtime_ns=record.mtime_ns, digest=record.digest)
        name = record.name or remote.name
        tree = MemoryTree(folder, {"file": node})
        return Held(remote, where, record.digest, tree, Source(name, node, (("", node),)), found is not None)

    async def _look_git(self, remote: GitSource, where: Range) -> Held:
        commit = await self._need(where).find_commit(remote.remote, remote.ref)
        check_commit(remote, commit, where)
        identity = f"git:{commit}:{remote.folder}:{bool(remote.keep_git_dir)}"
        node = Node("", FOLDER, 0o755, digest=hashlib.sha256(identity.encode()).hexdigest())
        return Held(remote, where, identity, MemoryTree(Path("/")), Source(remote.name, node, (("", node),)))

    async def _clone(self, remote: GitSource, commit: str, where: Range) -> Held:
        folder = await asyncio.to_thread(self._make_folder)
        await self._need(where).clone(remote, commit, folder)
        tree = await asyncio.to_thread(scan_checkout, folder, keep_git=bool(remote.keep_git_dir))
        found = find_sources(tree, "/" + remote.folder, PathMatcher([]))
        if not found or not found[0].is_folder:
            raise refuse(where, f"{remote.remote} has no folder {remote.folder}")
        identity = f"git:{commit}:{remote.folder}:{bool(remote.keep_git_dir)}"
        return Held(remote, where, identity, tree, found[0], True)


def check_commit(remote: GitSource, commit: str, where: Range) -> None:
    """Raise DockerfileError unless *commit* is the one asked for."""
    if remote.checksum and not commit.startswith(remote.checksum):
        raise refuse(where, f"expected checksum to match {remote.checksum}, got {commit}")


def scan_checkout(folder: Path, *, keep_git: bool) -> MemoryTree:
    """The tree of a checkout: root's, files 0644 or 0755 as git knows them, folders 0755."""
    tree = scan(folder)
    nodes = {}
    for path, node in tree.nodes.items():
        if not keep_git and (path == ".git" or path.startswith(".git/")):
            continue
        node.uid = node.gid = 0
        node.mode = 0o755 if node.kind == FOLDER or node.mode & 0o100 else 0o644
        nodes[path] = node
    return MemoryTree(folder, nodes)


def find_top(tree: MemoryTree, folder: str) -> MemoryTree:
    """The tree below *folder* of *tree*."""
    if not folder:
        return tree
    inside = posixpath.normpath(folder) + "/"
    nodes = {}
    for path, node in tree.nodes.items():
        if path.startswith(inside):
            below = path[len(inside) :]
            nodes[below] = replace(node, path=below)
    return MemoryTree(tree.folder / folder, nodes)
