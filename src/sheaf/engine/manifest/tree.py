"""Read a bundle's manifest: one path, one folder, a subtree, or all; in order, and no more nodes than needed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from sheaf.engine.manifest.node_store import Nodes
from sheaf.errors import Corrupt, SheafError
from sheaf.model.entries import (
    ChunkPlace,
    ExternalPlace,
    Kind,
    ManifestEntry,
    ObjectPlace,
    Place,
    PlaceKind,
    RecipePlace,
)
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, split

# The import takes 0.1 s, and callers that only read light nodes don't need it.
if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Tree", "between", "entries", "entry_at"]

_MANY = 100_000  # a larger read isn't cached: it would only evict other nodes


class Tree:
    """A manifest. Cheap to create; nodes are fetched when they are needed.

    ``now``: returns the current root; called when a node is missing, since an erasure may have given the bundle another
    tree.
    """

    def __init__(self, nodes: Nodes, root: Pointer, now: Callable[[], Pointer] | None = None) -> None:
        self.nodes = nodes
        self.root = root
        self._now = now

    def find(self, path: str) -> ManifestEntry | None:
        """Return the entry of a path, or None."""
        row = self.row(path)
        return None if row is None else entry_at(row, 0)

    def row(self, path: str) -> pa.RecordBatch | None:
        """Return the row of a path as a batch of one, or None."""
        import numpy as np
        import pyarrow.compute as pc

        folder, name = split(path)
        batch = self.leaf(path)
        hits = np.flatnonzero(pc.and_(pc.equal(batch["name"], name), pc.equal(batch["folder"], folder)))
        return batch.slice(int(hits[0]), 1) if len(hits) else None

    def leaf(self, path: str) -> pa.RecordBatch:
        """Return the rows of the leaf that has a path, if the tree has it."""
        try:
            return self._leaf(path)
        except Corrupt:
            if not self._is_renewed():
                raise
        return self._leaf(path)

    def _leaf(self, path: str) -> pa.RecordBatch:
        """Find the leaf of a path by binary search in each node on the way from the root."""
        pointer = self.root
        while pointer.level:
            children = self.nodes.children(pointer)
            at = bisect_right([order_key(c.folder, c.name) for c in children], order_key(*split(path)))
            pointer = children[max(at - 1, 0)]
        return self.nodes.rows(pointer)

    def batches(self, folder: str = "", *, recursive: bool = True) -> Iterator[pa.RecordBatch]:
        """Yield the rows below a folder (without its own), in order: all of them, or only the direct entries."""
        is_begun = False
        try:
            for batch in self._batches(folder, recursive):
                is_begun = True
                yield batch
            return
        except Corrupt:
            if is_begun or not self._is_renewed():
                raise
        yield from self._batches(folder, recursive)

    def _batches(self, folder: str, recursive: bool) -> Iterator[pa.RecordBatch]:
        """Yield the rows below a folder, which are those between two order keys."""
        base = folder.replace("/", "\0").encode()
        low = (base + b"\0" if folder else b"") + (b"" if recursive else b"\0")
        low = low if folder or recursive else b"\0\0"
        high = base + (b"\0\1" if not recursive else b"\1") if folder or not recursive else b"\xff" * 2
        leaves = self._leaves(self.root, low, high)
        is_long = self.root.rows > _MANY and recursive and not folder
        for rows in self.nodes.leaves(leaves) if is_long else map(self.nodes.rows, leaves):
            batch = between(rows, folder, recursive)
            if batch.num_rows:
                yield batch

    def entries(self, folder: str = "", *, recursive: bool = True) -> Iterator[ManifestEntry]:
        """Yield the entries below a folder, as :meth:`batches` does."""
        for batch in self.batches(folder, recursive=recursive):
            yield from entries(batch)

    def _is_renewed(self) -> bool:
        """Switch to the current tree; return True if it is another one."""
        try:
            root = self._now() if self._now is not None else self.root
        except SheafError:
            # No newer root is known, so the first error stays.
            return False
        is_new, self.root = root != self.root, root
        return is_new

    def _leaves(self, pointer: Pointer, low: bytes, high: bytes) -> Iterator[Pointer]:
        if not pointer.level:
            yield pointer
            return
        children = self.nodes.children(pointer)
        starts = [order_key(child.folder, child.name) for child in children]
        for child in children[max(bisect_right(starts, low) - 1, 0) : bisect_left(starts, high)]:
            yield from self._leaves(child, low, high)


def between(batch: pa.RecordBatch, folder: str, recursive: bool) -> pa.RecordBatch:
    """Return the rows of a leaf that are below a folder: they are one range."""
    import numpy as np
    import pyarrow.compute as pc

    if recursive and not folder:
        return batch
    mask = pc.equal(batch["folder"], folder)
    if recursive:
        mask = pc.or_(mask, pc.starts_with(batch["folder"], folder + "/"))
    hits = np.flatnonzero(mask)
    return batch.slice(hits[0], len(hits)) if len(hits) else batch.slice(0, 0)


def entries(batch: pa.RecordBatch) -> Iterator[ManifestEntry]:
    """Yield the rows of a batch as entries."""
    columns = {name: batch[name].to_pylist() for name in batch.schema.names}
    for i in range(batch.num_rows):
        yield _entry({name: values[i] for name, values in columns.items()})


def entry_at(batch: pa.RecordBatch, i: int) -> ManifestEntry:
    """Return row i of a batch as an entry."""
    return _entry({name: batch[name][i].as_py() for name in batch.schema.names})


def _entry(r: dict[str, Any]) -> ManifestEntry:
    try:
        kind = Kind(r["kind"])
        attrs = msgspec.json.decode(r["attrs"], type=dict[str, str]) if r["attrs"] else {}
        place = _place(r)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Corrupt(f"the manifest has an invalid row for {r['folder']}/{r['name']}: {error}") from error
    return ManifestEntry(
        r["folder"], r["name"], kind, r["mode"], r["mtime"], r["size"], r["content"], r["target"], attrs, place
    )


def _place(r: dict[str, Any]) -> Place | None:
    match PlaceKind(r["place"]):
        case PlaceKind.CHUNK:
            return ChunkPlace(r["pack"], r["offset"], r["stored"])
        case PlaceKind.RECIPE:
            return RecipePlace(r["recipe"], r["pack"], r["offset"], r["stored"])
        case PlaceKind.OBJECT:
            return ObjectPlace(r["url"])
        case PlaceKind.EXTERNAL:
            return ExternalPlace(r["url"], r["etag"] or "")
        case PlaceKind.NONE:
            return None
