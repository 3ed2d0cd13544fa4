"""``%load_ext labdock`` costs little beside IPython itself."""

from __future__ import annotations

import subprocess
import sys
import time


def wall(code: str) -> float:
    found = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        found.append(time.perf_counter() - start)
    return min(found)


def test_loading_the_extension() -> None:
    shell = "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
    bare, plain = wall("pass"), wall(shell)
    assert wall(shell + "import labdock; labdock.load_ipython_extension(s)") - plain < 0.3 * (plain - bare)
