"""A clock that advances only when a test says so, and ids that are the same in every run."""

from __future__ import annotations

import threading

from blake3 import blake3

from sheaf.model.ids import ksuid

__all__ = ["SteeredClock"]

_SECOND = 10**9


class SteeredClock:
    """Replaces :class:`sheaf.engine.clock.SystemClock`. Thread-safe.

    ``seed``: a different one for each process that a test simulates, since equal seeds give equal ids. ``start_s``: Unix
    seconds.
    """

    def __init__(self, seed: str = "", start_s: int = 1_790_000_000) -> None:
        self._seed = seed
        self._ns = start_s * _SECOND
        self._ids = 0
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        """Return nanoseconds since 1970."""
        with self._lock:
            return self._ns

    def new_id(self) -> str:
        """Return the next KSUID of this seed."""
        with self._lock:
            self._ids += 1
            payload = blake3(f"{self._seed}/{self._ids}".encode()).digest(16)
            return ksuid(self._ns // _SECOND, payload)

    def tick(self, seconds: float = 1.0) -> None:
        """Advance the clock; a negative number sets it back."""
        with self._lock:
            self._ns += int(seconds * _SECOND)
