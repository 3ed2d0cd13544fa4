"""The build cache's policy: by size and by age, the longest unused first; what is used stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from labdock.build import StepRecord
from labdock.build.caches import CacheFolders
from labdock.engine.buildcache import LEAST, BuildCache, Policy, read_policy
from labdock.errors import InvalidRequest
from labdock.images.store import Images
from labdock.schema.oci import LAYER_TAR
from labdock.store.leases import Collected
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer

DAY = 86_400 * 10**9
NOW = 1000 * DAY


class Shelf:
    """Images that share one layer with the cache."""

    collected = 0

    def roots(self) -> set[str]:
        return {"sha256:shared"}

    def collect(self, others: Any = ()) -> Collected:
        self.collected += 1
        return Collected((), (), 0)


def tended(tmp_path: Path, policy: Policy, steps: dict[str, tuple[int, int]]) -> tuple[set[str], int]:
    """The keys that stay of *steps* (key → size, days unused), and how often blobs were collected."""
    database = Database(tmp_path / "x.db")
    records = database.records("steps", StepRecord)
    for key, (size, days) in steps.items():
        layer = Layer(LAYER_TAR, f"sha256:{key}", size, f"sha256:{key}")
        records.put(key, StepRecord(key=key, created="", layer=layer, snapshot=key, used_ns=NOW - days * DAY))
    shelf = Shelf()
    cache = BuildCache(records, CacheFolders(tmp_path / "caches"), cast(Images, shelf), set, policy, now=lambda: NOW)
    asyncio.run(cache.tend())
    left = {record.key for record in records.all()}
    database.close()
    return left, shelf.collected


def test_what_was_not_used_for_long_goes(tmp_path: Path) -> None:
    left, collected = tended(tmp_path, Policy(1 << 30, 60 * DAY), {"old": (10, 61), "new": (10, 59)})
    assert left == {"new"}
    assert collected == 1


def test_what_is_too_much_goes_the_longest_unused_first(tmp_path: Path) -> None:
    steps = {"a": (400, 5), "b": (400, 3), "c": (400, 1), "shared": (10_000, 9)}
    left, _ = tended(tmp_path, Policy(900, 60 * DAY), steps)
    assert left == {"b", "c", "shared"}


def test_a_cache_within_its_policy_is_not_touched_and_nothing_is_collected(tmp_path: Path) -> None:
    assert tended(tmp_path, Policy(900, 60 * DAY), {"a": (400, 5), "b": (400, 3)}) == ({"a", "b"}, 0)


@pytest.mark.parametrize(("text", "size"), [("123", 123), ("500M", 500 << 20), ("20gb", 20 << 30), ("1T", 1 << 40)])
def test_the_size_can_be_set(tmp_path: Path, text: str, size: int) -> None:
    assert read_policy({"LABDOCK_BUILD_CACHE": text}, tmp_path).keep == size


def test_by_default_it_is_a_share_of_the_disk_and_nonsense_is_refused(tmp_path: Path) -> None:
    assert read_policy({}, tmp_path).keep >= LEAST
    with pytest.raises(InvalidRequest, match="LABDOCK_BUILD_CACHE is no size: 'lots'"):
        read_policy({"LABDOCK_BUILD_CACHE": "lots"}, tmp_path)
