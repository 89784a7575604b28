"""Divide a scan at the leaves of an older bundle, to recognise leaves in which nothing has changed.

Such a leaf is compared with the scan column by column, as bytes, and the new bundle refers to it again: no row of it is
decoded, hashed or written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Corrupt
from sheaf.format.node_columns_v1 import NodeColumns, decode_columns
from sheaf.format.node_v1 import decode_rows
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, relative
from sheaf.transfer.local.align import Side
from sheaf.transfer.local.scan import ScanBatch

__all__ = ["BaseLeaf", "ScanPart", "parts"]

_AHEAD: Final = 4  # leaves that are fetched while one is compared
_HASH: Final = 32

Hashes = npt.NDArray[np.uint8]  #: shape (n, 32)


class BaseLeaf:
    """A leaf of an older bundle. ``end``: the order key of the first row after it, None for the last leaf."""

    def __init__(self, nodes: Nodes, pointer: Pointer, after: Pointer | None) -> None:
        self.pointer = pointer
        self.end = None if after is None else order_key(after.folder, after.name)
        self._data: Future[bytes] = nodes.io.submit(nodes.data, pointer)
        self._rows: pa.RecordBatch | None = None

    def contents(self, batch: ScanBatch) -> Hashes | None:
        """Return the contents of all rows if they are otherwise equal to those of a scan. None, too, if the leaf is damaged."""
        try:
            columns = decode_columns(self._data.result(), 0, f"node {self.pointer.id.hex()}")
            if columns is None or not _has_rows(columns, self.pointer.prefix, batch):
                return None
            raw = np.frombuffer(columns.buffers("content")[1], np.uint8, _HASH * columns.rows)
        except (Corrupt, ValueError):
            # numpy refuses columns that are too short.
            return None
        return raw.reshape(-1, _HASH)

    def side(self, batch: ScanBatch) -> Side:
        """Return the rows beside those of a scan; none if the leaf is damaged, since the older bundle is a help only."""
        if self._rows is None:
            try:
                self._rows = decode_rows(self._data.result(), self.pointer)
            except Corrupt:
                return Side.empty(len(batch))
        return Side.of(self._rows, batch)


class ScanPart(Struct, frozen=True):
    """Rows of a scan, and the leaf that has all rows of the older bundle with the same paths.

    ``is_whole``: these are all rows of the scan from the end of the leaf before to the end of this one.
    """

    batch: ScanBatch
    leaf: BaseLeaf | None = None
    is_whole: bool = False

    def old_contents(self) -> Hashes | None:
        """Return the contents of the leaf's rows, shape (n, 32), if the rows are otherwise those of the scan."""
        return self.leaf.contents(self.batch) if self.leaf is not None and self.is_whole else None

    def side(self) -> Side:
        """Return the rows of the older bundle beside those of the scan."""
        return self.leaf.side(self.batch) if self.leaf is not None else Side.empty(len(self.batch))


def parts(scanned: Iterator[ScanBatch], base: Tree | None, most: int) -> Iterator[ScanPart]:
    """Yield the rows of a scan in order, divided at leaves of an older bundle; other parts have at most ``most`` rows."""
    rows = _Rows(scanned)
    for leaf in _leaves(base):
        count = leaf.pointer.rows
        rows.fill(count + 1)
        if count and rows.before(leaf.end, count) == count and (leaf.end is not None or rows.is_over):
            yield ScanPart(rows.take(count), leaf, is_whole=True)
            continue
        while (found := rows.before(leaf.end, count)) or not rows.is_over:
            if found:
                yield ScanPart(rows.take(min(found, most)), leaf)
            elif rows.count:
                break
            rows.fill(1)
    while rows.count or not rows.is_over:
        if rows.count:
            yield ScanPart(rows.take(min(rows.count, most)))
        rows.fill(1)


class _Rows:
    """Rows of a scan that were read and not yet divided. ``is_over``: the scan has no more rows than these."""

    def __init__(self, scanned: Iterator[ScanBatch]) -> None:
        self._scanned = scanned
        self._held: ScanBatch | None = None
        self.is_over = False

    @property
    def count(self) -> int:
        return 0 if self._held is None else len(self._held)

    def fill(self, count: int) -> None:
        """Read on until so many rows are here."""
        while self.count < count and not self.is_over:
            batch = next(self._scanned, None)
            if batch is None:
                self.is_over = True
            else:
                self._held = batch if not self.count or self._held is None else self._held.joined(batch)

    def before(self, end: bytes | None, guess: int) -> int:
        """Return the number of rows here before an order key. ``guess``: the likely number."""
        if end is None or not self.count:
            return self.count
        if guess < self.count and self._key(guess) == end:
            return guess
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._key(middle) < end else (low, middle)
        return low

    def take(self, count: int) -> ScanBatch:
        """Remove and return the first rows."""
        assert self._held is not None
        taken, self._held = self._held.slice(0, count), self._held.slice(count, self.count)
        return taken

    def _key(self, row: int) -> bytes:
        assert self._held is not None
        return order_key(self._held.folder[row], self._held.name[row])


def _leaves(base: Tree | None) -> Iterator[BaseLeaf]:
    """Yield the leaves of a tree up to the first inner node that can't be read; a few are fetched ahead."""
    if base is None:
        return
    nodes, ahead = base.nodes, deque[BaseLeaf]()
    pointers = _pointers(nodes, base.root)
    following = pairwise(_and_none(pointers))
    while True:
        ahead.extend(BaseLeaf(nodes, pointer, after) for pointer, after in islice(following, _AHEAD + 1 - len(ahead)))  # type: ignore[arg-type]
        if not ahead:
            return
        yield ahead.popleft()


def _pointers(nodes: Nodes, pointer: Pointer) -> Iterator[Pointer]:
    try:
        children = nodes.children(pointer) if pointer.level else []
    except Corrupt:
        return
    if not pointer.level:
        yield pointer
    for child in children:
        yield from _pointers(nodes, child)


def _and_none(pointers: Iterator[Pointer]) -> Iterator[Pointer | None]:
    yield from pointers
    yield None


def _has_rows(node: NodeColumns, prefix: str, batch: ScanBatch) -> bool:
    """True if a node has exactly these rows, except for their contents, and no attributes."""
    if node.rows != len(batch):
        return False
    numbers = (("mtime", batch.mtime, "<i8"), ("size", batch.size, "<i8"), ("mode", batch.mode, "<u2"))
    for name, column, dtype in (*numbers, ("kind", batch.kind, "u1")):
        if not np.array_equal(np.frombuffer(node.buffers(name)[1], dtype, node.rows), column):
            return False
    return (
        _is_name_column(node.buffers("name"), batch.name)
        and _is_folder_column(node.buffers("folder"), prefix, batch)
        and _is_target_column(node.buffers("target"), batch)
        and not _present(node.buffers("attrs")[0], node.rows).any()
    )


def _is_name_column(buffers: list[bytes | memoryview], names: list[str]) -> bool:
    values = "".join(names).encode()
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    if len(values) != lengths.sum():
        lengths = np.fromiter((len(name.encode()) for name in names), np.int64, len(names))
    return _is_texts(buffers, lengths, values)


def _is_folder_column(buffers: list[bytes | memoryview], prefix: str, batch: ScanBatch) -> bool:
    runs = [(relative(folder, prefix).encode(), end - start) for folder, start, end in batch.runs()]
    lengths = np.repeat([len(folder) for folder, _ in runs], [count for _, count in runs])
    return _is_texts(buffers, lengths, b"".join(folder * count for folder, count in runs))


def _is_target_column(buffers: list[bytes | memoryview], batch: ScanBatch) -> bool:
    is_link = batch.kind == Kind.SYMLINK
    if not np.array_equal(_present(buffers[0], len(batch)), is_link):
        return False
    targets = [(target or "").encode() for target in batch.target] if is_link.any() else []
    lengths = np.fromiter(map(len, targets), np.int64, len(batch)) if targets else np.zeros(len(batch), np.int64)
    return _is_texts(buffers, lengths, b"".join(targets))


def _is_texts(buffers: list[bytes | memoryview], lengths: npt.NDArray[np.int64], values: bytes) -> bool:
    """True if a column has texts of these lengths in bytes, which are together these bytes."""
    ends = np.frombuffer(buffers[1], "<i4", len(lengths) + 1)
    is_aligned = not ends[0] and np.array_equal(np.cumsum(lengths), ends[1:])
    return is_aligned and bytes(buffers[2][: len(values)]) == values


def _present(valid: bytes | memoryview, count: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows that have a value, from a column's bits; without bits all have one."""
    if not valid:
        return np.ones(count, np.bool_)
    return np.unpackbits(np.frombuffer(valid, np.uint8), count=count, bitorder="little").astype(np.bool_)
