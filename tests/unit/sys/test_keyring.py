"""The session keyring of a process."""

from __future__ import annotations

import errno
import subprocess
import sys

_PROGRAM = """
from labdock.sys import process
try:
    print(process.leave_keyring(), process.leave_keyring())
except OSError as error:
    print("refused", error.errno)
"""


def test_a_process_that_leaves_its_keyring_has_another() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    if first == "refused":
        assert int(second) in (errno.EPERM, errno.ENOSYS, errno.EDQUOT)
    else:
        assert first != second
