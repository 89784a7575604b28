"""Read few rows of a manifest without Arrow, because loading Arrow takes longer than the read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress

from sheaf.engine.manifest.light_node import LightLeaf
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Corrupt
from sheaf.model.entries import ManifestEntry
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, split

__all__ = ["LightReader"]


class _RequiresArrow(Exception):
    """A node of the manifest requires Arrow."""


class LightReader:
    """A manifest whose entries of folders lack the locations of their bytes.

    It asks ``tree`` for what it can't read: nodes that another program wrote, damaged nodes, whole subtrees. So it has
    no message for damage, and no second attempt after an erasure, of its own.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def find(self, path: str) -> ManifestEntry | None:
        """Return the entry of a path, or None."""
        key = order_key(*split(path))
        with suppress(_RequiresArrow, Corrupt):
            found = (self._find(self._leaf(leaf), key) for leaf in self._leaves(self._tree.root, key, key + b"\0"))
            return next((entry for entry in found if entry is not None), None)
        return self._tree.find(path)

    def _find(self, leaf: LightLeaf, key: bytes) -> ManifestEntry | None:
        row = leaf.find(key)
        if row is None:
            return None
        entry = leaf.locate(leaf.entry(row), row)
        if entry is None:
            raise _RequiresArrow
        return entry

    def entries(self, folder: str = "", *, recursive: bool = True) -> Iterator[ManifestEntry]:
        """Yield the entries below a folder (without its own), in order: all of them, or only one level."""
        if not recursive:
            with suppress(_RequiresArrow, Corrupt):
                # Read all entries before the first is yielded: if Arrow must read the folder, it starts again.
                return iter(list(self._folder(folder)))
        return self._tree.entries(folder, recursive=recursive)

    def _folder(self, folder: str) -> Iterator[ManifestEntry]:
        low = order_key(folder, "")
        high = low[:-1] + b"\1"
        for leaf in self._leaves(self._tree.root, low, high):
            yield from self._leaf(leaf).between(low, high)

    def _leaves(self, pointer: Pointer, low: bytes, high: bytes) -> Iterator[Pointer]:
        """Yield the leaves that may have rows from one order key on and before another."""
        if not pointer.level:
            yield pointer
            return
        children = self._tree.nodes.light_children(pointer)
        if children is None:
            raise _RequiresArrow
        at = max(bisect_right(children, low, key=_start) - 1, 0)
        for child in children[at : bisect_left(children, high, key=_start)]:
            yield from self._leaves(child, low, high)

    def _leaf(self, pointer: Pointer) -> LightLeaf:
        leaf = self._tree.nodes.light_leaf(pointer)
        if leaf is None:
            raise _RequiresArrow
        return leaf


def _start(child: Pointer) -> bytes:
    return order_key(child.folder, child.name)
