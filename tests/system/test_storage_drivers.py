"""Real containers on each storage driver; a store is of one driver, and says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder

DRIVERS = ("overlay", "fuse-overlayfs", "copy", "flat")
DOCKERFILE = (
    "FROM busybox\nRUN mkdir /d && echo one > /d/file && echo gone > /d/gone && chown 7:8 /d/file\n"
    "RUN rm /d/gone && ln /d/file /d/twin && echo two > /d/second\nVOLUME /d\n"
)


@pytest.fixture(params=DRIVERS)
def driven(request: pytest.FixtureRequest) -> Iterator[EngineUnderTest]:
    root = short_folder()
    engine = EngineUnderTest(root, LABDOCK_STORAGE_DRIVER=request.param)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()
        stores.remove(root)


@pytest.mark.limit(120)
def test_containers_build_run_write_stop_and_start_again(driven: EngineUnderTest) -> None:
    driver = driven.environment["LABDOCK_STORAGE_DRIVER"]
    assert driven.docker("info", "--format", "{{.Driver}}") == driver
    driven.docker("build", "-q", "-t", "layers", "-", stdin=DOCKERFILE)
    look = "cat /d/file /d/twin /d/second; ls /d; stat -c %u:%g /d/file"
    shown = "one\none\ntwo\nfile\nsecond\ntwin\n7:8"
    # From its volume, filled from the image, and from the image itself.
    assert driven.docker("run", "--rm", "layers", "sh", "-c", look) == shown
    driven.docker("run", "--name", "writes", "busybox", "sh", "-c", "echo mine > /mine; rm /etc/passwd")
    assert driven.docker("run", "--rm", "busybox", "ls", "/etc/passwd") == "/etc/passwd"
    driven.docker("run", "-d", "--name", "stays", "--read-only", "busybox", "sleep", "1000")
    assert driven.docker("exec", "stays", "sh", "-c", "touch /x 2>&1; true").endswith("Read-only file system")
    driven.docker("rm", "-f", "stays")

    driven.stop()
    # Without being told again, the store goes on with what made it.
    kept = EngineUnderTest(driven.root)
    kept.start()
    assert kept.docker("info", "--format", "{{.Driver}}") == driver
    kept.docker("rename", "writes", "again")
    kept.docker("start", "again")
    kept.docker("wait", "again")
    assert "mine" in kept.docker("run", "--rm", "--volumes-from", "again", "layers", "sh", "-c", "echo mine; ls /d")
    kept.docker("rm", "again")
    kept.stop()

    other = "copy" if driver != "copy" else "flat"
    refused = EngineUnderTest(driven.root, LABDOCK_STORAGE_DRIVER=other).module("start")
    assert refused.returncode == 1
    assert f"was made with the storage driver {driver}" in refused.stderr
    assert "LABDOCK_DATA" in refused.stderr


def test_a_driver_that_is_none_is_refused_with_those_that_are() -> None:
    root = short_folder()
    try:
        refused = EngineUnderTest(root, LABDOCK_STORAGE_DRIVER="zfs").module("start")
        assert refused.returncode == 1
        assert "there is no storage driver 'zfs'" in refused.stderr
        assert "overlay, fuse-overlayfs, copy, flat" in refused.stderr
    finally:
        stores.remove(root)
