"""Limit the bytes per second that are sent and received."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sheaf.errors import InvalidInput
from sheaf.fork import Lock
from sheaf.storage.buffers import total, views
from sheaf.storage.port import LARGEST, Backend, Buffer, Created
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["LimitBackend", "Throttle"]

_LITTLE = 1 << 20  # bytes of an object that must not wait for packs: a record, or the end of an interrupted upload


class Throttle:
    """Limits all callers together to ``rate`` bytes per second on average."""

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate <= 0:
            raise InvalidInput(f"the rate limit must be positive, not {rate}", "omit the limit for no limit")
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()
        self._free_at = clock()  #: when everything that has passed so far is paid for, on ``clock``

    def acquire(self, size: int, *, at_once: bool = False) -> None:
        """Wait for earlier callers, then account for ``size`` bytes. ``at_once``: do not wait; later callers wait longer."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + size / self._rate
        if start > now and not at_once:
            self._sleep(start - now)


class LimitBackend(WrapperBackend):
    """Limits the rate of ``inner``. One object passes without a pause; later callers wait."""

    def __init__(self, inner: Backend, upload: Throttle, download: Throttle) -> None:
        super().__init__(inner)
        self._upload = upload
        self._download = download

    @classmethod
    def at(cls, inner: Backend, rate: int) -> LimitBackend:
        """Wrap ``inner`` with the same limit in each direction, in bytes per second."""
        return cls(inner, Throttle(rate), Throttle(rate))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        size = total(views(data))
        self._upload.acquire(size, at_once=size <= _LITTLE)
        return self.inner.create(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        self._upload.acquire(total(views(data)))
        self.inner.replace(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        data = self.inner.get(key, limit)
        self._download.acquire(len(data))
        return data

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self._download.acquire(sum(max(0, length) for _, length in ranges))
        return self.inner.get_ranges(key, ranges)
