"""Blocks of files on this machine's disk, shared by all mounts of a user, up to a bound. Safe to delete at any time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from threading import Lock
from typing import Final

from blake3 import blake3

from sheaf.engine.cache import FolderCache
from sheaf.mount.cache import Key
from sheaf.storage.port import Buffer

__all__ = ["DiskCache"]

_HASH: Final = 32
_OFTEN: Final = 16  # the folder is looked through when a 16th of its room was written


class DiskCache:
    """Each block a file that begins with the hash of the rest: what is read is checked. Safe from many processes."""

    def __init__(self, root: Path, room: int) -> None:
        self._root = root
        self._room = room
        self._files = FolderCache(root)
        self._lock = Lock()
        self._written = room  # so that the first write looks through what others left

    def get(self, key: Key) -> Buffer | None:
        """The bytes, verified, or None."""
        name = _name(key)
        data = self._files.get(name)
        if data is None:
            return None
        content = memoryview(data)[_HASH:]
        if blake3(content).digest() != data[:_HASH]:
            self._files.drop(name)
            return None
        with contextlib.suppress(OSError):
            os.utime(self._root / name)
        return content

    def put(self, key: Key, data: Buffer) -> None:
        """Keep the bytes if that is possible."""
        self._files.put(_name(key), blake3(data).digest() + data)
        with self._lock:
            self._written += len(data)
            if self._written * _OFTEN < self._room:
                return
            self._written = 0
        self.prune()

    def prune(self) -> None:
        """Delete what was used longest ago, until a tenth of the room is free."""
        found: list[tuple[float, int, Path]] = []
        for folder, _, names in os.walk(self._root):
            for name in names:
                place = Path(folder, name)
                with contextlib.suppress(OSError):
                    status = place.stat()
                    found.append((status.st_mtime, status.st_size, place))
        total = sum(size for _, size, _ in found)
        if total <= self._room:
            return
        for _, size, place in sorted(found):
            if total <= self._room * 9 // 10:
                return
            with contextlib.suppress(OSError):
                place.unlink()
            total -= size


def _name(key: Key) -> str:
    content, block = key
    return f"{content[:1].hex()}/{content.hex()}" + (f"-{block}" if block >= 0 else "")
