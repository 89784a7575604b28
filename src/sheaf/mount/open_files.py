"""Read opened files: verified, cached in memory, and read ahead if the reads are sequential.

A big file is cached in blocks of 1 MiB. The longer it is read sequentially, the more blocks are fetched ahead, in
parallel. Small files, which are one block at most, are stored in the order of the manifest: reading them in that order
fetches hundreds with one request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pyarrow as pa

from sheaf.engine.block_cache import BlockCache
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.manifest.ranks import Leaf, Ranks
from sheaf.engine.manifest.tree import entry_at
from sheaf.fork import Lock, Threads
from sheaf.model.entries import ManifestEntry, PlaceKind
from sheaf.mount.fuse.port import WaitPolicy, WouldWait
from sheaf.mount.kernel_cache import WHOLE, ByteCache, Key
from sheaf.storage.port import Buffer

__all__ = ["BLOCK", "BundleReader", "OpenFile", "Pool"]

BLOCK: Final = 1 << 20
_RUN: Final = 4  # blocks fetched together
_STREAMS: Final = 8  # sequential readers of small files that are followed at a time
_NEAR: Final = 16  # rows that a sequential reader may skip
_MOST_ROWS: Final = 512
_MOST_BYTES: Final = 4 << 20


@dataclass(slots=True)
class OpenFile:
    """An opened file of a bundle, and how it is being read."""

    leaf: Leaf
    row: int
    data: Buffer | None = None
    entry: ManifestEntry | None = None
    last: int = -1  #: the number of the block that was read last
    window: int = 0  #: number of blocks to fetch ahead
    until: int = 0  #: the number of the first block that was not requested yet

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.leaf.size[self.row]

    @property
    def content(self) -> bytes:
        """Hash of the file's content."""
        return self.leaf.content[self.row]


@dataclass(slots=True)
class _Stream:
    """A sequential reader of small files. ``at``: the last row read, ``until``: the first row that was not fetched."""

    at: int
    until: int
    window: int = 4


class Pool:
    """The shared state of a mount's readers: cached bytes, threads, and running fetches."""

    def __init__(
        self,
        cache: ByteCache,
        patience: WaitPolicy,
        disk: BlockCache | None = None,
        *,
        ahead: int = 16,
        threads: int = 12,
    ) -> None:
        self.cache = cache
        self._disk = disk
        self.patience = patience
        self.ahead = min(ahead, cache.room // BLOCK // 4)
        self._threads = Threads(threads, thread_name_prefix="sheaf-mount")
        self._lock = Lock()
        self._coming: dict[Key, Future[None]] = {}

    def get(self, key: Key, load: Callable[[], Iterator[tuple[Key, Buffer]]]) -> Buffer:
        """Return the bytes of a key: cached, or from a running fetch, or loaded now. May wait; raises what loading raises."""
        found = self.cache.get(key)
        if found is not None:
            return found
        coming = self._coming.get(key)
        if self.patience.is_hasty:
            raise WouldWait(coming or self.fetch([key], load))
        if coming is not None:
            # A fetch ahead may have failed: its error doesn't decide this read, which then loads the bytes itself.
            coming.exception()
            found = self.cache.get(key)
            if found is not None:
                return found
        return self._keep(key, self._loaded([key], load))

    def fetch(self, keys: list[Key], load: Callable[[], Iterator[tuple[Key, Buffer]]]) -> Future[None] | None:
        """Start to load bytes that are needed now or probably soon. Failures are shown only to waiting readers.

        Returns a future, None if all bytes are cached or coming.
        """
        with self._lock:
            if all(key in self.cache or key in self._coming for key in keys):
                return None
            coming = self._threads.submit(self._load, keys, load)
            self._coming.update(dict.fromkeys(keys, coming))
        # The fetch may have ended before it was added to the running ones: it would stay there otherwise.
        if coming.done():
            self._forget(keys, coming)
        return coming

    def later(self, work: Callable[[], None]) -> None:
        """Run a function on the threads that may wait."""
        self._threads.submit(work)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _load(self, keys: list[Key], load: Callable[[], Iterator[tuple[Key, Buffer]]]) -> None:
        try:
            for key, data in self._loaded(keys, load):
                self.cache.put(key, data)
        finally:
            self._forget(keys, None)

    def _loaded(
        self, keys: list[Key], load: Callable[[], Iterator[tuple[Key, Buffer]]]
    ) -> Iterator[tuple[Key, Buffer]]:
        """Yield bytes from the disk cache if it has all of them, else from the store, and add these to the disk cache."""
        if self._disk is None:
            yield from load()
            return
        found = {key: data for key in keys if (data := self._disk.get(key)) is not None}
        yield from found.items()
        if len(found) < len(keys):
            for key, data in load():
                yield key, data
                if key not in found:
                    self._disk.put(key, data)

    def _forget(self, keys: list[Key], only: Future[None] | None) -> None:
        with self._lock:
            for key in keys:
                if only is None or self._coming.get(key) is only:
                    self._coming.pop(key, None)

    def _keep(self, wanted: Key, loaded: Iterator[tuple[Key, Buffer]]) -> Buffer:
        answer: Buffer = b""
        for key, data in loaded:
            self.cache.put(key, data)
            if key == wanted:
                answer = data
        return answer


@dataclass(slots=True)
class BundleReader:
    """Reads the files of one bundle."""

    ranks: Ranks
    contents: Contents
    pool: Pool
    _streams: list[_Stream] = field(default_factory=list)

    def read(self, file: OpenFile, offset: int, size: int) -> Buffer:
        """Return bytes of an opened file, fewer at its end. Raises WouldWait, Unavailable, Corrupt, Unsupported."""
        size = min(size, file.size - offset)
        if size <= 0:
            return b""
        if file.data is not None:
            return memoryview(file.data)[offset : offset + size]
        key = _small_key(file.leaf, file.row)
        if key is not None:
            self._advance(file.leaf.first + file.row, file.size)
        if key == (file.content, WHOLE):
            file.data = self.pool.get(key, lambda: self._small(file.leaf, file.row, 1))
            return memoryview(file.data)[offset : offset + size]
        return self._big(file, offset, size)

    # -- big files -----------------------------------------------------------------------------------------------------

    def _big(self, file: OpenFile, offset: int, size: int) -> Buffer:
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        self._ahead(file, first, last)
        blocks = [self.pool.get((file.content, n), partial(self._blocks, file, n, 1)) for n in range(first, last + 1)]
        start = offset - first * BLOCK
        if len(blocks) == 1:
            return memoryview(blocks[0])[start : start + size]
        return b"".join(blocks)[start : start + size]

    def _ahead(self, file: OpenFile, first: int, last: int) -> None:
        """Fetch more blocks the longer the reads are sequential, and none for random access."""
        if first <= file.last + 1 and last > file.last:
            file.window = min(max(1, file.window * 2), self.pool.ahead)
        elif not file.last - 1 <= first <= file.last + 1:
            file.window, file.until = 0, 0
        file.last = last
        if not file.window:
            return
        end = min(last + 1 + file.window, -(-file.size // BLOCK))
        start = max(last + 1, file.until)
        if end - start < min(_RUN, file.window) and end * BLOCK < file.size:
            return
        for n in range(start, end, _RUN):
            count = min(_RUN, end - n)
            keys = [(file.content, m) for m in range(n, n + count)]
            self.pool.fetch(keys, partial(self._blocks, file, n, count))
        file.until = max(file.until, end)

    def _blocks(self, file: OpenFile, first: int, count: int) -> Iterator[tuple[Key, Buffer]]:
        if file.entry is None:
            file.entry = entry_at(file.leaf.batch, file.row)
        data = self.contents.read_buffer(file.entry, first * BLOCK, count * BLOCK)
        for n in range(count):
            piece = data[n * BLOCK : (n + 1) * BLOCK]
            if piece:
                yield (file.content, first + n), piece

    # -- small files ---------------------------------------------------------------------------------------------------

    def _advance(self, rank: int, size: int) -> None:
        """Recognise sequential reads of small files, and fetch those that come next: if they are of this size, some MiB."""
        stream = next((s for s in self._streams if s.at < rank <= s.at + _NEAR), None)
        if stream is None:
            if all(s.at != rank for s in self._streams):
                self._streams = [*self._streams[-_STREAMS + 1 :], _Stream(rank, rank + 1)]
            return
        stream.at = rank
        if self.pool.ahead and rank + stream.window // 2 >= stream.until:
            start = max(stream.until, rank + 1)
            stream.window = min(stream.window * 2, _MOST_ROWS, max(_MOST_BYTES // size, 2))
            stream.until = start + stream.window
            self.pool.later(lambda: self._neighbours(start, stream.window))

    def _neighbours(self, start: int, count: int) -> None:
        """Start to fetch the small files among ``count`` rows from row ``start`` on, from one leaf."""
        if start >= len(self.ranks):
            return
        leaf = self.ranks.leaf(start)
        row = start - leaf.first
        count, total, keys = min(count, len(leaf) - row), 0, list[Key]()
        for i in range(row, row + count):
            key = _small_key(leaf, i)
            if key is not None:
                total += leaf.size[i]
                if total > _MOST_BYTES and keys:
                    count = i - row
                    break
                keys.append(key)
        if keys:
            self.pool.fetch(keys, lambda: self._small(leaf, row, count))

    def _small(self, leaf: Leaf, row: int, count: int) -> Iterator[tuple[Key, Buffer]]:
        batch = leaf.batch.slice(row, count)
        small = [i for i in range(count) if _small_key(leaf, row + i) is not None]
        if len(small) < count:
            batch = batch.take(pa.array(small, pa.int64()))
        for gathered in self.contents.gather(batch).results():
            for i, data in self.contents.gathered_files(batch, gathered):
                key = _small_key(leaf, row + small[i])
                if key is not None:
                    # A copy: a view would keep the bytes in memory that were fetched with it.
                    yield key, bytes(data)


def _small_key(leaf: Leaf, row: int) -> Key | None:
    """Return the key of the bytes of a file that is fetched with its neighbours, None for any other row."""
    match leaf.place[row]:
        case PlaceKind.CHUNK:
            return leaf.content[row], WHOLE
        case PlaceKind.RECIPE if leaf.size[row] <= BLOCK:
            return leaf.content[row], 0
        case _:
            return None
