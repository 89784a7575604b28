"""Retry with exponential backoff and jitter when the store can't be reached."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sheaf.errors import Unavailable
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["RetryBackend", "RetryPolicy"]

T = TypeVar("T")
_log = logging.getLogger("sheaf")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to retry, and the wait before retry n (from 0): a random part of ``min(longest_s, first_s * 2**n)`` seconds."""

    retries: int = 5
    first_s: float = 0.2
    longest_s: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random  #: a random number from [0, 1)

    def pauses(self) -> Iterator[float]:
        """Yield the waits in seconds, one for each retry."""
        for n in range(self.retries):
            yield min(self.longest_s, self.first_s * 2**n) * self.jitter()

    def run(self, action: Callable[[], T]) -> T:
        """Call ``action``; retry on ``Unavailable`` only, and raise the last error when no retry is left."""
        pauses = self.pauses()
        while True:
            try:
                return action()
            except Unavailable as error:
                self.wait(pauses, error)

    def wait(self, pauses: Iterator[float], error: Unavailable) -> None:
        """Sleep for the next pause, or raise the error if none is left."""
        pause = next(pauses, None)
        if pause is None:
            raise error
        _log.info("retrying in %.1f s: %s", pause, error)
        self.sleep(pause)

    def resumed(self, listing: Callable[[str], Iterator[Stat]]) -> Iterator[Stat]:
        """List, starting again when the listing fails; no key is yielded twice.

        ``listing`` gets the last key that was yielded ("" at first); it may omit keys that sort before it.
        """
        seen: set[str] = set()
        last, pauses = "", self.pauses()
        while True:
            try:
                for stat in listing(last):
                    if stat.key not in seen:
                        last, pauses = stat.key, self.pauses()
                        seen.add(last)
                        yield stat
                return
            except Unavailable as error:
                self.wait(pauses, error)


class RetryBackend(WrapperBackend):
    """Retries calls of ``inner`` that raise ``Unavailable``.

    A create may be retried, too: if the first attempt succeeded after all, the result is ``Created.MINE``.
    """

    def __init__(self, inner: Backend, policy: RetryPolicy | None = None) -> None:
        super().__init__(inner)
        self._policy = policy or RetryPolicy()

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        return self._policy.run(lambda: self.inner.create(key, data))

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        return self._policy.run(lambda: self.inner.get(key, limit))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self._policy.run(lambda: self.inner.get_ranges(key, ranges))

    def stat(self, key: str) -> Stat | None:
        return self._policy.run(lambda: self.inner.stat(key))

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return self._policy.resumed(lambda _last: self.inner.list(prefix, sort=sort))

    def newest(self, prefix: str) -> str | None:
        return self._policy.run(lambda: self.inner.newest(prefix))

    def replace(self, key: str, data: Buffer) -> None:
        self._policy.run(lambda: self.inner.replace(key, data))

    def delete(self, key: str) -> None:
        self._policy.run(lambda: self.inner.delete(key))
