"""Read from replicas while the store itself can't be reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from sheaf.errors import Unavailable
from sheaf.storage.port import LARGEST, Backend, Buffer, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["FailoverBackend"]

T = TypeVar("T")
_AGAIN_S = 60.0  # how long only the copies are read before the store is tried again


class FailoverBackend(WrapperBackend):
    """Sends reads for which ``inner`` raises ``Unavailable`` to the first of ``copies`` that answers.

    Writes always go to ``inner``. ``warn`` is called with one line, once, when a copy is read for the first time.
    """

    def __init__(
        self, inner: Backend, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(inner)
        self.copies: tuple[Backend, ...] = ()  #: in the order in which they are tried
        self.may_fail_over = True  #: False from the moment when an outdated answer would be harmful
        self._warn = warn
        self._clock = clock
        self._lost_until = float("-inf")
        self._has_warned = False

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        return self._read(lambda backend: backend.get(key, limit))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self._read(lambda backend: backend.get_ranges(key, ranges))

    def stat(self, key: str) -> Stat | None:
        return self._read(lambda backend: backend.stat(key))

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return self._read(lambda backend: _begun(backend.list(prefix, sort=sort)))

    def newest(self, prefix: str) -> str | None:
        return self._read(lambda backend: backend.newest(prefix))

    def replace(self, key: str, data: Buffer) -> None:
        self.inner.replace(key, data)

    def _read(self, ask: Callable[[Backend], T]) -> T:
        if not self.copies or not self.may_fail_over:
            return ask(self.inner)
        lost: Unavailable | None = None
        if self._clock() >= self._lost_until:
            try:
                return ask(self.inner)
            except Unavailable as error:
                lost = error
                self._lost_until = self._clock() + _AGAIN_S
        for copy in self.copies:
            try:
                answer = ask(copy)
            except Unavailable as error:
                lost = lost or error
                continue
            self._say(copy)
            return answer
        raise lost or Unavailable(f"{self.url} can't be reached", "wait and try again")

    def _say(self, copy: Backend) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(f"{self.url} can't be reached: reading from its replica {copy.url}, which may be behind")


def _begun(listing: Iterator[Stat]) -> Iterator[Stat]:
    """Return the same listing after requesting its first item, so that an unreachable store raises here, not later."""
    first = next(listing, None)
    return iter(()) if first is None else chain([first], listing)
