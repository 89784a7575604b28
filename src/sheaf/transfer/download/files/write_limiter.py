"""Limit the number of threads that write small files: few, unless the file system is slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sheaf.fork import Lock, Semaphore

__all__ = ["Turns"]

_AT_ONCE: Final = 2  # more threads only wait for Python's lock, and for the kernel's lock of the folder
_WAITS: Final = 4  # from so many times the computing time of waiting on, no limit is needed


class Turns:
    """Limits the threads that write small files. Thread-safe.

    On a local disk two at a time are the fastest (docs/performance.md). Where each file is a message to a server, the
    limit ends, so that all threads wait at the same time.
    """

    def __init__(self) -> None:
        self._permits = Semaphore(_AT_ONCE)
        self._lock = Lock()
        self._wall = self._cpu = 0.0

    @property
    def are_over(self) -> bool:
        """True if the threads mostly wait, so that no limit is needed."""
        return self._wall > _WAITS * self._cpu

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold one of the slots during the block; if the limit has ended, don't wait."""
        if self.are_over:
            yield
            return
        with self._permits:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                yield
            finally:
                self.note(time.perf_counter() - wall, time.thread_time() - cpu)

    def note(self, wall: float, cpu: float) -> None:
        """Add the seconds that it took to write some files, and those of computing among them."""
        with self._lock:
            self._wall += wall
            self._cpu += cpu
