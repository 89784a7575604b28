"""Copy a bundle from another store: every chunk is verified, and only missing ones are fetched.

The copy has the same rows except for the columns that locate bytes, so it has the same version. A file whose bytes were
erased in either store becomes a row without bytes, with the notice of the erasure in the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from sheaf.engine.chunks.chunk_reader import Contents, Erased, Want
from sheaf.engine.chunks.compress import Frame, compress_chunks
from sheaf.engine.chunks.ingest import StoredFile
from sheaf.engine.commit.writer import StoreWriter
from sheaf.engine.core import Core
from sheaf.engine.manifest.node_store import Nodes, pointer_of
from sheaf.engine.manifest.tree import Tree, entry_at
from sheaf.engine.objects import get_object
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.node_v1 import ROWS
from sheaf.format.recipe_v1 import Row
from sheaf.format.session_v1 import Notice, seal, unseal
from sheaf.model.entries import Kind, ManifestEntry, PlaceKind, RecipePlace
from sheaf.model.nodes import Pointer
from sheaf.model.records import BundleRecord
from sheaf.transfer.progress import Meter
from sheaf.transfer.spool import Spool

__all__ = ["Copier"]

_PLACED = ("place", "pack", "offset", "stored", "recipe", "url", "packs")  # the columns that locate bytes


class Copier:
    """Copies bundles of a source within one session of a target. ``dead``: packs that may not be referenced."""

    def __init__(
        self,
        source: Core,
        nodes: Nodes,
        target: Core,
        store: StoreWriter,
        *,
        session: str,
        dead: frozenset[bytes],
        gone: frozenset[bytes],
        meter: Meter,
    ) -> None:
        """Prepare copies. ``gone``: contents that were erased from the source."""
        self._source = source
        self._nodes = nodes
        self._target = target
        self._contents = Contents(source)
        self._store = store
        self._session = session
        self._dead = dead
        self._gone = gone
        self._meter = meter

    def copy(self, bundle: BundleRecord, base: Tree | None) -> Pointer:
        """Store a bundle's contents and its tree, and return the root. ``base``: a similar bundle of the target.

        Raises:
            Corrupt: a part of the bundle is missing or damaged in the source.
        """
        root = pointer_of(bundle.root)
        known = self._known(base)
        with Spool() as pieces:
            for leaf in _leaves(self._nodes, root):
                same = known.get(leaf.full) if leaf is not root else None
                if same is not None and base is not None and base.nodes.is_readable(same):
                    pieces.add(_at(same, leaf))
                    self._meter.add(files=leaf.rows, size=leaf.size)
                else:
                    pieces.add(self._stored(self._nodes.rows(leaf)))
            made = self._store.build(pieces, base)
        # Compare without `full`: it also covers the locations of bytes, which differ.
        if (made.logical, made.rows, made.size) != (root.logical, root.rows, root.size):
            raise Corrupt(f"bundle {bundle.id} doesn't match its manifest", "run `sheaf store check` on its store")
        return made

    def _known(self, base: Tree | None) -> Mapping[bytes, Pointer]:
        """Return the leaves of a tree of the target that may be reused, by hash."""
        if base is None:
            return {}
        leaves = (node for node in self._store.reusable(base) if not node.level)
        return {leaf.full: leaf for leaf in leaves if self._dead.isdisjoint(pack for pack, _ in leaf.packs)}

    def _stored(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the same rows with the locations of their bytes in the target."""
        columns: dict[str, list[Any]] = {name: batch[name].to_pylist() for name in _PLACED}
        kinds, contents = batch["kind"].to_pylist(), batch["content"].to_pylist()
        small: list[int] = []
        for i, place in enumerate(columns["place"]):
            if kinds[i] != Kind.FILE or place == PlaceKind.NONE:
                continue
            if self._is_lost(batch, i, contents[i]):
                _set(columns, i, place=PlaceKind.OBJECT, url=self._session)
            elif place == PlaceKind.CHUNK:
                small.append(i)
            else:
                _put(columns, i, self._big(entry_at(batch, i)))
        self._store_small(batch, columns, small)
        sizes = batch["size"].to_numpy()
        self._meter.add(files=batch.num_rows, size=int(sizes.sum()))
        self._meter.set_new(self._store.ingest.new_bytes)
        return pa.RecordBatch.from_arrays(
            [pa.array(columns[f.name], f.type) if f.name in columns else batch[f.name] for f in ROWS], schema=ROWS
        )

    def _store_small(self, batch: pa.RecordBatch, columns: dict[str, list[Any]], rows: list[int]) -> None:
        if not rows:
            return
        files = self._store.ingest.store_columns(_Far(self._contents, batch.take(pa.array(rows, pa.int64()))))
        for k, i in enumerate(rows):
            where = {"pack": files.pack[k].tobytes(), "offset": int(files.offset[k]), "stored": int(files.stored[k])}
            _set(columns, i, place=PlaceKind.CHUNK, **where)

    def _big(self, entry: ManifestEntry) -> StoredFile:
        if not isinstance(entry.place, RecipePlace):
            return self._store.ingest.store_stream(bytes(block) for block in self._contents.blocks(entry))
        chunks = self._contents.leaves(entry, entry.place)
        return self._store.ingest.store_chunks(entry.content, entry.size, chunks, self._fetch)

    def _fetch(self, chunks: Sequence[Row]) -> list[bytes]:
        """Return the verified bytes of chunks of the source."""
        wants = [
            Want(i, pack, offset, stored, hash, length) for i, (hash, length, pack, offset, stored) in enumerate(chunks)
        ]
        return [data for _, data in self._contents.fetch(wants)]

    # -- what was erased -----------------------------------------------------------------------------------------------

    def _is_lost(self, batch: pa.RecordBatch, row: int, content: bytes) -> bool:
        """True if the bytes of a file were erased in either store; the target then has a notice of it."""
        if content in self._store.ingest.erased.contents:
            return True
        if content not in self._gone:
            return False
        try:
            for _ in self._contents.blocks(entry_at(batch, row)):
                pass
        except Erased:
            self._note(content)
            return True
        # The content was stored again since its erasure.
        return False

    def _note(self, content: bytes) -> None:
        key = keys.erased(content)
        try:
            notice = unseal(get_object(self._source.backend, key), "erased", Notice, key)
        except NotFound:
            raise Corrupt(f"{key} is missing", "run `sheaf store check`") from None
        notice = msgspec.structs.replace(notice, origin=notice.origin or self._source.config.id)
        # A notice that exists already is as good as this one, so the result doesn't matter.
        self._target.backend.create(key, seal("erased", notice))


class _Far:
    """Files of the source that are one chunk each, for an ingest, which fetches those that the target lacks."""

    def __init__(self, contents: Contents, batch: pa.RecordBatch) -> None:
        self._contents = contents
        self._batch = batch
        self.hashes: list[bytes] = batch["content"].to_pylist()
        self.counts = [1] * batch.num_rows
        self.chunk_hashes = self.hashes
        self.chunk_sizes: list[int] = batch["size"].to_pylist()

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the verified frames of some files, by number, in the form in which they will be stored."""
        chosen = self._batch.take(pa.array(list(wanted), pa.int64()))
        found = dict(self._contents.files(chosen))
        return compress_chunks([found[i] for i in range(len(wanted))], [self.hashes[i] for i in wanted], adaptive=False)


def _leaves(nodes: Nodes, pointer: Pointer) -> Iterator[Pointer]:
    if not pointer.level:
        yield pointer
        return
    for child in nodes.children(pointer):
        yield from _leaves(nodes, child)


def _at(known: Pointer, leaf: Pointer) -> Pointer:
    """Return a leaf of the target with the prefix of the equal leaf of the source that it replaces."""
    return replace(known, prefix=leaf.prefix, folder=leaf.folder, name=leaf.name)


def _set(columns: dict[str, list[Any]], row: int, **values: Any) -> None:
    for name in _PLACED:
        columns[name][row] = values.get(name)


def _put(columns: dict[str, list[Any]], row: int, placed: StoredFile) -> None:
    where = {"place": placed.place, "pack": placed.pack, "offset": placed.offset, "stored": placed.stored}
    if placed.place == PlaceKind.RECIPE:
        uses = [{"pack": pack, "live": live} for pack, live in placed.packs.items()]
        _set(columns, row, **where, recipe=placed.recipe, packs=uses)
    else:
        _set(columns, row, **where)
