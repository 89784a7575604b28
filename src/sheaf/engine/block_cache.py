"""A disk cache of blocks of files, shared by all mounts of a user, of bounded size. Safe to delete at any time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from blake3 import blake3

from sheaf.engine.object_cache import FolderCache, remove_unfinished
from sheaf.storage.port import Buffer

__all__ = ["BlockCache", "Key", "blocks_folder", "forget_copies"]

_HASH: Final = 32

Key = tuple[bytes, int]  #: content hash, number of the block


def blocks_folder(cache: Path, store_id: str) -> Path:
    """Return the folder in the user's cache for blocks of a store's files."""
    return cache / "blocks" / store_id


class BlockCache:
    """A cache with one file per block, which begins with the hash of the rest, so that reads are verified.

    Safe to use from many processes.
    """

    def __init__(self, root: Path, room: int | None = None) -> None:
        self._root = root
        self._files = FolderCache(root, room)

    def get(self, key: Key) -> Buffer | None:
        """Return the verified bytes of a block, or None."""
        name = _name(key)
        data = self._files.get(name)
        if data is None:
            return None
        content = memoryview(data)[_HASH:]
        if blake3(content).digest() != data[:_HASH]:
            self._files.drop(name)
            return None
        return content

    def put(self, key: Key, data: Buffer) -> None:
        """Store the bytes of a block if possible."""
        self._files.put(_name(key), blake3(data).digest() + data)

    def forget(self, content: bytes) -> None:
        """Delete every block of a content."""
        whole = _name((content, -1))
        for path in (self._root / whole).parent.glob(f"{content.hex()}*"):
            path.unlink(missing_ok=True)

    def forget_all(self, contents: frozenset[bytes], mark: str) -> None:
        """Delete every block of these contents, unless this was done since the same ``mark`` was set."""
        if self._files.is_marked(mark):
            return
        for content in contents:
            self.forget(content)
        self._files.mark(mark)


def forget_copies(cache: Path, store_id: str, contents: Iterable[bytes]) -> None:
    """Delete a user's blocks of these contents, and unfinished files of killed processes in any copy of the store."""
    blocks = BlockCache(blocks_folder(cache, store_id))
    for content in contents:
        blocks.forget(content)
    for folder in (blocks_folder(cache, store_id), *(cache / "objects").glob(f"{store_id}-*")):
        remove_unfinished(folder)


def _name(key: Key) -> str:
    content, block = key
    return f"{content[:1].hex()}/{content.hex()}" + (f"-{block}" if block >= 0 else "")
