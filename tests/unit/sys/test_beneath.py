"""openat2: hostile paths stay in the folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.sys import beneath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("inside")
    (folder / "absolute").symlink_to("/etc/passwd")
    (folder / "climbing").symlink_to("../../../../../etc/passwd")
    (folder / "proc-root").symlink_to("/proc/self/root")
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("path", ["absolute", "climbing", "/etc/passwd", "../../etc/passwd", "etc/../etc/passwd"])
def test_every_way_out_ends_inside(root: int, path: str) -> None:
    with os.fdopen(beneath.open_beneath(root, path, os.O_RDONLY)) as found:
        assert found.read() == "inside"
        assert os.get_inheritable(found.fileno()) is False


@pytest.mark.parametrize(
    ("path", "resolve", "code"),
    [
        ("climbing", beneath.BENEATH, errno.EXDEV),
        ("absolute", beneath.BENEATH, errno.EXDEV),
        ("absolute", beneath.IN_ROOT | beneath.NO_SYMLINKS, errno.ELOOP),
        ("proc-root/etc/passwd", beneath.IN_ROOT, errno.ENOENT),
    ],
)
def test_what_is_forbidden_is_an_error_that_names_the_path(root: int, path: str, resolve: int, code: int) -> None:
    with pytest.raises(OSError) as raised:
        beneath.open_beneath(root, path, os.O_RDONLY, resolve=resolve)
    assert (raised.value.errno, raised.value.filename) == (code, path)
