"""A slow backend: every call takes as long as a request to a bucket."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence

from sheaf.errors import Unavailable
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["LatencyBackend"]


class LatencyBackend(WrapperBackend):
    """Delays each call to ``inner`` by ``delay_s`` seconds; a share ``busy`` of the calls raises ``Unavailable``."""

    def __init__(
        self,
        inner: Backend,
        delay_s: float = 0.03,
        *,
        busy: float = 0.0,
        seed: int = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self._delay_s = delay_s
        self._busy = busy
        self._random = random.Random(seed)
        self._sleep = sleep

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self._travel(f"write {key}")
        return self.inner.create(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        self._travel(f"read {key}")
        return self.inner.get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self._travel(f"read {key}")
        return self.inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        self._travel(f"look up {key}")
        return self.inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        self._travel(f"list {prefix}")
        return self.inner.list(prefix, sort=sort)

    def newest(self, prefix: str) -> str | None:
        self._travel(f"list {prefix}")
        return self.inner.newest(prefix)

    def delete(self, key: str) -> None:
        self._travel(f"delete {key}")
        self.inner.delete(key)

    def _travel(self, what: str) -> None:
        self._sleep(self._delay_s)
        if self._random.random() < self._busy:
            raise Unavailable(f"can't {what}: 503 SlowDown")
