"""Contents that replace others in an erasure: tables without some of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import pyarrow as pa
from msgspec.structs import replace

from sheaf.engine.chunks.dedup import ChunkIndex, load_segments
from sheaf.engine.chunks.ingest import Ingest, StoredFile
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.core import Core
from sheaf.engine.manifest.rows import place_of, row_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Change
from sheaf.engine.sessions.sessions import Open
from sheaf.model.entries import ManifestEntry
from sheaf.model.paths import order_key

__all__ = ["Contents", "Replacement"]

_HASHES = ("sha256", "md5")  # attributes that depend on the bytes

Contents = Callable[[ManifestEntry], Iterable[bytes]]  #: returns the new bytes of a file, block by block


class Replacement:
    """Stores new contents, once in each repo that needs them, and sets them in all entries that had the old ones.

    ``condition``: the text of the condition for the removed rows, equal for equal rows; ``rows_out``: the number of
    rows that satisfy it; ``columns``: its columns.
    """

    def __init__(self, core: Core, rewritten: Contents, condition: str, rows: int, columns: frozenset[str]) -> None:
        self.condition, self.rows_out, self.columns = condition, rows, columns
        self._core = core
        self._rewritten = rewritten
        self._placed: dict[bytes, StoredFile] = {}

    def is_done(self, entry: ManifestEntry) -> bool:
        """Return False: every entry that has the old content is to be changed."""
        return False

    def prepare(self, opened: Open, entries: list[ManifestEntry]) -> None:
        """Store the new contents in a session. Raises what reading the old ones raises."""
        core = self._core
        index = ChunkIndex(load_segments(core), opened.unlisted_packs, partial(load_table, core), core.limits)
        sink = PackSink(core, opened.id, index)
        ingest = Ingest(core, sink, index, opened.erased)
        self._placed = {entry.content: ingest.store_stream(self._rewritten(entry)) for entry in entries}
        sink.flush()
        sink.list_durable()

    def rows(self, tree: Tree, entries: list[ManifestEntry]) -> list[Change]:
        """Return changes that set content, size and location of each entry. Name, mode and time stay."""
        # Other entries were committed since :meth:`prepare`; a later round changes them.
        known = (entry for entry in entries if entry.content in self._placed)
        return [(order_key(entry.folder, entry.name), self._row(entry)) for entry in known]

    def _row(self, entry: ManifestEntry) -> pa.RecordBatch:
        placed = self._placed[entry.content]
        attrs = {name: value for name, value in entry.attrs.items() if name not in _HASHES}
        changed = replace(entry, content=placed.content, size=placed.size, attrs=attrs, place=place_of(placed))
        return row_of(changed, list(placed.packs.items()))
