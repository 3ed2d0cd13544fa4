"""Containers' groups, on a folder that stands in for the cgroup file system."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from labdock.errors import SystemFailure
from labdock.runtime import groups
from labdock.runtime.groups import Groups


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with the containers "one" and "two"."""
    for name in ("one", "two"):
        (tmp_path / "containers" / name).mkdir(parents=True)
    for name in ("memory.max", "cpu.max"):
        (tmp_path / "containers" / name).touch()
    return tmp_path


def fill(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_where_there_is_no_tree_everything_is_answered_with_nothing() -> None:
    none = Groups(None)
    assert not none
    assert (none.controls, none.name("one"), none.find("one"), none.count("one")) == (frozenset(), None, None, None)
    assert (none.thaw("one"), none.deaths("one"), asyncio.run(none.freeze("one"))) == (False, 0, False)
    none.limit("one", [("memory.max", "1")])
    none.remove("one")
    none.sweep([])


def test_limits_are_written_to_the_containers_own_group(root: Path) -> None:
    found = Groups(root)
    assert found.controls >= {"memory.max", "cpu.max"}
    assert found.name("one") == "/containers/one"
    fill(root / "containers/one", memory__max="max")
    found.limit("one", [("memory.max", "100")])
    assert (root / "containers/one/memory.max").read_text() == "100"
    found.limit("three", [("memory.max", "100")])


def test_a_limit_that_is_refused_names_the_file_and_the_text(root: Path) -> None:
    with pytest.raises(SystemFailure, match=r'failed to write "100" to io.max of container one: No such file'):
        Groups(root).limit("one", [("io.max", "100")])


def test_what_a_group_counts_as_far_as_its_controllers_reach(root: Path) -> None:
    folder = root / "containers/one"
    fill(
        folder,
        cpu__stat="usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n",
        memory__current="5000\n",
        memory__stat="anon 1000\nfile 3000\nshmem 500\n",
        io__stat="8:0 rbytes=100 wbytes=200 rios=1\n8:16 rbytes=1 wbytes=2\n",
    )
    counted = Groups(root).count("one")
    assert counted is not None
    used = counted.usage
    assert (used.user, used.system, used.anonymous, used.shared, used.file) == (20_000, 10_000, 1000, 500, 2500)
    assert (used.read, used.written, used.threads) == (101, 202, 0)
    assert (counted.held, counted.throttled, counted.kept) == (
        5000,
        (5, 2, 7000),
        frozenset({"cpu", "memory", "io"}),
    )
    assert counted.disks[8, 0] == {"rbytes": 100, "wbytes": 200, "rios": 1}
    fill(folder, pids__current="3", memory__events="low 0\noom 2\noom_kill 1\n")
    counted = Groups(root).count("one")
    assert counted is not None and counted.usage.threads == 3 and "pids" in counted.kept
    assert Groups(root).deaths("one") == 1


def test_freezing_waits_until_all_of_it_stands_still(root: Path) -> None:
    folder = root / "containers/one"
    fill(folder, cgroup__freeze="0", cgroup__events="populated 1\nfrozen 0\n")

    async def main() -> None:
        found = Groups(root)
        freezing = asyncio.create_task(found.freeze("one"))
        await asyncio.sleep(0.05)
        assert (folder / "cgroup.freeze").read_text() == "1"
        assert not freezing.done()
        fill(folder, cgroup__events="populated 1\nfrozen 1\n")
        assert await asyncio.wait_for(freezing, 10)
        assert found.thaw("one")
        assert not found.thaw("one")

    asyncio.run(main())


def test_what_does_not_stand_still_in_time_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "containers/one"
    fill(folder, cgroup__freeze="0", cgroup__events="populated 1\nfrozen 0\n")
    monkeypatch.setattr(groups, "FREEZING_SECONDS", 0.05)
    with pytest.raises(SystemFailure, match="pausing container one"):
        asyncio.run(Groups(root).freeze("one"))
    assert (folder / "cgroup.freeze").read_text() == "0"


def test_groups_go_with_their_containers_and_with_all_below_them(root: Path) -> None:
    (root / "containers/one/nested/deeper").mkdir(parents=True)
    found = Groups(root)
    found.sweep(["two"])
    assert found.find("one") is None and found.find("two") is not None
    found.remove("two")
    assert sorted(path.name for path in (root / "containers").iterdir()) == ["cpu.max", "memory.max"]
