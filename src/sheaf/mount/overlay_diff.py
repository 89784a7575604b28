"""Compute the changes of a writable mount, as rows for the manifest.

The mount is compared under its lock, so that a commit is a consistent snapshot. Contents are read afterwards, from
spill files that do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from sheaf.engine.manifest.ranks import Leaf
from sheaf.engine.manifest.rows import folder_entry, row_of, symlink_entry
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import Kind
from sheaf.model.paths import join, order_key, split
from sheaf.mount.bundles import BundleFs
from sheaf.mount.fuse.port import ROOT_INO
from sheaf.mount.state import MountState, Node

__all__ = ["OverlayDifference", "Spilled", "difference"]


@dataclass(frozen=True, slots=True)
class Spilled:
    """A file whose content is in the spill, with its attributes at the time of the comparison."""

    path: str
    ino: int
    fill: int
    version: int
    mode: int
    mtime: int


Row: TypeAlias = pa.RecordBatch | None  #: one row of a manifest, None if the path was removed


@dataclass(slots=True)
class OverlayDifference:
    """Changed rows by order key, and files whose contents must still be stored. ``files``: change in the number of files."""

    rows: dict[bytes, Row] = field(default_factory=dict)
    spilled: list[Spilled] = field(default_factory=list)
    files: int = 0


def difference(state: MountState, mtime_of: Callable[[int], int]) -> OverlayDifference:
    """Return the changes relative to the bundle below. Call it with the mount's lock held; it waits for the store.

    ``mtime_of``: returns the modification time of a content in the spill, in nanoseconds.
    """
    walk = _Walk(state, mtime_of)
    walk.folder(state.nodes[ROOT_INO], "")
    return walk.found


class _Walk:
    def __init__(self, state: MountState, mtime_of: Callable[[int], int]) -> None:
        self._state = state
        self._mtime_of = mtime_of
        self._lower = state.lower
        self.found = OverlayDifference()

    # -- down the tree -------------------------------------------------------------------------------------------------

    def folder(self, node: Node, path: str) -> None:
        """Add the changes in a folder that has changed itself or below, at ``path`` in the mount."""
        lower = self._lower if node.below else None
        own = lower.folder_path(node.ino) if lower else None
        if lower is not None and own != path:
            for name, attr, _ in lower.list(node.ino).entries(0):
                if name not in node.children:
                    self._visit(attr.ino, join(path, name))
        for name, child in node.children.items():
            below = lower.find(own or "", name) if lower is not None and own == path else None
            if below is not None and below.ino != child:
                self._remove(below.ino)
            if child is not None:
                self._visit(child, join(path, name))

    def _visit(self, ino: int, path: str) -> None:
        """Add the changes of a node and of everything below it, at ``path`` in the mount."""
        node = self._state.nodes.get(ino)
        if node is None:
            self._untouched(ino, path)
            return
        is_here = node.below and self._lower_path(ino) == path
        if node.fill is not None:
            mtime = self._mtime_of(node.fill)
            self.found.spilled.append(Spilled(path, ino, node.fill, node.version, node.mode & 0o777, mtime))
        else:
            self._set(path, self._row(node, path))
        if node.kind == Kind.FOLDER:
            self.folder(node, path)
        elif not is_here:
            self.found.files += 1

    def _row(self, node: Node, path: str) -> pa.RecordBatch:
        if node.below:
            leaf, row = self._at(node.ino)
            columns = {"mode": node.mode & 0o777, "mtime": node.mtime}
            return _replaced(leaf.batch.slice(row, 1), path, columns)
        if node.kind == Kind.SYMLINK:
            return row_of(symlink_entry(path, node.target or "", node.mtime))
        return row_of(folder_entry(path, node.mode & 0o777, node.mtime))

    def _untouched(self, ino: int, path: str) -> None:
        """Add the rows of an unchanged node of the bundle, if it was moved; else there is nothing to do."""
        if self._lower_path(ino) == path:
            return
        leaf, row = self._at(ino)
        self._set(path, _replaced(leaf.batch.slice(row, 1), path, {}))
        if leaf.kind[row] != Kind.FOLDER:
            self.found.files += 1
        elif self._lower is not None:
            for name, attr, _ in self._lower.list(ino).entries(0):
                self._visit(attr.ino, join(path, name))

    # -- the bundle below ----------------------------------------------------------------------------------------------

    def _remove(self, ino: int) -> None:
        leaf, row = self._at(ino)
        self._set(leaf.path(row), None)
        if leaf.kind[row] != Kind.FOLDER:
            self.found.files -= 1
        elif self._lower is not None:
            for _, attr, _ in self._lower.list(ino).entries(0):
                self._remove(attr.ino)

    def _at(self, ino: int) -> tuple[Leaf, int]:
        return self._below().row(ino)

    def _lower_path(self, ino: int) -> str:
        leaf, row = self._at(ino)
        return leaf.path(row)

    def _below(self) -> BundleFs:
        if self._lower is None:
            raise LookupError("there is no bundle below")
        return self._lower

    def _set(self, path: str, row: Row) -> None:
        self.found.rows[order_key(*split(path))] = row


def _replaced(row: pa.RecordBatch, path: str, values: dict[str, int]) -> pa.RecordBatch:
    """Return a manifest row with another path and other values by column."""
    folder, name = split(path)
    for column, value in {"folder": folder, "name": name, **values}.items():
        at = ROWS.get_field_index(column)
        row = row.set_column(at, ROWS.field(at), pa.array([value], ROWS.field(at).type))
    return row
