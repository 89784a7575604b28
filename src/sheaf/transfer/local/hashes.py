"""Hashes of local files: from the stat cache, or by reading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from msgspec import Struct

from sheaf.errors import Conflict, SheafError
from sheaf.fork import Threads
from sheaf.model.entries import Kind
from sheaf.transfer.local.group import groups_of
from sheaf.transfer.local.read import WHOLE, FileState, read_blocks, read_whole
from sheaf.transfer.local.scan import OnError, ScanBatch, Skipped
from sheaf.transfer.local.statcache import Hashes, StatCache
from sheaf.transfer.progress import Meter

__all__ = ["LocalHashes", "hash_file", "is_copy_of"]

_GROUP_FILES: Final = 128  # per task: enough to make the hand-over between threads cheap
_GROUP_BYTES: Final = 8 << 20

Mask = npt.NDArray[np.bool_]


class LocalHashes(Struct, frozen=True):
    """Hashes files below ``root`` (without a final slash) in the threads of ``pool``."""

    root: str
    cache: StatCache | None
    pool: Threads
    meter: Meter
    #: Called with files that can't be read, whose hashes are then zeros; without it they raise an error.
    on_error: OnError | None = None

    def of(self, batch: ScanBatch, wanted: Mask) -> Hashes:
        """Return the hashes of a batch, shape (n, 32).

        The hash of a symlink is that of its target, the hash of a wanted file that of its content.
        Other rows are zeros. Raises NotFound, Denied, Unavailable, and Conflict for a file that changes whenever it is
        read.
        """
        contents, known = np.zeros((len(batch), 32), np.uint8), np.zeros(len(batch), np.bool_)
        found = self.cache.find(batch) if self.cache is not None else None
        if found is not None:
            contents, known = found.contents, found.hit
        unread = wanted & (batch.kind == Kind.FILE) & ~known
        sound = known.copy()
        for rows, hashes, unchanged, skipped in self.pool.map(partial(self._read, batch), self._groups(batch, unread)):
            contents[rows] = hashes
            sound[rows] = unchanged
            for each in skipped:
                self.on_error(each)  # type: ignore[misc]  # nothing is skipped without it
        batch.add_target_hashes(contents)
        if self.cache is not None:
            self.cache.add(batch, contents, sound, found)
        return contents

    @staticmethod
    def _groups(batch: ScanBatch, mask: Mask) -> Iterator[list[int]]:
        rows = np.flatnonzero(mask)
        return groups_of(zip(rows.tolist(), batch.size[rows].tolist(), strict=True), _GROUP_FILES, _GROUP_BYTES)

    def _read(self, batch: ScanBatch, rows: list[int]) -> tuple[list[int], Hashes, list[bool], list[Skipped]]:
        """Hash some files; return rows, hashes (n, 32), True for each that is unchanged since the scan, and skipped ones."""
        digests, unchanged, skipped = [], [], []
        for row in rows:
            scanned = int(batch.size[row]), int(batch.mtime[row]), int(batch.ctime[row])
            try:
                digest, state = _hash(f"{self.root}/{batch.path(row)}", *scanned)
            except SheafError as error:
                if self.on_error is None:
                    raise
                skipped.append(Skipped(batch.path(row), error.message))
                digests.append(bytes(32))
                unchanged.append(False)
                continue
            digests.append(digest)
            unchanged.append(state is None or (state.size, *state.changed_at) == scanned)
        self.meter.add(files=len(rows), size=int(batch.size[rows].sum()))
        return rows, np.frombuffer(b"".join(digests), np.uint8).reshape(len(rows), 32), unchanged, skipped


def _hash(path: str, size: int, mtime: int, ctime: int) -> tuple[bytes, FileState | None]:
    if size <= WHOLE and (read := read_whole(path, size, mtime, ctime)) is not None:
        return blake3(read[0]).digest(), read[1]
    return _hash_big(path)


def hash_file(path: str) -> bytes:
    """Return the hash of a local file. Raises NotFound, Denied, Unavailable; Conflict if it changes while it is read."""
    return _hash_big(path)[0]


def is_copy_of(place: Path, size: int, content: str | None, target: str | None) -> bool:
    """True if a local path has this content (a hash), or is a symlink to ``target``; False if nothing is there."""
    if place.is_symlink():
        return target is not None and os.fspath(place.readlink()) == target
    if not place.is_file() or target is not None or place.stat().st_size != size:
        return False
    return hash_file(str(place)).hex() == content


def _hash_big(path: str) -> tuple[bytes, FileState]:
    for blocks in read_blocks(path):
        hasher = blake3()
        for block in blocks:
            hasher.update(block)
        if blocks.state is not None:
            return hasher.digest(), blocks.state
    raise Conflict(f"{path} changed while it was read")
