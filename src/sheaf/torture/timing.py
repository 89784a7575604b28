"""The durations of requests: for information, never checked."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sheaf.storage.buffers import total, views
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["Figure", "TimedBackend", "Timings"]

_BIG = 1 << 20  # bytes from which on a request counts for the throughput


@dataclass(frozen=True, slots=True)
class Figure:
    """One kind of request. ``p50_s``: the median in seconds, ``p99_s``: the 99th percentile."""

    operation: str
    requests: int
    p50_s: float
    p99_s: float
    bytes_a_second: float | None  #: of single requests of 1 MiB and more; None if there were none


@dataclass(slots=True)
class Timings:
    """Measurements of requests. Thread-safe."""

    _seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _big: dict[str, tuple[int, float]] = field(default_factory=lambda: defaultdict(lambda: (0, 0.0)))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, operation: str, seconds: float, size: int) -> None:
        """Add the measurement of a request of ``size`` bytes."""
        with self._lock:
            self._seconds[operation].append(seconds)
            if size >= _BIG:
                bytes_, seconds_ = self._big[operation]
                self._big[operation] = bytes_ + size, seconds_ + seconds

    def figures(self) -> list[Figure]:
        """The figures, sorted by kind of request."""
        with self._lock:
            return [self._figure(name, sorted(seconds)) for name, seconds in sorted(self._seconds.items())]

    def _figure(self, operation: str, seconds: list[float]) -> Figure:
        size, took = self._big.get(operation, (0, 0.0))
        p50, p99 = (seconds[min(len(seconds) - 1, int(len(seconds) * part))] for part in (0.5, 0.99))
        return Figure(operation, len(seconds), p50, p99, size / took if took else None)


class TimedBackend(WrapperBackend):
    """Measures each call to ``inner``, failed ones too."""

    def __init__(self, inner: Backend, timings: Timings) -> None:
        super().__init__(inner)
        self._timings = timings

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        parts = views(data)
        with self._timed("create", total(parts)):
            return self.inner.create(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        begun = time.monotonic()
        data = self.inner.get(key, limit)
        self._timings.add("get", time.monotonic() - begun, len(data))
        return data

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        with self._timed("get ranges", sum(length for _, length in ranges)):
            return self.inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        with self._timed("stat"):
            return self.inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        with self._timed("list"):
            return iter(list(self.inner.list(prefix, sort=sort)))

    def newest(self, prefix: str) -> str | None:
        with self._timed("newest"):
            return self.inner.newest(prefix)

    def replace(self, key: str, data: Buffer) -> None:
        with self._timed("replace"):
            self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        with self._timed("delete"):
            self.inner.delete(key)

    @contextmanager
    def _timed(self, operation: str, size: int = 0) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self._timings.add(operation, time.monotonic() - begun, size)
