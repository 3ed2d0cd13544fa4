"""The sandbox: what its first process sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.mark.sandbox
def test_its_first_process_is_pid_1_and_root_with_many_ids(tmp_path: Path) -> None:
    assert os.getpid() == 1
    assert (os.getuid(), os.getgid(), os.getgroups()) == (0, 0, [])
    owned = tmp_path / "owned"
    owned.touch()
    os.chown(owned, 1234, 1234)
    assert owned.stat().st_uid == 1234
    assert os.listdir("/proc/self/fd")
