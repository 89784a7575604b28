"""A bounded memory cache of verified bytes, shared by all bundles of a mount; equal contents are cached once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sheaf.engine.block_cache import Key
from sheaf.fork import Lock
from sheaf.storage.port import Buffer

__all__ = ["WHOLE", "ByteCache", "Key"]

#: The block number of a file that is kept in one piece.
WHOLE: Final = -1


class ByteCache:
    """The most recently used blocks. Thread-safe."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._lock = Lock()
        self._kept: OrderedDict[Key, Buffer] = OrderedDict()
        self._size = 0

    def get(self, key: Key) -> Buffer | None:
        """Return the cached bytes of a key, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def put(self, key: Key, data: Buffer) -> None:
        """Add verified bytes, and evict the oldest blocks if there is no room."""
        with self._lock:
            before = self._kept.pop(key, None)
            self._size += len(data) - (len(before) if before is not None else 0)
            self._kept[key] = data
            while self._size > self.room and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
