"""Where labdock keeps things, from the environment (XDG base directory specification). Pure: touches no file.

======================  ==========================  =================  ==========================
what                    variable                    a user's default   root's default
======================  ==========================  =================  ==========================
data (durable)          LABDOCK_DATA                $XDG_DATA_HOME/labdock, ~/.local/share/labdock · /var/lib/labdock
run (gone at reboot)    LABDOCK_RUN                 $XDG_RUNTIME_DIR/labdock, else /tmp/labdock-UID · /run/labdock
======================  ==========================  =================  ==========================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: sun_path holds 108 bytes with its NUL (man 7 unix); the longest socket below ``run`` takes this many.
LONGEST_SOCKET = len("/box/c/") + 64 + len("/attach")


@dataclass(frozen=True, slots=True)
class Paths:
    """The two roots and what lies directly under them."""

    data: Path
    run: Path

    @property
    def socket(self) -> Path:
        """The Docker Engine API's socket."""
        return self.run / "docker.sock"

    @property
    def box(self) -> Path:
        """Empty on the host; inside the sandbox a tmpfs that ends with it: bundles, netns, root mounts."""
        return self.run / "box"

    @property
    def log(self) -> Path:
        """The engine's own log."""
        return self.data / "engine.log"

    @property
    def database(self) -> Path:
        return self.data / "labdock.db"


def locate(environment: Mapping[str, str], uid: int) -> Paths:
    """The paths that *environment* and *uid* mean."""
    home = Path(environment.get("HOME") or "~").expanduser()
    if uid == 0:
        data, run = Path("/var/lib/labdock"), Path("/run/labdock")
    else:
        data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "labdock"
        runtime = environment.get("XDG_RUNTIME_DIR")
        run = Path(runtime) / "labdock" if runtime and os.access(runtime, os.W_OK) else Path(f"/tmp/labdock-{uid}")
    return Paths(Path(environment.get("LABDOCK_DATA") or data), Path(environment.get("LABDOCK_RUN") or run))
