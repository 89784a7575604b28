"""Collect in bounded memory what manifests say about packs: which chunk is where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from sheaf.format.columns import U32, Array, Hashes, leading

__all__ = ["WANTED", "ChunkRefs", "Flush"]

#: A chunk that a bundle needs: its location in its pack, the first bytes of its hash, and its length (-1: unknown).
WANTED = np.dtype([("offset", U32), ("stored", U32), ("lead", "u8"), ("size", "i8")])
_ROW = np.dtype([("pack", U32), *((name, WANTED[name]) for name in WANTED.names or ())])
_HELD = 1 << 21  # rows in memory before duplicates are removed; a row has 28 bytes

Flush = Callable[[Iterable[tuple[bytes, Array]]], None]  #: called with packs and their needed chunks (rows of WANTED)


class ChunkRefs:
    """Collects locations of chunks, and passes them to ``flush`` whenever there are too many.

    They are sorted by pack and offset then, and have no duplicates.
    """

    def __init__(self, flush: Flush, held: int = _HELD) -> None:
        self._flush = flush
        self._limit = held
        self._number: dict[bytes, int] = {}
        self._parts: list[Array] = []
        self._held = 0

    def add(self, packs: pa.Array, offsets: Array, stored: Array, hashes: Hashes, sizes: Array) -> None:
        """Add chunks of many packs, given as columns of a manifest."""
        encoded = packs.dictionary_encode()
        numbers = np.array([self._numbered(pack) for pack in encoded.dictionary.to_pylist()], U32)
        self._add_rows(numbers[encoded.indices.to_numpy()], offsets, stored, leading(hashes), sizes)

    def add_wanted(self, pack: bytes, wanted: Array) -> None:
        """Add chunks of one pack, in the form in which ``flush`` gets them."""
        numbers = np.full(len(wanted), self._numbered(pack), U32)
        self._add_rows(numbers, *(wanted[name] for name in WANTED.names or ()))

    def finish(self) -> bool:
        """Pass on the remaining chunks. Return True if there were any."""
        rows = self._sorted()
        self._forget()
        if len(rows):
            self._hand_over(rows)
        return bool(len(rows))

    def _numbered(self, pack: bytes) -> int:
        return self._number.setdefault(pack, len(self._number))

    def _add_rows(self, packs: Array, *columns: Array) -> None:
        """Add rows. If there are too many, remove duplicates, and pass all of them on if that is not enough."""
        rows = np.empty(len(packs), _ROW)
        for name, column in zip(_ROW.names or (), (packs, *columns), strict=True):
            rows[name] = column
        self._parts.append(rows)
        self._held += len(rows)
        if self._held < self._limit:
            return
        rows = self._sorted()
        if len(rows) < self._limit // 2:
            self._parts, self._held = [rows], len(rows)
        else:
            self.finish()

    def _sorted(self) -> Array:
        """Return all rows sorted by pack and offset, without duplicates."""
        rows = np.concatenate([np.empty(0, _ROW), *self._parts])
        rows = rows[np.lexsort((rows["offset"], rows["pack"]))]
        other = np.ones(len(rows), np.bool_)
        for name in _ROW.names or ():
            same = rows[name][1:] == rows[name][:-1]
            other[1:] = ~same if name == "pack" else other[1:] | ~same
        return rows[other]

    def _forget(self) -> None:
        self._parts, self._held = [], 0

    def _hand_over(self, rows: Array) -> None:
        packs = list(self._number)
        self._number = {}
        self._flush(_grouped(packs, rows))


def _grouped(packs: list[bytes], rows: Array) -> Iterator[tuple[bytes, Array]]:
    ends = np.flatnonzero(np.diff(rows["pack"].astype(np.int64))) + 1
    for part in np.split(rows, ends):
        wanted = np.empty(len(part), WANTED)
        for name in WANTED.names or ():
            wanted[name] = part[name]
        yield packs[int(part["pack"][0])], wanted
