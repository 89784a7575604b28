"""What manifests say about packs, gathered in bounded memory: which chunk is where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from sheaf.format.columns import U32, Array, Hashes, leading

__all__ = ["WANTED", "Flush", "Places"]

#: A chunk that somebody needs: where it is in its pack, how its hash begins, and how long it is (-1: not said).
WANTED = np.dtype([("offset", U32), ("stored", U32), ("lead", "u8"), ("size", "i8")])
_ROW = np.dtype([("pack", U32), *((name, WANTED[name]) for name in WANTED.names or ())])
_HELD = 1 << 21  # rows held before doubles are thrown out; a row has 28 bytes

Flush = Callable[[Iterable[tuple[bytes, Array]]], None]  #: takes packs and what is needed of each (rows of WANTED)


class Places:
    """Takes places of chunks; hands them, sorted by pack and each once, to ``flush`` whenever there are too many."""

    def __init__(self, flush: Flush, held: int = _HELD) -> None:
        self._flush = flush
        self._limit = held
        self._number: dict[bytes, int] = {}
        self._parts: list[Array] = []
        self._held = 0

    def add(self, packs: pa.Array, offsets: Array, stored: Array, hashes: Hashes, sizes: Array) -> None:
        """Chunks of many packs: columns of a manifest."""
        encoded = packs.dictionary_encode()
        numbers = np.array([self._numbered(pack) for pack in encoded.dictionary.to_pylist()], U32)
        self._take(numbers[encoded.indices.to_numpy()], offsets, stored, leading(hashes), sizes)

    def add_wanted(self, pack: bytes, wanted: Array) -> None:
        """Chunks of one pack, as ``flush`` got them from another one."""
        numbers = np.full(len(wanted), self._numbered(pack), U32)
        self._take(numbers, *(wanted[name] for name in WANTED.names or ()))

    def finish(self) -> bool:
        """Hand over what is left; whether there was anything."""
        rows = self._sorted()
        self._forget()
        if len(rows):
            self._hand_over(rows)
        return bool(len(rows))

    def _numbered(self, pack: bytes) -> int:
        return self._number.setdefault(pack, len(self._number))

    def _take(self, packs: Array, *columns: Array) -> None:
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
        """All rows by pack and offset, each once."""
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
