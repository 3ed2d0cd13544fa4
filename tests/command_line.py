"""The docker command line that is on PATH: Debian's may be years older than the one whose words are kept as goldens."""

from __future__ import annotations

import functools
import re
import subprocess

#: The version whose requests and words the goldens hold.
KEPT = 28


@functools.cache
def major_version() -> int:
    """Of ``docker`` on PATH."""
    said = subprocess.run(["docker", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", said)
    assert found is not None, said
    return int(found[1])
