"""Read one path or one folder of a bundle without Arrow, because loading Arrow takes longer than the read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache

from sheaf.engine.manifest.light_node import PlainLeaf, children_of
from sheaf.engine.manifest.node_store import Nodes
from sheaf.model.entries import Entry
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, split

__all__ = ["Glance", "NotPlain"]


class NotPlain(Exception):
    """A node of the manifest requires Arrow."""


class Glance:
    """A manifest whose entries come without the locations of their bytes. All methods may raise NotPlain, Corrupt."""

    def __init__(self, nodes: Nodes, root: Pointer) -> None:
        self._nodes = nodes
        self._root = root
        self._leaf = lru_cache(4)(self._read_leaf)
        self._children = lru_cache(8)(self._read_children)

    def find(self, path: str) -> Entry | None:
        """Return the entry of a path, or None."""
        key = order_key(*split(path))
        leaves = self._leaves(self._root, key, key + b"\0")
        return next((entry for leaf in leaves if (entry := self._leaf(leaf).find(key))), None)

    def below(self, folder: str) -> Iterator[Entry]:
        """Yield a folder's direct entries, in order."""
        low = order_key(folder, "")
        high = low[:-1] + b"\1"
        for leaf in self._leaves(self._root, low, high):
            yield from self._leaf(leaf).between(low, high)

    def _leaves(self, pointer: Pointer, low: bytes, high: bytes) -> Iterator[Pointer]:
        """Yield the leaves that may have rows from one order key on and before another."""
        if not pointer.level:
            yield pointer
            return
        children = self._children(pointer)
        at = max(bisect_right(children, low, key=_start) - 1, 0)
        for child in children[at : bisect_left(children, high, key=_start)]:
            yield from self._leaves(child, low, high)

    def _read_children(self, pointer: Pointer) -> Sequence[Pointer]:
        plain = self._nodes.plain(pointer)
        if plain is None:
            raise NotPlain
        return children_of(plain, pointer)

    def _read_leaf(self, pointer: Pointer) -> PlainLeaf:
        plain = self._nodes.plain(pointer)
        if plain is None:
            raise NotPlain
        return PlainLeaf(plain, pointer)


def _start(child: Pointer) -> bytes:
    return order_key(child.folder, child.name)
