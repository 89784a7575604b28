"""The amount of data: as users see it, without repetitions, and as stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.core import Core
from sheaf.engine.gc.mark import BundleRoots, Reach, live_bundles
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import entries
from sheaf.engine.prefetch import ahead
from sheaf.engine.sessions.forwarding import Erased
from sheaf.errors import NotFound
from sheaf.format import keys
from sheaf.format.columns import Array
from sheaf.model.entries import ManifestEntry, ObjectPlace, PlaceKind, RecipePlace
from sheaf.model.records import BundleRecord

__all__ = ["Sizes", "bundle_sizes", "store_sizes"]

_CHUNK = np.dtype([("pack", "<u4"), ("offset", "<u4"), ("raw", "<u4"), ("stored", "<u4")])
_TABLES = 16  # tables fetched at a time


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of all files of all bundles (``logical``), of their distinct parts (``unique``), and of these as stored."""

    bundles: int
    logical: int
    unique: int
    stored: int

    @property
    def dedup_ratio(self) -> float:
        """Used bytes per unique byte; 1.0 if there are none."""
        return self.logical / self.unique if self.unique else 1.0

    @property
    def compression_ratio(self) -> float:
        """Unique bytes per stored byte; 1.0 if there are none."""
        return self.unique / self.stored if self.stored else 1.0


def store_sizes(core: Core) -> Sizes:
    """Measure a whole store, including what gc has yet to delete. Reads the logs and each pack's table, no manifests."""
    bundles = live_bundles(core)[0]
    packs = keys.ids_of(stat.key for stat in core.backend.list(keys.PACKS))
    objects = sum(stat.size for stat in core.backend.list(keys.OBJECTS))
    unique = stored = 0
    for raw, packed in ahead(core.io, lambda pack: _table_size(core, pack), packs, _TABLES):
        unique, stored = unique + raw, stored + packed
    return Sizes(len(bundles), _logical(bundles), unique + objects, stored + objects)


def bundle_sizes(core: Core, bundles: Iterable[BundleRecord]) -> Sizes:
    """Measure some bundles together, reading each of their leaves once. Needs 16 bytes of memory per distinct chunk."""
    listed = list(bundles)
    nodes, parts = Nodes(core), _Parts(Contents(core), core.limits.sizes_chunks)
    for leaf, _ in Reach(nodes).leaves(BundleRoots(listed, [])):
        batch = nodes.rows(leaf)
        place = batch["place"].to_numpy()
        parts.add_chunks(batch.filter(pc.equal(batch["place"], int(PlaceKind.CHUNK))))
        for row in np.flatnonzero((place == PlaceKind.RECIPE) | (place == PlaceKind.OBJECT)).tolist():
            parts.add_big(next(entries(batch.slice(row, 1))))
    unique, stored = parts.total()
    return Sizes(len(listed), _logical(listed), unique, stored)


def _logical(bundles: Iterable[BundleRecord]) -> int:
    return sum(bundle.root.size for bundle in bundles)


def _table_size(core: Core, pack: bytes) -> tuple[int, int]:
    try:
        table = load_table(core, pack)
    except NotFound:
        # gc has replaced it since it was listed.
        return 0, 0
    return int(table.raw.sum()), int(table.stored.sum())


@dataclass(slots=True)
class _Parts:
    """A set of distinct chunks and whole objects."""

    contents: Contents
    most: int  #: chunks gathered before repetitions are dropped
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _chunks: list[Array] = field(default_factory=list)
    _held: int = 0
    _distinct: int = 0
    _objects: dict[str, int] = field(default_factory=dict)

    def add_chunks(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a leaf whose contents are one chunk each."""
        packs = batch["pack"].dictionary_encode()
        numbers = np.array([self._number(pack) for pack in packs.dictionary.to_pylist()], np.uint32)
        offset, stored, size = (batch[name].to_numpy(zero_copy_only=False) for name in ("offset", "stored", "size"))
        self._add_rows(numbers[packs.indices.to_numpy()], offset, size, stored)

    def add_big(self, entry: ManifestEntry) -> None:
        """Add a file of many chunks, or a whole object."""
        if isinstance(entry.place, ObjectPlace):
            self._objects[keys.stored_object(entry.place.session, entry.content)] = entry.size
        elif isinstance(entry.place, RecipePlace):
            try:
                rows = [*self.contents.recipe_rows(entry.place, parts=False)]
            except Erased:
                return
            packs = np.array([self._number(row[2]) for row in rows], np.uint32)
            raw, offset, stored = (np.array([row[i] for row in rows]) for i in (1, 3, 4))
            self._add_rows(packs, offset, raw, stored)

    def total(self) -> tuple[int, int]:
        """The bytes of all parts: decompressed, and as stored."""
        self._merge()
        rows, whole = self._chunks[0], sum(self._objects.values())
        return int(rows["raw"].sum(dtype=np.int64)) + whole, int(rows["stored"].sum(dtype=np.int64)) + whole

    def _number(self, pack: bytes) -> int:
        return self._numbers.setdefault(pack, len(self._numbers))

    def _add_rows(self, packs: Array, offset: Array, raw: Array, stored: Array) -> None:
        rows = np.empty(len(packs), _CHUNK)
        for name, column in zip(("pack", "offset", "raw", "stored"), (packs, offset, raw, stored), strict=True):
            rows[name] = column
        self._chunks.append(rows)
        self._held += len(rows)
        if self._held - self._distinct > self.most:
            self._merge()

    def _merge(self) -> None:
        rows = np.concatenate([np.empty(0, _CHUNK), *self._chunks])
        place = rows["pack"].astype(np.uint64) << np.uint64(32) | rows["offset"]
        self._chunks = [rows[np.unique(place, return_index=True)[1]]]
        self._held = self._distinct = len(self._chunks[0])
