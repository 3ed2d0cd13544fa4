"""Work along a graph in threads: what waits for nothing begins; one failure, or an interrupt, stops it all."""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

#: Acts at a time, and threads at a time: those that only wait for a dependency take no act's place.
MOST_ACTS, MOST_THREADS = 8, 128
#: Seconds that what is under way gets to come to an end: after a failure, and after an interrupt.
AFTER_FAILURE, AFTER_INTERRUPT = 30.0, 0.8


class Halted(Exception):
    """The rest of the work was called off."""


class Halt:
    """Called off or not; ``fileno`` is readable once it is, so that waits can wait for it too."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set = False
        weakref.finalize(self, os.close, self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def set(self) -> None:
        self._is_set = True
        os.eventfd_write(self._descriptor, 1)

    def check(self) -> None:
        """Raises Halted once it was called off."""
        if self._is_set:
            raise Halted


class Crew:
    """Carries work out. *hear* gets the lines that the work says, always in the thread that made the crew.

    ``hear`` may be exchanged; ``meanwhile`` is called in that thread too: after each piece of news, and upon ``wake``.
    """

    def __init__(self, hear: Callable[[str], None] = lambda text: None) -> None:
        self.halt = Halt()
        self.meanwhile: Callable[[], None] = lambda: None
        self.hear = hear
        self._home = threading.get_ident()
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Any] | None = None

    def say(self, text: str) -> None:
        if threading.get_ident() == self._home:
            self.hear(text)
            return
        self._said.put(text)
        self.wake()

    def wake(self) -> None:
        """Have ``meanwhile`` called, if work is under way."""
        if (news := self._news) is not None:
            news.put(None)

    def carry_out(
        self,
        needs: Mapping[Key, Iterable[Key]],
        act: Callable[[Key], None],
        *,
        before: Callable[[Key], None] = lambda key: None,
    ) -> None:
        """*act* for each key of *needs* once it was done for all that the key needs, and *before* came back.

        At most MOST_ACTS at a time; *before* may wait and is not counted. The first failure calls the rest off, waits
        for what is under way and is raised; an interrupt does so too, for AFTER_INTERRUPT seconds.
        """
        Round(self, needs, act, before).run()

    def _hear_all(self) -> None:
        if threading.get_ident() != self._home:
            return
        while not self._said.empty():
            self.hear(self._said.get())
        self.meanwhile()


class Round(Generic[Key]):
    """One graph, carried out once."""

    def __init__(
        self, crew: Crew, needs: Mapping[Key, Iterable[Key]], act: Callable[[Key], None], before: Callable[[Key], None]
    ) -> None:
        self._crew = crew
        self._act, self._before = act, before
        self._left = {key: {need for need in wanted if need in needs} for key, wanted in needs.items()}
        self._running: set[Key] = set()
        self._gate = threading.BoundedSemaphore(MOST_ACTS)
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._failure: BaseException | None = None

    def run(self) -> None:
        crew = self._crew
        at_home = threading.get_ident() == crew._home
        if at_home:
            crew._news = self._news
        try:
            self._begin()
            while self._running:
                self._hear(None)
                self._begin()
        except KeyboardInterrupt:
            crew.halt.set()
            self._finish(AFTER_INTERRUPT)
            raise
        finally:
            if at_home:
                crew._news = None
            crew._hear_all()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        """Start a thread for each key that waits for nothing; nothing is begun after a failure."""
        if self._failure is not None:
            self._finish(AFTER_FAILURE)
            self._running.clear()
            return
        ready = [key for key, wanted in self._left.items() if not wanted]
        for key in ready[: MOST_THREADS - len(self._running)]:
            del self._left[key]
            self._running.add(key)
            threading.Thread(target=self._work, args=(key,), daemon=True).start()

    def _hear(self, seconds: float | None) -> None:
        """The next piece of news. Raises queue.Empty."""
        item = self._news.get(timeout=seconds)
        self._crew._hear_all()
        if item is None:
            return
        key, error = item
        self._running.discard(key)
        for wanted in self._left.values():
            wanted.discard(key)
        if error is None:
            return
        if self._failure is None or isinstance(self._failure, Halted):
            self._failure = error
        self._crew.halt.set()

    def _finish(self, seconds: float) -> None:
        """Wait until what is under way has come to an end, *seconds* at most."""
        end = time.monotonic() + seconds
        while self._running:
            try:
                self._hear(max(0.0, end - time.monotonic()))
            except queue.Empty:
                return

    def _work(self, key: Key) -> None:
        error: BaseException | None = None
        try:
            self._before(key)
            with self._gate:
                self._crew.halt.check()
                self._act(key)
        except BaseException as caught:  # It is raised in the thread that waits for it.
            error = caught
        self._news.put((key, error))
