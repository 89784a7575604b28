"""Replace ranges of a tree's rows by other pieces, and move subtrees: nodes without a change are passed on unread.

The rows below a folder are one range of keys. Whole nodes of that range are moved by another prefix in their pointers,
since all folders in a node are relative to it. Only nodes that also have other rows are read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.rows import moved_rows
from sheaf.engine.manifest.tree import between
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.model.paths import check_path, is_below, join, key_range, order_key, relative

__all__ = ["FileCounts", "Patch", "Piece", "moved_subtree", "nodes_below", "spliced", "subtree"]

Piece: TypeAlias = Any  #: a Pointer to a reused subtree, or a pa.RecordBatch of rows to cut


class Patch(Struct, frozen=True):
    """Rows from key ``low`` on and before ``high`` are replaced by ``pieces``, which are in order and in that range."""

    low: bytes
    high: bytes
    pieces: Callable[[], Iterable[Piece]]

    @staticmethod
    def of_row(key: bytes, row: pa.RecordBatch | None) -> Patch:
        """Return the patch that sets one row, or removes it (None)."""
        # No key contains a zero byte after its last two, so no other key lies between these bounds.
        return Patch(key, key + b"\0", lambda: () if row is None else (row,))


def spliced(nodes: Nodes, pieces: Iterable[Piece], patches: Sequence[Patch]) -> Iterator[Piece]:
    """Yield pieces with patches applied. Both are in order, and patches don't overlap."""
    splicer = _Splicer(nodes, patches)
    waiting: Piece | None = None
    for piece in pieces:
        if waiting is not None:
            yield from splicer.piece(waiting, _first_key(piece))
        waiting = piece
    if waiting is not None:
        yield from splicer.piece(waiting, None)
    yield from splicer.rest()


class _Splicer:
    """Applies patches to pieces that come in order; ``_at`` is the first patch whose range is not over."""

    def __init__(self, nodes: Nodes, patches: Sequence[Patch]) -> None:
        self._nodes = nodes
        self._patches = patches
        self._at = 0
        self._is_begun = False  # whether the pieces of that patch were yielded

    def piece(self, piece: Piece, end: bytes | None) -> Iterator[Piece]:
        """Yield a piece with the patches before it and in it. ``end``: first key after it; None: it is the last one."""
        if not isinstance(piece, Pointer):
            yield from self._rows(piece, end)
            return
        start = order_key(piece.folder, piece.name)
        while self._at < len(self._patches) and self._patches[self._at].low <= start:
            yield from self._begin()
            if start < self._patches[self._at].high:
                break
            self._advance()
        patch = self._patches[self._at] if self._at < len(self._patches) else None
        if patch is None or (not self._is_begun and end is not None and end <= patch.low):
            yield piece
        elif self._is_begun and end is not None and end <= patch.high:
            return
        elif piece.level:
            children = self._nodes.children(piece)
            for child, after in zip(children, [*children[1:], None], strict=True):
                yield from self.piece(child, end if after is None else _first_key(after))
        else:
            yield from self._rows(self._nodes.rows(piece), end)

    def rest(self) -> Iterator[Piece]:
        """Yield the pieces of the patches after the last row."""
        while self._at < len(self._patches):
            yield from self._begin()
            self._advance()

    def _rows(self, batch: pa.RecordBatch, end: bytes | None) -> Iterator[Piece]:
        folders, names = batch["folder"].to_pylist(), batch["name"].to_pylist()
        present = [order_key(folder, name) for folder, name in zip(folders, names, strict=True)]
        at = 0
        while self._at < len(self._patches):
            patch = self._patches[self._at]
            if end is not None and end <= patch.low:
                break
            here = bisect_left(present, patch.low, at)
            if here > at:
                yield batch.slice(at, here - at)
            yield from self._begin()
            at = bisect_left(present, patch.high, here)
            if at == len(present) and end is not None and end < patch.high:
                break
            self._advance()
        if at < len(present):
            yield batch.slice(at)

    def _begin(self) -> Iterator[Piece]:
        if not self._is_begun:
            self._is_begun = True
            yield from self._patches[self._at].pieces()

    def _advance(self) -> None:
        self._at += 1
        self._is_begun = False


def _first_key(piece: Piece) -> bytes:
    if isinstance(piece, Pointer):
        return order_key(piece.folder, piece.name)
    return order_key(piece["folder"][0].as_py(), piece["name"][0].as_py())


# -- subtrees ----------------------------------------------------------------------------------------------------------


def subtree(nodes: Nodes, pointer: Pointer, folder: str, *, is_last: bool = True) -> Iterator[Piece]:
    """Yield the rows below a folder as pieces that may stand anywhere in another tree.

    ``is_last``: the node is the last one of its level in the tree. Such a node ends with the rows and not where the
    contents say, so it is never yielded whole.
    """
    if not is_last and is_below(pointer.prefix, folder):
        yield pointer
    elif pointer.level:
        children = nodes.children(pointer)
        for i in overlapping(children, folder):
            yield from subtree(nodes, children[i], folder, is_last=is_last and i == len(children) - 1)
    else:
        rows = between(nodes.rows(pointer), folder, recursive=True)
        if rows.num_rows:
            yield rows


def overlapping(children: Sequence[Pointer], folder: str) -> range:
    """Return the numbers of the children that may have rows below a folder."""
    low, high = key_range(folder)
    starts = [_first_key(child) for child in children]
    return range(max(bisect_right(starts, low) - 1, 0), bisect_left(starts, high))


def nodes_below(nodes: Nodes, pointer: Pointer, folder: str) -> Iterator[Pointer]:
    """Yield the nodes that may have rows below a folder, each inner node before its children. Leaves are not read."""
    yield pointer
    if pointer.level:
        children = nodes.children(pointer)
        for i in overlapping(children, folder):
            yield from nodes_below(nodes, children[i], folder)


def moved_subtree(nodes: Nodes, root: Pointer, source: str, target: str) -> Iterator[Piece]:
    """Yield the rows below folder ``source`` of a tree as rows below ``target``. Raises InvalidInput for a path too long."""
    for piece in subtree(nodes, root, source):
        if not isinstance(piece, Pointer):
            yield moved_rows(piece, source, target)
            continue
        prefix, folder = (join(target, relative(path, source)) for path in (piece.prefix, piece.folder))
        check_path(join(folder, piece.name))
        yield replace(piece, prefix=prefix, folder=folder)


# -- files -------------------------------------------------------------------------------------------------------------


class FileCounts:
    """Sums up numbers of files below folders of trees. Equal folders that are added and subtracted need no reading."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._terms: dict[tuple[bytes, str], tuple[Pointer, int, int]] = {}

    def add(self, root: Pointer, files: int, folder: str, times: int) -> None:
        """Add the number of files below a folder, ``times`` times. ``files``: number of files of the whole tree."""
        _, _, before = self._terms.get((root.id, folder), (root, files, 0))
        self._terms[root.id, folder] = root, files, before + times

    def total(self) -> int:
        """Return the sum."""
        terms = self._terms.items()
        return sum(times * self._count(root, files, folder) for (_, folder), (root, files, times) in terms if times)

    def _count(self, root: Pointer, files: int, folder: str) -> int:
        if not folder:
            return files
        # What is smaller is read: the folder, or all other leaves.
        if 2 * sum(leaf.rows for leaf in self._leaves(root, folder)) <= root.rows:
            rows = self._nodes.leaves(self._leaves(root, folder))
            return sum(_files(between(batch, folder, recursive=True)) for batch in rows)
        rows = self._nodes.leaves(self._leaves(root, folder, is_inside=False))
        return files - sum(_files(batch) - _files(between(batch, folder, recursive=True)) for batch in rows)

    def _leaves(self, pointer: Pointer, folder: str, *, is_inside: bool = True) -> Iterator[Pointer]:
        """Yield the leaves with rows below a folder; with ``is_inside`` false those that have others."""
        if is_inside:
            yield from (node for node in nodes_below(self._nodes, pointer, folder) if not node.level)
        elif not pointer.level:
            yield pointer
        else:
            for child in self._nodes.children(pointer):
                if not is_below(child.prefix, folder):
                    yield from self._leaves(child, folder, is_inside=False)


def _files(batch: pa.RecordBatch) -> int:
    return int(np.count_nonzero(batch["kind"].to_numpy() != Kind.FOLDER))
