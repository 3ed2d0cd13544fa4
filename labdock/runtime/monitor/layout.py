"""The files of one container's bundle folder, and who writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """``box/c/<id>``: config.json and settings (ours), the rest (conmon's)."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def settings(self) -> Path:
        """How the monitor was started (tty, stdin): what an engine that adopts the container must know."""
        return self.folder / "monitor.json"

    @property
    def pid(self) -> Path:
        """The container's first process, written by the runtime."""
        return self.folder / "pid"

    @property
    def exits(self) -> Path:
        """The folder in which conmon writes the exit code, in a file named after the container."""
        return self.folder / "exit"

    @property
    def attach(self) -> Path:
        return self.folder / "attach"

    @property
    def control(self) -> Path:
        """A fifo: "1 ROWS COLUMNS" resizes the terminal, "2 0 0" opens the log again."""
        return self.folder / "ctl"

    @property
    def out_of_memory(self) -> Path:
        return self.folder / "oom"
