"""Replace a range of a stored file by other bytes, and reuse its chunks before and after the range.

The file is cut again from the chunk with the change on, until a cut falls where the stored file was cut, too. From
there on its chunks are used as they are, and whole parts of its recipe from the next end of a part on. So only what is
around the change is stored. The hash of the contents covers all bytes, though: the others are read for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, chain

from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.cut_file import SQLITE, cut_file
from sheaf.engine.chunks.ingest import Ingest, StoredFile
from sheaf.format.recipe_v1 import Row, ends_part
from sheaf.format.store_v1 import Chunker
from sheaf.model.entries import ManifestEntry, RecipePlace
from sheaf.storage.port import Buffer

__all__ = ["StoredEntry", "splice_file"]


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A file of a manifest with its place. ``packs``: what its recipe needs of each pack, as in its row."""

    entry: ManifestEntry
    packs: Mapping[bytes, int]


def splice_file(
    ingest: Ingest, contents: Contents, old: StoredEntry, offset: int, length: int, data: Iterable[bytes]
) -> StoredFile:
    """Store a file with ``length`` bytes from ``offset`` on replaced by ``data``. Both must be inside the file.

    Raises:
        Erased: bytes of the file were erased. Corrupt: they are missing or damaged.
        Refused: the new contents were erased.
    """
    entry = old.entry
    if not isinstance(entry.place, RecipePlace) or not _is_cut_alike(ingest.chunker, entry, offset, length):
        before, after = contents.blocks(entry, 0, offset), contents.blocks(entry, offset + length)
        return ingest.store_stream(chain(map(bytes, before), data, map(bytes, after)))
    return _Splice(ingest, contents, old, entry.place, offset, length).store(data)


def _is_cut_alike(chunker: Chunker, entry: ManifestEntry, offset: int, length: int) -> bool:
    """True if the new file is cut by the same rule as the old one, whatever is put into it."""
    return offset >= len(SQLITE) and entry.size - length > chunker.min


@dataclass(slots=True)
class _Middle:
    """The bytes that are cut again. ``shift``: by how much the file grows; ``read``: end of the stored bytes read so far."""

    data: Iterable[bytes]
    shift: int
    read: int = 0
    is_past_data: bool = False
    hash: blake3 = field(default_factory=blake3)


class _Splice:
    """One file with a recipe that is changed in one range."""

    def __init__(
        self, ingest: Ingest, contents: Contents, old: StoredEntry, place: RecipePlace, offset: int, length: int
    ) -> None:
        self._ingest = ingest
        self._contents = contents
        self._entry = entry = old.entry
        self._place = place
        self._offset = offset
        self._end = offset + length
        top: Row = (place.recipe, entry.size, place.pack, place.offset, place.stored)
        self._parts = contents.parts_of(place) or [top]
        self._part_ends = list(accumulate(row[1] for row in self._parts))
        self._frames = {*self._parts, top}
        self._packs = Counter(old.packs)
        at = min(offset, entry.size - 1)
        #: where the first chunk begins that is cut again
        self._begin = next(start for start, _ in contents.chunks_between(entry, place, at, at + 1))

    def store(self, data: Iterable[bytes]) -> StoredFile:
        """Store the changed file."""
        first = bisect_right(self._part_ends, self._begin)
        kept = self._parts[:first]
        middle = _Middle(data, self._offset - self._end, self._begin)
        for block in self._contents.blocks(self._entry, 0, self._begin):
            middle.hash.update(block)
        parts, end = self._grouped(self._rows(middle, self._part_ends[first - 1] if first else 0))
        for block in self._contents.blocks(self._entry, max(middle.read, self._end)):
            middle.hash.update(block)
        last = bisect_right(self._part_ends, end) if end >= 0 else len(self._parts)
        uses = self._uses_without(first, last)
        described = self._ingest.describe(parts)
        tops = [*kept, *(row for row, _ in described), *self._parts[last:]]
        for _, packs in described:
            uses.update(packs)
        size = self._entry.size + middle.shift
        return self._ingest.assemble(middle.hash.digest(), size, tops, uses, parts)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _rows(self, middle: _Middle, start: int) -> Iterator[tuple[Row, int]]:
        """Yield chunks from a part's start on, each with its end in the old file, or -1 where that has no cut there."""
        for _, row in self._contents.chunks_between(self._entry, self._place, start, self._begin):
            yield row, -1
        synced = -1
        for row, end in self._cut_again(middle):
            synced = end
            yield row, end
        if synced < 0:
            return
        for at, row in self._contents.chunks_between(self._entry, self._place, synced, self._entry.size):
            yield row, at + row[1]

    def _cut_again(self, middle: _Middle) -> Iterator[tuple[Row, int]]:
        """Yield stored chunks until a cut falls on one of the old file, whose end comes with the last chunk."""
        olds = self._contents.chunks_between(self._entry, self._place, self._end, self._entry.size)
        cuts = (at for at, _ in olds if at >= self._end)
        cut, at = next(cuts, self._entry.size), self._begin
        head = self._contents.read(self._entry, 0, len(SQLITE)) if self._begin else b""
        for window in cut_file(self._ingest.chunker, self._blocks(middle), self._ingest.window_bytes, head=head):
            chunks: list[Buffer] = []
            is_synced = False
            for chunk in window:
                chunks.append(chunk)
                at += len(chunk)
                # The size of the new data is known only when all of it was read.
                while middle.is_past_data and cut < at - middle.shift:
                    cut = next(cuts, self._entry.size)
                is_synced = middle.is_past_data and at - middle.shift == cut < self._entry.size
                if is_synced:
                    break
            rows = self._ingest.store_chunk_list(chunks)
            yield from ((row, -1) for row in rows[:-1])
            yield rows[-1], cut if is_synced else -1
            if is_synced:
                return

    def _blocks(self, middle: _Middle) -> Iterator[bytes]:
        """Yield the bytes to cut again, and hash them."""
        for block in self._contents.blocks(self._entry, self._begin, self._offset - self._begin):
            middle.hash.update(block)
            yield bytes(block)
        for block in middle.data:
            middle.hash.update(block)
            middle.shift += len(block)
            yield block
        middle.is_past_data = True
        middle.read = self._end
        for block in self._contents.blocks(self._entry, self._end):
            middle.hash.update(block)
            middle.read += len(block)
            yield bytes(block)

    def _grouped(self, rows: Iterable[tuple[Row, int]]) -> tuple[list[list[Row]], int]:
        """Group chunks into parts, up to an end of an old part; return its end in the old file, -1 if there was none."""
        ends = set(self._part_ends)
        parts: list[list[Row]] = [[]]
        for row, end in rows:
            parts[-1].append(row)
            if ends_part(parts[-1]):
                if end in ends:
                    return parts, end
                parts.append([])
        return [part for part in parts if part], -1

    # -- packs ---------------------------------------------------------------------------------------------------------

    def _uses_without(self, first: int, last: int) -> Counter[bytes]:
        """Return what the kept parts' chunks need of each pack: all but those of parts ``first`` to ``last``."""
        uses = Counter(self._packs)
        for row in self._frames:
            uses[row[2]] -= row[4]
        start, end = (self._part_ends[i - 1] if i else 0 for i in (first, last))
        for _, row in self._contents.chunks_between(self._entry, self._place, start, end):
            uses[row[2]] -= row[4]
        if min(uses.values(), default=0) < 0:
            return self._counted(first, last)
        return +uses

    def _counted(self, first: int, last: int) -> Counter[bytes]:
        """Return the same from the recipe, since the manifest's sums don't agree with it."""
        uses: Counter[bytes] = Counter()
        ranges = [(0, self._part_ends[first - 1] if first else 0), (self._part_ends[last - 1], self._entry.size)]
        for start, end in ranges:
            for _, row in self._contents.chunks_between(self._entry, self._place, start, end):
                uses[row[2]] += row[4]
        return uses
