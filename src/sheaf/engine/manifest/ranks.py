"""A bundle's rows by number: entry n of the manifest, and the number of a path or folder, without a table of all rows.

For mounts, which name entries by integers (inodes) and can't keep each one in memory that was ever used.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sheaf.engine.manifest.tree import Tree
from sheaf.fork import Lock
from sheaf.model.nodes import Pointer
from sheaf.model.paths import join, order_key

__all__ = ["Decoded", "Leaf", "Ranks"]

_ROW = 250  # approximate bytes of a row of a decoded leaf


class Leaf:
    """Consecutive rows as plain lists, for access one by one. ``first``: the number of the first row."""

    __slots__ = ("_codes", "_folders", "batch", "content", "first", "kind", "mode", "mtime", "name", "place", "size")

    def __init__(self, first: int, batch: pa.RecordBatch) -> None:
        self.first = first
        self.batch = batch
        folders = batch["folder"].dictionary_encode()
        self._codes: list[int] = folders.indices.to_pylist()
        self._folders: list[str] = folders.dictionary.to_pylist()
        self.name: list[str] = batch["name"].to_pylist()
        self.kind: list[int] = batch["kind"].to_numpy().tolist()
        self.mode: list[int] = batch["mode"].to_numpy().tolist()
        self.mtime: list[int] = batch["mtime"].to_numpy().tolist()
        self.size: list[int] = batch["size"].to_numpy().tolist()
        self.place: list[int] = batch["place"].to_numpy().tolist()
        self.content: list[bytes] = batch["content"].to_pylist()

    def __len__(self) -> int:
        return len(self.name)

    def folder(self, row: int) -> str:
        """Return the folder of a row."""
        return self._folders[self._codes[row]]

    def path(self, row: int) -> str:
        """Return the path of a row."""
        return join(self.folder(row), self.name[row])

    def target(self, row: int) -> str | None:
        """Return the target of a symlink, None for other rows."""
        target: str | None = self.batch["target"][row].as_py()
        return target

    def before(self, key: bytes) -> int:
        """Return the number of rows before a key."""
        return bisect_left(range(len(self)), key, key=lambda row: order_key(self.folder(row), self.name[row]))


@dataclass(frozen=True, slots=True)
class Inner:
    """The children of an inner node: their first keys, and the number of rows of the node before each."""

    children: list[Pointer]
    keys: list[bytes]
    before: list[int]


class Decoded:
    """A cache of decoded nodes with a size limit; may be shared by many bundles and threads."""

    def __init__(self, room: int = 64 << 20) -> None:
        self._room = room
        self._lock = Lock()
        self._kept: OrderedDict[tuple[bytes, str, int], tuple[int, Any]] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[bytes, str, int]) -> Any:
        """Return the cached value, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[1]

    def put(self, key: tuple[bytes, str, int], size: int, value: Any) -> None:
        """Add a value of ``size`` bytes; the least recently used ones are evicted."""
        with self._lock:
            self._size += size - self._kept.pop(key, (0, None))[0]
            self._kept[key] = (size, value)
            while self._size > self._room and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1][0]


def _at_once() -> None:
    return None


@dataclass(slots=True)
class Ranks:
    """One manifest, by row number. ``before_load``: called before a node is fetched; it may raise to postpone that."""

    tree: Tree
    decoded: Decoded = field(default_factory=Decoded)
    before_load: Callable[[], None] = _at_once

    def __len__(self) -> int:
        return self.tree.root.rows

    def leaf(self, rank: int) -> Leaf:
        """Return the leaf with a row. Raises IndexError for an invalid number, Corrupt, Unavailable."""
        if not 0 <= rank < len(self):
            raise IndexError(rank)
        pointer, first = self.tree.root, 0
        while pointer.level:
            inner = self._inner(pointer)
            at = bisect_right(inner.before, rank - first) - 1
            pointer, first = inner.children[at], first + inner.before[at]
        return self._leaf(pointer, first)

    def find(self, folder: str, name: str) -> int | None:
        """Return the number of a path, or None."""
        leaf, row = self._position(order_key(folder, name))
        if row < len(leaf) and leaf.name[row] == name and leaf.folder(row) == folder:
            return leaf.first + row
        return None

    def span(self, folder: str) -> range:
        """Return the numbers of a folder's direct entries, which are consecutive."""
        base = folder.replace("/", "\0").encode()
        bounds = (self._position(base + end) for end in (b"\0\0", b"\0\1"))
        first, end = (leaf.first + row for leaf, row in bounds)
        return range(first, end)

    def _position(self, key: bytes) -> tuple[Leaf, int]:
        """Return the leaf where a key is or would be, and the number of its rows before the key."""
        pointer, first = self.tree.root, 0
        while pointer.level:
            inner = self._inner(pointer)
            at = max(bisect_right(inner.keys, key) - 1, 0)
            pointer, first = inner.children[at], first + inner.before[at]
        leaf = self._leaf(pointer, first)
        return leaf, leaf.before(key)

    def _inner(self, pointer: Pointer) -> Inner:
        key = (pointer.id, pointer.prefix, -1)
        found: Inner | None = self.decoded.get(key)
        if found is None:
            self.before_load()
            children = self.tree.nodes.children(pointer)
            ends = np.cumsum([child.rows for child in children]).tolist()
            found = Inner(children, [order_key(c.folder, c.name) for c in children], [0, *ends[:-1]])
            self.decoded.put(key, 600 * len(children), found)
        return found

    def _leaf(self, pointer: Pointer, first: int) -> Leaf:
        key = (pointer.id, pointer.prefix, first)
        found: Leaf | None = self.decoded.get(key)
        if found is None:
            self.before_load()
            batch = self.tree.nodes.rows(pointer)
            found = Leaf(first, batch)
            self.decoded.put(key, batch.nbytes + _ROW * len(found), found)
        return found
