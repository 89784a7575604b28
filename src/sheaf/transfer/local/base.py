"""Merge-join the rows of a scan with the rows of an older bundle: both are in order, so one pass is enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Corrupt
from sheaf.format.node_v1 import ROWS
from sheaf.model.paths import order_key
from sheaf.transfer.local.scan import ScanBatch

__all__ = ["Basis"]


class Basis:
    """Walks a tree once, leaf by leaf, along the scan. Keeps the leaves that overlap the current batch in memory."""

    def __init__(self, tree: Tree | None) -> None:
        self._leaves: Iterator[pa.RecordBatch] = tree.batches() if tree else iter(())
        self._held: list[pa.RecordBatch] = []
        self._done = tree is None

    def match(self, batch: ScanBatch) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Return rows of the older bundle, and for each scanned row the index of the one with the same path (-1: none)."""
        first, last = (order_key(batch.folder[i], batch.name[i]) for i in (0, -1))
        self._held = [leaf for leaf in self._held if _last_key(leaf) >= first]
        while not self._done and (not self._held or _last_key(self._held[-1]) < last):
            leaf = self._next()
            if leaf is None:
                self._done = True
            elif _last_key(leaf) >= first:
                self._held.append(leaf)
        rows = pa.Table.from_batches(self._held, ROWS)
        if not rows.num_rows:
            return rows, np.full(len(batch), -1, np.int64)
        wanted = _paths(pa.array(batch.folder, pa.string()), pa.array(batch.name, pa.string()))
        at = pc.index_in(wanted, value_set=_paths(rows["folder"], rows["name"]))
        return rows, at.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)

    def _next(self) -> pa.RecordBatch | None:
        try:
            return next(self._leaves, None)
        except Corrupt:
            # The older bundle only saves work: files whose rows can't be read are read themselves.
            return None


def _last_key(leaf: pa.RecordBatch) -> bytes:
    return order_key(leaf["folder"][-1].as_py(), leaf["name"][-1].as_py())


def _paths(folder: pa.Array, name: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(folder, name, "/")
