"""Write packs, and add chunks to them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, Queue

import numpy as np
from msgspec import Struct

from sheaf.engine.chunks.dedup import ChunkIndex, write_index
from sheaf.engine.core import Core
from sheaf.errors import Refused
from sheaf.fork import Lock, ProcessOrigin
from sheaf.format import keys
from sheaf.format.columns import Array, Hashes, hashes_of
from sheaf.format.index_v1 import Segment, sorted_segment
from sheaf.format.pack_v1 import encode_head, encode_tail, pack_id
from sheaf.storage.port import Buffer

__all__ = ["Chunk", "PackSink", "Place"]

Chunk = tuple[bytes, int, bytes, Buffer]  #: hash, raw length, codec, stored bytes
Place = tuple[int, int, int]  #: number of the pack, offset, stored length

_BUFFERS_NEAR = 2  # one that is filled and one that is written: this bounds memory
_BUFFERS_FAR = 3  # a bucket accepts two at a time
_STEP = 1 << 20  # bytes that are copied into a pack together: a copy for each frame would cost more than its bytes


class _Packed(Struct, frozen=True):
    """A finished pack and its table."""

    id: bytes
    hashes: Hashes
    offsets: Array
    stored: Array


class PackSink:
    """Collects frames into packs and writes these in background threads. Thread-safe.

    With ``lists_early``, durable packs are listed in the dedup index during the upload, not only at its end: the next
    upload then finds what an interrupted one has stored. A caller that may delete its packs again must not list them.
    """

    def __init__(self, core: Core, session: str, index: ChunkIndex, *, lists_early: bool = True) -> None:
        self._core = core
        self._limits = core.limits
        self._session = session
        self._index = index
        self._lists_early = lists_early
        self._lock = Lock()
        self._buffers: Queue[Array | None] = Queue()
        is_near = core.backend.url.startswith("file:")
        for _ in range(_BUFFERS_NEAR if is_near else _BUFFERS_FAR):
            self._buffers.put(None)
        self._writes: list[Future[None]] = []
        self._durable: list[_Packed] = []
        self._listing = Lock()
        self._listed = 0
        self._is_over = False
        self._origin = ProcessOrigin("the session")
        self._ordinal = 0
        self.stored_bytes = 0
        self.new_bytes = 0
        self._begin()

    def add(self, chunks: Iterable[Chunk]) -> list[Place]:
        """Store chunks, and return the location of each.

        The bytes are copied. A chunk that another thread has stored concurrently is not stored twice.
        """
        chunks = list(chunks)
        with self._lock:
            places = {chunk[0]: self._index.has_own(chunk[0]) for chunk in chunks}
            new = list({chunk[0]: chunk for chunk in chunks if places[chunk[0]] is None}.values())
            while new:
                placed = self._append(new)
                places.update(placed)
                new = new[len(placed) :]
        return [places[chunk[0]] for chunk in chunks]  # type: ignore[misc]  # each has one now

    def adopt(self, chunks: Iterable[tuple[bytes, Place]]) -> None:
        """Add chunks of other packs, which were verified, to those that this session has stored."""
        with self._lock:
            self._index.add_all(chunks)

    def flush(self) -> None:
        """Close the open pack and wait until all packs are durable. Raises what the writes raised."""
        self._origin.ensure_here()
        with self._lock:
            if self._hashes:
                self._close()
            writes, self._writes = self._writes, []
        for write in writes:
            write.result()
        self._release()

    def list_durable(self) -> None:
        """Write an index object for the packs that are durable and not listed yet, if there are any."""
        self._list(at_least=1)

    def stop(self) -> None:
        """Accept nothing more, cancel waiting writes, and list what is durable: this session will not commit.

        This doesn't wait. Other threads that add chunks get Refused.
        """
        if not self._origin.is_here:
            return
        self._is_over = True
        for write in list(self._writes):
            if write.cancel():
                self._buffers.put(None)
        self.list_durable()

    def _release(self) -> None:
        """Release the memory of idle buffers, because building the manifest needs some."""
        idle = 0
        with suppress(Empty):
            while True:
                self._buffers.get_nowait()
                idle += 1
        for _ in range(idle):
            self._buffers.put(None)

    def _begin(self) -> None:
        self._id = pack_id(self._session, self._ordinal)
        self._number = self._index.number(self._id)
        self._hashes: list[bytes] = []
        self._raw: list[int] = []
        self._stored: list[int] = []
        self._buffer: Array | None = None
        self._size = 0

    def _append(self, chunks: list[Chunk]) -> list[tuple[bytes, Place]]:
        """Add chunks, all or the first ones, to the open pack, and close it if it is full. Return the locations."""
        # A forked process would use the names of its parent's packs.
        self._origin.ensure_here()
        if self._buffer is None:
            self._start()
        if self._is_over:
            raise Refused("this upload has ended and can't store anything more", "start another one")
        at, number = self._size, self._number
        end = min(self._limits.pack_bytes, at + _STEP)
        placed: list[tuple[bytes, Place]] = []
        parts: list[Buffer] = []
        for hash, raw, codec, data in chunks:
            parts += (codec, data)
            placed.append((hash, (number, at, 1 + len(data))))
            self._raw.append(raw)
            at += 1 + len(data)
            if at >= end:
                break
        self._put(b"".join(parts))
        self._index.add_all(placed)
        self._hashes += [hash for hash, _ in placed]
        self._stored += [place[2] for _, place in placed]
        self.new_bytes += sum(self._raw[-len(placed) :])
        if self._size >= self._limits.pack_bytes or len(self._hashes) >= self._limits.pack_chunks:
            self._close()
        return placed

    def _start(self) -> None:
        """Take a buffer and begin a pack in it. Buffers are reused, since touching new memory is slow."""
        used = self._buffers.get()
        room = self._limits.pack_bytes + self._limits.pack_room
        self._buffer = np.empty(room, np.uint8) if used is None else used
        self._put(encode_head(self._session, self._ordinal))

    def _put(self, data: bytes) -> None:
        assert self._buffer is not None
        end = self._size + len(data)
        if end > len(self._buffer):
            old, self._buffer = self._buffer, np.empty(end + self._limits.pack_room, np.uint8)
            self._buffer[: self._size] = old[: self._size]
        self._buffer[self._size : end] = np.frombuffer(data, np.uint8)
        self._size = end

    def _close(self) -> None:
        assert self._buffer is not None
        stored = np.asarray(self._stored, np.uint32)
        packed = _Packed(self._id, hashes_of(self._hashes), self._size - np.cumsum(stored[::-1])[::-1], stored)
        self._put(encode_tail(packed.hashes, self._raw, packed.stored))
        self.stored_bytes += self._size
        self._raise_early()
        self._writes.append(self._core.io.submit(self._write, packed, self._buffer, self._size))
        self._ordinal += 1
        self._begin()

    def _write(self, packed: _Packed, buffer: Array, size: int) -> None:
        try:
            self._core.create(keys.pack(packed.id), memoryview(buffer[:size].data))
        finally:
            self._buffers.put(buffer)
        self._durable.append(packed)
        if self._lists_early:
            self._list(at_least=max(self._limits.list_packs, self._listed // 4))

    def _list(self, at_least: int) -> None:
        """Write an index object for the packs that became durable since the last one, if there are at least so many."""
        with self._listing:
            if len(self._durable) < at_least:
                return
            packs = [self._durable.pop() for _ in range(len(self._durable))]
            self._listed += len(packs)
        write_index(self._core, self._session, _segment_of(packs))

    def _raise_early(self) -> None:
        """Raise errors of finished writes, so that a full disk stops an upload now and not after the last file."""
        for write in [write for write in self._writes if write.done()]:
            write.result()
            self._writes.remove(write)


def _segment_of(packs: list[_Packed]) -> Segment:
    """Return what is in these packs in the form of the dedup index."""
    return sorted_segment(
        hashes_of([pack.id for pack in packs]),
        np.concatenate([pack.hashes for pack in packs]),
        np.repeat(np.arange(len(packs), dtype=np.uint32), [len(pack.hashes) for pack in packs]),
        np.concatenate([pack.offsets for pack in packs]),
        np.concatenate([pack.stored for pack in packs]),
    )
