"""Compare two runs of leaves by columns, for leaves that are not cut at the same rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.manifest.comparison.diff_entries import Difference, diff_entries
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import entries
from sheaf.format.node_v1 import ROWS, hashes_array, kinds
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key

__all__ = ["merged"]

_TOLD = 4096  # differing rows that are collected: converting many into entries at a time costs less
_NOTHING = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in ROWS], schema=ROWS)


def merged(left: Iterable[Pointer], right: Iterable[Pointer], old: Nodes, new: Nodes) -> Iterator[Difference]:
    """Yield the differences between two runs of leaves, read once, a few at a time."""
    before, after = _Side(old.leaves(left)), _Side(new.leaves(right))
    apart: list[tuple[pa.RecordBatch, pa.RecordBatch]] = []
    while before.fill() | after.fill():
        end = min(side.last for side in (before, after) if side.rows is not None)
        apart.append(_unlike(before.read_until(end), after.read_until(end)))
        if sum(batch.num_rows for pair in apart for batch in pair) >= _TOLD:
            yield from _differences(apart)
            apart = []
    yield from _differences(apart)


def _differences(apart: list[tuple[pa.RecordBatch, pa.RecordBatch]]) -> Iterator[Difference]:
    """Yield differing rows as differences."""
    if apart:
        lefts, rights = (pa.Table.from_batches(side).combine_chunks() for side in zip(*apart, strict=True))
        yield from diff_entries(*(chain.from_iterable(map(entries, side.to_batches())) for side in (lefts, rights)))


class _Side:
    """The rows of one side that were not compared yet. ``last``: the key of the last row in memory."""

    def __init__(self, leaves: Iterator[pa.RecordBatch]) -> None:
        self._leaves = leaves
        self.rows: pa.RecordBatch | None = None
        self.last = b""

    def fill(self) -> bool:
        """Fetch rows if there are none in memory. Return False at the end."""
        while self.rows is None and (leaf := next(self._leaves, None)) is not None:
            if leaf.num_rows:
                self.rows, self.last = leaf, _key(leaf, leaf.num_rows - 1)
        return self.rows is not None

    def read_until(self, end: bytes) -> pa.RecordBatch:
        """Return the rows up to a key."""
        rows = self.rows
        if rows is None:
            return _NOTHING
        if self.last <= end:
            self.rows = None
            return rows
        count = bisect_right(range(rows.num_rows), end, key=lambda i: _key(rows, i))
        self.rows = rows.slice(count)
        return rows.slice(0, count)


def _key(batch: pa.RecordBatch, row: int) -> bytes:
    return order_key(batch["folder"][row].as_py(), batch["name"][row].as_py())


def _unlike(old: pa.RecordBatch, new: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Return the rows of each side that the other lacks or has differently. Compares columns, since most rows are equal."""
    if old["folder"].equals(new["folder"]) and old["name"].equals(new["name"]):
        rows = np.flatnonzero(_differ(old, new))
        return (old.take(pa.array(rows)), new.take(pa.array(rows))) if len(rows) else (_NOTHING, _NOTHING)
    at = pc.index_in(_paths(old), value_set=_paths(new)).fill_null(-1).to_numpy(zero_copy_only=False)
    both = np.flatnonzero(at >= 0)
    alike = ~_differ(old.take(pa.array(both)), new.take(pa.array(at[both])))
    gone, come = np.ones(old.num_rows, np.bool_), np.ones(new.num_rows, np.bool_)
    gone[both[alike]] = False
    come[at[both[alike]]] = False
    return old.filter(pa.array(gone)), new.filter(pa.array(come))


def _differ(old: pa.RecordBatch, new: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return a mask of rows, for two batches with the same paths, that differ in what a version covers."""
    content = hashes_array(old["content"]).view("<u8") != hashes_array(new["content"]).view("<u8")
    found: npt.NDArray[np.bool_] = content.any(axis=1) | (kinds(old) != kinds(new))
    return found


def _paths(batch: pa.RecordBatch) -> pa.Array:
    return pc.binary_join_element_wise(batch["folder"], batch["name"], "/")
