"""Merge-join a scan of a folder with one or more trees: all are in the same order, so one pass is enough."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from sheaf.engine.manifest.tree import Tree
from sheaf.format.node_v1 import ROWS
from sheaf.model.paths import order_key
from sheaf.transfer.local.scan import ScanBatch

__all__ = ["Cursor", "Side", "Window", "windows"]

_EMPTY = pa.RecordBatch.from_pylist([], ROWS)


class Side(Struct, frozen=True):
    """A tree's rows in a window. ``start``: the number of its rows before the window.

    ``at``: for each row of the scan the index in ``rows`` of the same path, or -1.
    """

    rows: pa.RecordBatch
    start: int
    at: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, count: int) -> Side:
        """Return the side of an empty tree, for ``count`` rows of a scan."""
        return cls(_EMPTY, 0, np.full(count, -1, np.int64))

    @classmethod
    def of(cls, rows: pa.RecordBatch, batch: ScanBatch, start: int = 0) -> Side:
        """Return the side with these rows for a batch of a scan."""
        folders, names = pa.array(batch.folder, pa.string()), pa.array(batch.name, pa.string())
        # Where only contents or times changed, paths need not be searched.
        if rows.num_rows == len(batch) and names.equals(rows["name"]) and folders.equals(rows["folder"]):
            return cls(rows, start, np.arange(len(batch)))
        at = pc.index_in(_paths(folders, names), value_set=_paths(rows["folder"], rows["name"])).fill_null(-1)
        return cls(rows, start, at.to_numpy(zero_copy_only=False).astype(np.int64))

    @property
    def alone(self) -> npt.NDArray[np.bool_]:
        """The rows that are missing in the scan."""
        mask = np.ones(self.rows.num_rows, np.bool_)
        mask[self.at[self.at >= 0]] = False
        return mask


class Window(Struct, frozen=True):
    """The rows of the folder and the trees in one range of paths. ``local``: None after the folder's last path."""

    local: ScanBatch | None
    sides: tuple[Side, ...]


def windows(scanned: Iterator[ScanBatch], trees: Sequence[Tree]) -> Iterator[Window]:
    """Yield consecutive windows that together cover the folder and the trees."""
    cursors = [Cursor(tree.batches()) for tree in trees]
    for batch in scanned:
        end = order_key(batch.folder[-1], batch.name[-1])
        yield Window(batch, tuple(cursor.side(end, batch) for cursor in cursors))
    while not all(cursor.is_done() for cursor in cursors):
        yield Window(None, tuple(cursor.next_leaf() for cursor in cursors))


class Cursor(Struct):
    """Walks a tree's leaves. ``held``: rows that were read and not returned yet; ``taken``: number of returned rows."""

    leaves: Iterator[pa.RecordBatch]
    held: pa.RecordBatch = field(default_factory=lambda: _EMPTY)
    taken: int = 0

    def is_done(self) -> bool:
        """True if no row is left."""
        while not self.held.num_rows and (leaf := next(self.leaves, None)) is not None:
            self.held = leaf
        return not self.held.num_rows

    def side(self, end: bytes, batch: ScanBatch) -> Side:
        """Return the rows up to a key, for a batch that ends there."""
        start, parts = self.taken, []
        while not self.is_done() and self._key(0) <= end:
            parts.append(self._take(bisect_right(range(self.held.num_rows), end, key=self._key)))
        rows = pa.Table.from_batches(parts, ROWS).combine_chunks().to_batches()[0] if parts else _EMPTY
        return Side.of(rows, batch, start)

    def next_leaf(self) -> Side:
        """Return the remaining rows of the current leaf."""
        start = self.taken
        rows = _EMPTY if self.is_done() else self._take(self.held.num_rows)
        return Side(rows, start, np.zeros(0, np.int64))

    def _key(self, row: int) -> bytes:
        """The order key of a row in hand; -1 is the last one."""
        return order_key(self.held["folder"][row].as_py(), self.held["name"][row].as_py())

    def _take(self, count: int) -> pa.RecordBatch:
        rows, self.held = self.held.slice(0, count), self.held.slice(count)
        self.taken += count
        return rows


def _paths(folder: pa.Array, name: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(folder, name, "/")
