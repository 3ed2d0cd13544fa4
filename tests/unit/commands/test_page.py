"""``docs/commands.md`` says what the commands say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_current() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts/commands_page.py"), "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "the commands have changed: .venv/bin/python scripts/commands_page.py"
