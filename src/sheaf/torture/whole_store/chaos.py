"""Faults between a client and a store: errors, lost responses, late writes and busy periods."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sheaf.errors import Unavailable
from sheaf.storage.buffers import views
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["Chaos", "Stopped"]

T = TypeVar("T")

_BUSY = 1 / 300  # probability at each call that a busy period begins
_BUSY_CALLS = 30  # its longest duration, in calls
_TRAVEL_S = 0.02  # the longest delay of a write
_LATE_S = 1.0  # the longest delay of a write that arrives late
#: The faults of writes that fail, by their frequency.
_MISHAPS = ("not made", "answer lost", "answer lost", "arrives late")


class Stopped(BaseException):
    """The round is over. Not an ``Exception``, so that no handler catches it."""


class Chaos(WrapperBackend):
    """Inject faults into calls to ``inner``: a share ``rate`` of the writes fails, and a third of that of the reads.

    When ``stop`` is set, every call raises Stopped. ``counts`` counts the injected faults.
    """

    def __init__(self, inner: Backend, rng: random.Random, rate: float, stop: threading.Event | None = None) -> None:
        super().__init__(inner)
        self.counts: Counter[str] = Counter()
        self._random = rng
        self._rate = rate
        self._stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._busy = 0
        self._late: list[threading.Timer] = []

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        whole = b"".join(views(data))
        return self._write(f"write {key}", lambda: self.inner.create(key, whole))

    def delete(self, key: str) -> None:
        self._write(f"delete {key}", lambda: self.inner.delete(key))

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        self._read(f"read {key}")
        return self.inner.get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self._read(f"read {key}")
        return self.inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        self._read(f"look up {key}")
        return self.inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        self._read(f"list {prefix}")
        return self.inner.list(prefix, sort=sort)

    def newest(self, prefix: str) -> str | None:
        self._read(f"list {prefix}")
        return self.inner.newest(prefix)

    def close(self) -> None:
        """Wait for late writes."""
        for timer in self._late:
            timer.join()
        super().close()

    def _read(self, what: str) -> None:
        with self._lock:
            self._throttle(what)
            if self._random.random() < self._rate / 3:
                self._fail(what, "read failed")

    def _write(self, what: str, action: Callable[[], T]) -> T:
        self._travel()
        with self._lock:
            self._throttle(what)
            mishap = self._random.choice(_MISHAPS) if self._random.random() < self._rate else ""
            if mishap == "arrives late":
                self._late.append(threading.Timer(self._random.uniform(0, _LATE_S), _quietly, [action]))
                self._late[-1].start()
            if mishap in {"not made", "arrives late"}:
                self._fail(what, mishap)
        answer = action()
        if mishap:
            with self._lock:
                self._fail(what, mishap)
        return answer

    def _travel(self) -> None:
        """Delay a write, so that the writes of other clients come first now and then."""
        if self._rate:
            with self._lock:
                pause_s = self._random.uniform(0, _TRAVEL_S)
            time.sleep(pause_s)

    def _throttle(self, what: str) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._busy == 0 and self._random.random() < _BUSY * (self._rate > 0):
            self._busy = self._random.randrange(1, _BUSY_CALLS)
        if self._busy:
            self._busy -= 1
            self._fail(what, "503")

    def _fail(self, what: str, mishap: str) -> None:
        self.counts[mishap] += 1
        raise Unavailable(f"can't {what}: {mishap} (injected fault)")


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception:
        # No client waits for this response.
        return
