"""Namespaces that are made ahead: as empty as fresh ones, few, and gone with the engine that made them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from labdock.network.netns import SPARES, Corner
from labdock.sys import mounts


def with_corner(tmp_path: Path, test: Callable[[Corner], Awaitable[None]]) -> None:
    async def main() -> None:
        folder = tmp_path / "netns"
        folder.mkdir()
        mounts.mount("netns", str(folder), "tmpfs", 0)
        corner = Corner(folder)
        try:
            await test(corner)
        finally:
            await corner.close()

    asyncio.run(main())


async def filled(corner: Corner) -> list[str]:
    """The files there are once the spares have been made."""
    corner.refill()
    # One thread, in order: what was asked before this is done.
    return sorted(await corner.run(lambda: os.listdir(corner.folder)))


@pytest.mark.sandbox
def test_a_namespace_made_ahead_is_taken_and_is_as_empty_as_any(tmp_path: Path) -> None:
    async def test(corner: Corner) -> None:
        assert len(await filled(corner)) == SPARES
        made = {os.stat(corner.path(name)).st_ino for name in os.listdir(corner.folder)}

        def create() -> set[str]:
            with corner.create("c") as inside:
                return set(inside.links())

        assert await corner.run(create) == {"lo"}
        assert os.stat(corner.path("c")).st_ino in made
        assert corner.is_mounted("c")
        # It is the container's now, and one less waits; those that wait are nobody's.
        assert len(os.listdir(corner.folder)) == SPARES
        assert await corner.run(corner.names) == {"c"}
        assert len(await filled(corner)) == SPARES + 1
        await corner.run(lambda: corner.remove("c"))
        assert len(os.listdir(corner.folder)) == SPARES

    with_corner(tmp_path, test)


@pytest.mark.sandbox
def test_many_at_once_get_one_each(tmp_path: Path) -> None:
    async def test(corner: Corner) -> None:
        await filled(corner)

        def create() -> set[int]:
            for name in ("a", "b", "c", "d", "e"):
                corner.create(name).close()
            return {os.stat(corner.path(name)).st_ino for name in ("a", "b", "c", "d", "e")}

        assert len(await corner.run(create)) == 5

    with_corner(tmp_path, test)


@pytest.mark.sandbox
def test_what_a_killed_engine_made_ahead_counts_as_left_over(tmp_path: Path) -> None:
    async def test(corner: Corner) -> None:
        left = await filled(corner)
        after = Corner(corner.folder)
        assert await after.run(after.names) == set(left)
        for name in left:
            await after.run(partial(after.remove, name))
        # The former one's are gone; it makes do without.
        await corner.run(lambda: corner.create("c").close())
        assert corner.is_mounted("c")
        await after.close()

    with_corner(tmp_path, test)
