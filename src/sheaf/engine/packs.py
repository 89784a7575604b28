"""Packs on their way into the store, and chunks on their way out of it."""

from __future__ import annotations

from concurrent.futures import Future
from threading import BoundedSemaphore, Lock

from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.engine.dedup import ChunkIndex
from sheaf.format import keys
from sheaf.format.columns import hashes_of
from sheaf.format.pack_v1 import encode_head, encode_tail

__all__ = ["PACK_BYTES", "PackSink", "pack_id"]

PACK_BYTES = 32 << 20  #: a pack is closed when it has this many bytes
_IN_FLIGHT = 3  # packs being written while the next one fills: bounds memory


def pack_id(session: str, ordinal: int) -> bytes:
    """The id of a session's nth pack: known before the pack is full, and never that of another session's pack."""
    return blake3(b"sheaf pack 1\n" + session.encode() + ordinal.to_bytes(4, "little")).digest()


class PackSink:
    """Gathers frames into packs and writes these behind the caller's back. Safe to use from many threads."""

    def __init__(self, core: Core, session: str, index: ChunkIndex) -> None:
        self._core = core
        self._session = session
        self._index = index
        self._lock = Lock()
        self._slots = BoundedSemaphore(_IN_FLIGHT)
        self._writes: list[Future[None]] = []
        self._ordinal = 0
        self.stored_bytes = 0
        self.new_bytes = 0
        self.new_chunks = 0
        self._begin()

    def add(self, chunks: list[tuple[bytes, int, bytes]]) -> list[tuple[int, int, int]]:
        """Store (hash, raw length, frame); returns (number of the pack, offset, stored length) of each.

        A chunk that another thread has stored meanwhile is not stored twice.
        """
        with self._lock:
            return [self._index.has_own(hash) or self._append(hash, raw, frame) for hash, raw, frame in chunks]

    def flush(self) -> None:
        """Close the open pack and wait until all are durable. Raises what the writes raised."""
        with self._lock:
            if self._hashes:
                self._close()
            writes, self._writes = self._writes, []
        for write in writes:
            write.result()

    def _begin(self) -> None:
        self._id = pack_id(self._session, self._ordinal)
        self._number = self._index.number(self._id)
        head = encode_head(self._session)
        self._frames: list[bytes] = [head]
        self._size = len(head)
        self._hashes: list[bytes] = []
        self._raw: list[int] = []
        self._stored: list[int] = []

    def _append(self, hash: bytes, raw: int, frame: bytes) -> tuple[int, int, int]:
        place = (self._number, self._size, len(frame))
        self._frames.append(frame)
        self._hashes.append(hash)
        self._raw.append(raw)
        self._stored.append(len(frame))
        self._size += len(frame)
        self._index.add(hash, *place)
        self.new_bytes += raw
        self.new_chunks += 1
        if self._size >= PACK_BYTES:
            self._close()
        return place

    def _close(self) -> None:
        tail = encode_tail(hashes_of(self._hashes), self._raw, self._stored)
        data = b"".join([*self._frames, tail])
        self.stored_bytes += len(data)
        self._raise_early()
        self._slots.acquire()
        self._writes.append(self._core.io.submit(self._write, self._id, data))
        self._ordinal += 1
        self._begin()

    def _write(self, id: bytes, data: bytes) -> None:
        try:
            self._core.create(keys.pack(id), data)
        finally:
            self._slots.release()

    def _raise_early(self) -> None:
        """A full disk should stop an upload now, not after the last file."""
        for write in [write for write in self._writes if write.done()]:
            write.result()
            self._writes.remove(write)
