"""Contexts that a client names instead of sending them: a git repository, a tar or a Dockerfile at a URL, an image."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from labdock.build.context import receive
from labdock.build.dockerfile.remotes import BadSource, GitSource, HttpSource, read_remote
from labdock.build.sources import Fetcher, find_top, scan_checkout
from labdock.build.trees import FILE, MemoryTree, Node
from labdock.errors import InvalidRequest, NotFound
from labdock.store.layers import headers

_PIECE = 256 << 10
_LARGEST_DOCKERFILE = 4 << 20


async def fetch_context(fetcher: Fetcher, text: str, folder: Path) -> tuple[MemoryTree, bool]:
    """The tree at *text*; true when it is a lone Dockerfile. *folder* is an empty one, for as long as the tree.

    Raises InvalidRequest, NotFound, Unavailable, SystemFailure.
    """
    try:
        remote = read_remote(text, context=True)
    except BadSource as error:
        raise InvalidRequest(f"{text}: {error}") from error
    if isinstance(remote, GitSource):
        return await _clone(fetcher, remote, folder), False
    if isinstance(remote, HttpSource):
        return await _download(fetcher, remote, folder)
    raise InvalidRequest(f"{text} is no context", hint="it is the URL of a git repository, a tar or a Dockerfile")


async def _clone(fetcher: Fetcher, remote: GitSource, folder: Path) -> MemoryTree:
    commit = await fetcher.find_commit(remote.remote, remote.ref)
    if remote.checksum and not commit.startswith(remote.checksum):
        raise InvalidRequest(f"expected checksum to match {remote.checksum}, got {commit}")
    checkout = folder / "git"
    checkout.mkdir()
    await fetcher.clone(remote, commit, checkout)
    tree = await asyncio.to_thread(scan_checkout, checkout, keep_git=bool(remote.keep_git_dir))
    top = find_top(tree, remote.folder)
    if remote.folder and len(top.nodes) < 2:
        raise NotFound(f"{remote.remote} has no folder {remote.folder}")
    return top


async def _download(fetcher: Fetcher, remote: HttpSource, folder: Path) -> tuple[MemoryTree, bool]:
    path = folder / "download"
    record = await fetcher.fetch(remote.url, path)
    assert record is not None
    with open(path, "rb") as file:
        start = file.read(headers.BLOCK)
    if record.size <= _LARGEST_DOCKERFILE and b"\0" not in start and not start.startswith((b"BZh", b"\xfd7z")):
        data = path.read_bytes()
        node = Node("Dockerfile", FILE, 0o644, size=len(data), digest=record.digest, data=data)
        return MemoryTree(folder, {"Dockerfile": node}), True
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    try:
        return await receive(_pieces(path), unpacked), False
    finally:
        path.unlink()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
