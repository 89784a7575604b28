"""Count the requests to a store. Budgets are in requests and round trips, since these are what a bucket costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from sheaf.fork import Lock
from sheaf.storage.buffers import total, views
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["COALESCE", "Call", "CountBackend", "Tally", "spans"]

#: Ranges with fewer than this many bytes between them are fetched together.
COALESCE = 64 * 1024

_PAGE = 1_000  # keys in one response of S3


@dataclass(frozen=True, slots=True)
class Call:
    """A kind of call: the port's method, and the top folder of the key."""

    operation: str
    folder: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Totals. ``round_trips``: the longest chain of calls each of which waited for the one before."""

    requests: int
    bytes_in: int
    bytes_out: int
    round_trips: int


def spans(ranges: Sequence[tuple[int, int]], gap: int = COALESCE) -> int:
    """The number of requests that the ranges need, if near ones are fetched together."""
    count, reached = 0, -gap - 1
    for offset, length in sorted(ranges):
        if length and offset - reached > gap:
            count += 1
        reached = max(reached, offset + length) if length else reached
    return count


class CountBackend(WrapperBackend):
    """Counts the calls to ``inner`` as the requests that an S3 store would get, without retries."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._lock = Lock()
        self.reset()

    def reset(self) -> None:
        """Reset all counts to zero."""
        with self._lock:
            self.requests: Counter[Call] = Counter()  #: by operation and top folder
            self.bytes_in: Counter[Call] = Counter()  #: bytes read
            self.bytes_out: Counter[Call] = Counter()  #: bytes written
            self._depth = 0

    def tally(self, *folders: str) -> Tally:
        """Return the totals; if folders are named, requests and bytes only of these top folders."""
        with self._lock:
            requests, read, written = (_sum(c, folders) for c in (self.requests, self.bytes_in, self.bytes_out))
            return Tally(requests, read, written, self._depth)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        with self._counted("create", key) as call:
            self._add(self.bytes_out, call, total(views(data)))
            return self.inner.create(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        with self._counted("get", key) as call:
            data = self.inner.get(key, limit)
            self._add(self.bytes_in, call, len(data))
            return data

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        with self._counted("get_ranges", key, max(1, spans(ranges))) as call:
            found = self.inner.get_ranges(key, ranges)
            self._add(self.bytes_in, call, sum(length for _, length in ranges))
            return found

    def stat(self, key: str) -> Stat | None:
        with self._counted("stat", key):
            return self.inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        listing: Iterator[Stat] | None = None
        while True:
            # The first request may be made when the listing is begun, or with its first item.
            with self._counted("list", prefix):
                listing = self.inner.list(prefix, sort=sort) if listing is None else listing
                page = [*islice(listing, _PAGE)]
            yield from page
            if len(page) < _PAGE:
                return

    def newest(self, prefix: str) -> str | None:
        with self._counted("newest", prefix):
            return self.inner.newest(prefix)

    def replace(self, key: str, data: Buffer) -> None:
        with self._counted("replace", key) as call:
            self._add(self.bytes_out, call, total(views(data)))
            self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        with self._counted("delete", key):
            self.inner.delete(key)

    @contextmanager
    def _counted(self, operation: str, key: str, requests: int = 1) -> Iterator[Call]:
        call = Call(operation, key.partition("/")[0])
        with self._lock:
            self.requests[call] += requests
            depth = self._depth + 1
        try:
            yield call
        finally:
            with self._lock:
                self._depth = max(self._depth, depth)

    def _add(self, counter: Counter[Call], call: Call, size: int) -> None:
        with self._lock:
            counter[call] += size


def _sum(counter: Counter[Call], folders: tuple[str, ...]) -> int:
    return sum(n for call, n in counter.items() if not folders or call.folder in folders)
