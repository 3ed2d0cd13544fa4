"""Where removed trees wait to be freed: out of sight by one rename, freed by a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from labdock.store.layers.rooted import FLAGS, remove_tree

_log = logging.getLogger(__name__)


class Trash:
    """The folder *path* (same file system as the trees), and the thread that empties it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._thread: threading.Thread | None = None
        self._count = 0
        self._closed = False
        path.mkdir(parents=True, exist_ok=True)

    def throw(self, victim: Path) -> None:
        """Take *victim* out of sight, at once; a missing one is fine. Its bytes are freed a little later."""
        with self._lock:
            self._count += 1
            name = f"{victim.name}-{os.getpid()}-{self._count}"
        try:
            os.rename(victim, self._path / name)
        except FileNotFoundError:
            return
        self._free([name])

    def empty(self) -> None:
        """Free what an earlier process left here."""
        self._free(os.listdir(self._path))

    def _free(self, names: list[str]) -> None:
        with self._lock:
            if self._closed:
                return
            self._names += names
            if self._names and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="labdock-free", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        folder = os.open(self._path, FLAGS)
        try:
            while True:
                with self._lock:
                    if not self._names or self._closed:
                        self._thread = None
                        return
                    name = self._names.pop()
                try:
                    remove_tree(folder, os.fsencode(name))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    # It stays for the next start to try again.
                    _log.warning("freeing %s: %s", self._path / name, error)
        finally:
            os.close(folder)

    def wait(self) -> None:
        """Until everything thrown away so far is freed."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Stop after the tree that is being freed; the rest waits for the next start."""
        with self._lock:
            self._closed = True
        self.wait()
