"""Where removed trees wait to be freed: out of sight by one rename, freed by a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from labdock.store.layers.rooted import FLAGS, remove_tree

#: Seconds for which the thread stays when there is nothing to free: starting one costs more than waiting.
LINGER = 2.0

_log = logging.getLogger(__name__)


class Trash:
    """The folder *path* (same file system as the trees), and the thread that empties it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Condition()
        self._names: list[str] = []
        self._thread: threading.Thread | None = None
        self._idle = False
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
            self._lock.notify_all()
            if self._names and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="labdock-free", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        folder = os.open(self._path, FLAGS)
        try:
            while True:
                with self._lock:
                    if not self._names and not self._closed:
                        self._idle = True
                        self._lock.notify_all()
                        self._lock.wait(LINGER)
                        self._idle = False
                    if not self._names or self._closed:
                        self._thread = None
                        self._lock.notify_all()
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
        with self._lock:
            self._lock.wait_for(lambda: self._thread is None or (self._idle and not self._names))

    def close(self) -> None:
        """Stop after the tree that is being freed; the rest waits for the next start."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
