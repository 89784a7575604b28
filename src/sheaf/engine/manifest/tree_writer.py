"""Write manifests: cut rows into leaves, group leaves under inner nodes, and reuse the nodes of an older bundle.

Where a node ends depends only on the rows since the last end, so an edit changes the nodes around it, and the nodes
after these are equal to the old ones again. Such subtrees are reused unread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3
from msgspec.structs import replace

from sheaf.engine.core import Core
from sheaf.engine.core_limits import Limits
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree_splice import Patch, Piece, spliced
from sheaf.format import keys
from sheaf.format.node_v1 import (
    ROWS,
    children_hashes,
    cut_children,
    cut_rows,
    encode_children,
    encode_rows,
    leaf_packs,
    row_hashes,
    rows_prefix,
)
from sheaf.model.nodes import Pointer
from sheaf.model.paths import common_folder

__all__ = ["Change", "Piece", "TreeWriter", "leaves_of"]

Change = tuple[bytes, pa.RecordBatch | None]  #: order key, and the new row (None: removed)
_TOGETHER = 4096  # rows in which ends of leaves are searched at a time
_IN_FLIGHT = 16  # nodes written at a time: this bounds memory


class TreeWriter:
    """Writes nodes for one session. All nodes of a level are durable before the level above is created."""

    def __init__(self, core: Core, nodes: Nodes, session: str, reuse: Mapping[bytes, Pointer] | None = None) -> None:
        self._core = core
        self._limits = core.limits
        self._nodes = nodes
        self._session = session
        self._reuse = reuse or {}
        self._writes: deque[Future[None]] = deque()
        self._written: set[bytes] = set()
        # Inner nodes with several children that were written here: the number of their children need not be read.
        self._wide: set[bytes] = set()

    def build(self, pieces: Iterable[Piece]) -> Pointer:
        """Write a tree of these rows and subtrees, which are in order; return its root."""
        return self._tree(pieces)

    def edit(self, base: Pointer, changes: Sequence[Change]) -> Pointer:
        """Write the tree of ``base`` with some rows set or removed; return its root. ``changes``: in order, no key twice."""
        return self._tree(spliced(self._nodes, [base], [Patch.of_row(key, row) for key, row in changes]))

    def _tree(self, pieces: Iterable[Piece]) -> Pointer:
        """Write leaves, then levels above them until one node is left. A root with a single child is replaced by it."""
        items = list(self._leaves(pieces))
        self._settle()
        level = 1
        while len(items) > 1:
            items = list(self._level(level, items))
            self._settle()
            level += 1
        root = items[0]
        while root.level and root.id not in self._wide and len(below := self._nodes.children(root)) == 1:
            root = below[0]
        return root

    # -- leaves --------------------------------------------------------------------------------------------------------

    def _leaves(self, pieces: Iterable[Piece]) -> Iterator[Pointer]:
        cutter = _Cutter(self._limits)
        written = False
        for piece in _gathered(pieces):
            for item in self._unfold(piece, cutter):
                written = True
                yield item
        rest = cutter.rest()
        if rest is not None or not written:
            yield self._leaf(rest if rest is not None else pa.RecordBatch.from_pylist([], schema=ROWS))

    def _unfold(self, piece: Piece, cutter: _Cutter) -> Iterator[Pointer]:
        if not isinstance(piece, Pointer):
            yield from map(self._leaf, cutter.feed(piece))
        elif not cutter.pending:
            yield piece
        elif piece.level:
            for child in self._nodes.children(piece):
                yield from self._unfold(child, cutter)
        else:
            yield from map(self._leaf, cutter.feed(self._nodes.rows(piece)))

    def _leaf(self, batch: pa.RecordBatch) -> Pointer:
        """Write a leaf, or return the pointer to an equal one that may be reused."""
        prefix = rows_prefix(batch)
        logical, full = row_hashes(batch, prefix)
        first = (batch["folder"][0].as_py(), batch["name"][0].as_py()) if batch.num_rows else ("", "")
        packs = leaf_packs(batch)
        known = self._reuse.get(full)
        # `full` does not cover locations, so a leaf with the same hash may need other packs.
        if known is not None and known.level == 0 and known.packs == packs and self._nodes.is_readable(known):
            return replace(known, prefix=prefix, folder=first[0], name=first[1])
        size = int(batch["size"].to_numpy().sum())
        data = encode_rows(self._session, batch, prefix)
        return Pointer(
            self._put(data),
            len(data),
            0,
            prefix,
            batch.num_rows,
            size,
            logical,
            full,
            first[0],
            first[1],
            packs,
        )

    # -- inner nodes ---------------------------------------------------------------------------------------------------

    def _level(self, level: int, items: Iterable[Pointer]) -> Iterator[Pointer]:
        """Group nodes under inner nodes of a level. A reused subtree of this level is kept, or opened inside a group."""
        least, most = self._limits.min_children, self._limits.max_children
        group: list[Pointer] = []
        queue = deque(items)
        while queue:
            item = queue.popleft()
            if item.level >= level:
                if not group:
                    yield item
                else:
                    queue.extendleft(reversed(self._nodes.children(item)))
                continue
            group.append(item)
            if len(group) == most or (len(group) >= least and cut_children(item)):
                yield self._inner(level, group)
                group = []
        if group:
            yield self._inner(level, group)

    def _inner(self, level: int, group: list[Pointer]) -> Pointer:
        """Write an inner node, or return the pointer to an equal one that may be reused."""
        prefix = group[0].prefix
        for child in group[1:]:
            prefix = common_folder(prefix, child.prefix)
        logical, full = children_hashes(level, group, prefix)
        first = group[0].folder, group[0].name
        known = self._reuse.get(full)
        if known is not None and known.level == level and self._has_children(known, group):
            return replace(known, prefix=prefix, folder=first[0], name=first[1])
        rows, size = sum(child.rows for child in group), sum(child.size for child in group)
        if level > 1:
            group = [replace(child, packs=()) for child in group]
        data = encode_children(self._session, level, group, prefix)
        id = self._put(data)
        if len(group) > 1:
            self._wide.add(id)
        return Pointer(id, len(data), level, prefix, rows, size, logical, full, *first)

    def _has_children(self, known: Pointer, group: Sequence[Pointer]) -> bool:
        """True if a known inner node has these very children: an equal one may have another child that is damaged."""
        if not self._written.isdisjoint(child.id for child in group):
            return False
        return [child.id for child in self._nodes.children(known)] == [child.id for child in group]

    # -- writing -------------------------------------------------------------------------------------------------------

    def _put(self, data: bytes) -> bytes:
        id = blake3(data).digest()
        if id in self._written:
            return id
        self._written.add(id)
        while len(self._writes) >= _IN_FLIGHT:
            self._writes.popleft().result()
        self._writes.append(self._core.io.submit(self._core.create, keys.node(id), data))
        return id

    def _settle(self) -> None:
        while self._writes:
            self._writes.popleft().result()


def _gathered(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield pieces with neighbouring rows joined: an edit yields single rows, and the search for ends costs per batch."""
    rows: list[pa.RecordBatch] = []
    count = 0
    for piece in pieces:
        if not isinstance(piece, Pointer) and piece.num_rows:
            rows.append(piece)
            count += piece.num_rows
        if rows and (isinstance(piece, Pointer) or count >= _TOGETHER):
            yield _joined(rows)
            rows, count = [], 0
        if isinstance(piece, Pointer):
            yield piece
    if rows:
        yield _joined(rows)


class _Cutter:
    """Cuts rows into leaves."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._batches: list[pa.RecordBatch] = []
        self.pending = 0

    def feed(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Add rows; yield the leaves that are complete now."""
        if not batch.num_rows:
            return
        self._batches.append(batch)
        self.pending += batch.num_rows
        limits = self._limits
        if self.pending < limits.min_rows and sum(b.nbytes for b in self._batches) < limits.max_weight:
            return
        whole = _joined(self._batches)
        end = 0
        for start, end in _cuts(*cut_rows(whole), limits):
            yield whole.slice(start, end - start)
        self._batches = [whole.slice(end)]
        self.pending = whole.num_rows - end

    def rest(self) -> pa.RecordBatch | None:
        """Return the remaining rows as the last leaf, None if there are none."""
        return _joined(self._batches) if self.pending else None


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _cuts(may_end: npt.NDArray[np.bool_], weight: npt.NDArray[np.int64], limits: Limits) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each complete leaf: at a row that may end one from 1,024 rows on; always at a limit."""
    ends = np.flatnonzero(may_end) + 1
    total = np.cumsum(weight)
    start = 0
    while True:
        before = int(total[start - 1]) if start else 0
        heavy = int(np.searchsorted(total, before + limits.max_weight)) + 1
        at = int(np.searchsorted(ends, start + limits.min_rows))
        natural = int(ends[at]) if at < len(ends) else len(total) + 1
        end = min(natural, start + limits.max_rows, heavy)
        if end > len(total):
            return
        yield start, end
        start = end


def leaves_of(nodes: Nodes, root: Pointer) -> Iterator[Pointer]:
    """Yield all nodes of a tree, including the root, with their packs, to be reused by ``full``. Leaves are not read."""
    if not root.level:
        # A root's pointer doesn't list its packs, but the parent that reuses it must, or gc would delete them.
        yield replace(root, packs=leaf_packs(nodes.rows(root)))
        return
    yield root
    for child in nodes.children(root):
        if child.level:
            yield from leaves_of(nodes, child)
        else:
            yield child
