"""Read many whole files by ranges of packs, for programs that read a bundle from end to end.

Files that were stored together are neighbours, and so are the recipes of those that have several chunks. So the range
from the first to the last of them is fetched in one request; chunks that are elsewhere (deduplicated) are fetched
later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sheaf.engine.chunks.chunk_reader import DAMAGE, Contents, Want, opened
from sheaf.engine.core import Core
from sheaf.engine.manifest.tree import entry_at
from sheaf.errors import Corrupt
from sheaf.fork import Lock
from sheaf.format import keys
from sheaf.format.recipe_v1 import decode_part
from sheaf.model.entries import PlaceKind, RecipePlace

__all__ = ["Bulk"]

_BIG = 8 << 20  # bytes; a larger file of many chunks is read by itself
_GAP = 1 << 20  # unneeded bytes that are fetched too, instead of with another request
_SMALL = 32 << 10  # average bytes of a file up to which one thread at a time extracts files
_RANGE = 40 << 20  # bytes fetched in one request: a whole pack
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start`` to ``end`` of a pack, and the rows whose chunk or recipe is in them, in the order of storage."""

    pack: bytes
    start: int
    end: int
    rows: list[int]


@dataclass(slots=True)
class BulkRead:
    """The files of one call. ``late``: chunks that were in no range, as (row, number in the file, location)."""

    batch: pa.RecordBatch
    whole: list[bytes]
    parts: dict[int, list[bytes]] = field(default_factory=dict)
    late: list[tuple[int, int, Want]] = field(default_factory=list)

    def column(self, name: str, rows: list[int]) -> list[Any]:
        """Return some values of a column as Python objects."""
        values: list[Any] = self.batch[name].take(pa.array(rows)).to_numpy(zero_copy_only=False).tolist()
        return values


class Bulk:
    """Reads whole files of a store. Thread-safe, but not for use on threads of ``Core.io``."""

    def __init__(self, core: Core, contents: Contents) -> None:
        self._core = core
        self._contents = contents
        self._turn = Lock()

    def read(self, batch: pa.RecordBatch) -> list[bytes]:
        """Return the verified content of each row of a manifest; all must be files.

        Raises Corrupt, Unavailable, and Unsupported for external bytes.
        """
        reading = BulkRead(batch, [b""] * batch.num_rows)
        place, size = batch["place"].to_numpy(), batch["size"].to_numpy()
        alone = (place == PlaceKind.OBJECT) | (place == PlaceKind.EXTERNAL)
        alone |= (place == PlaceKind.RECIPE) & (size > _BIG)
        pending = [(each, self._core.io.submit(self._fetch, each)) for each in _ranges(batch, place, size, ~alone)]
        for each, future in pending:
            data = future.result()
            # Several threads that extract small files only wait for Python's lock, twice a file.
            with self._turn if each.end - each.start < _SMALL * len(each.rows) else nullcontext():
                self._extract(reading, each, data)
        self._read_late(reading)
        for i, parts in reading.parts.items():
            reading.whole[i] = b"".join(parts)
        for i in np.flatnonzero(alone).tolist():
            reading.whole[i] = self._contents.read(entry_at(batch, i))
        _check_sizes(reading, size)
        return reading.whole

    def _fetch(self, wanted: Range) -> memoryview | None:
        try:
            key, length = keys.pack(wanted.pack), wanted.end - wanted.start
            return memoryview(self._core.backend.get_ranges(key, [(wanted.start, length)])[0])
        except DAMAGE:
            # Gc has moved what is in it, or some of it is damaged: each chunk is then fetched by itself.
            return None

    def _extract(self, reading: BulkRead, wanted: Range, data: memoryview | None) -> None:
        """Extract the rows of a range from its bytes; chunks that are not in there are fetched by themselves."""
        rows, pack, start, whole = wanted.rows, wanted.pack, wanted.start, reading.whole
        columns = [reading.column(name, rows) for name in ("place", "offset", "stored", "size", "content", "recipe")]
        chunk = int(PlaceKind.CHUNK)
        for i, place, offset, stored, size, content, recipe in zip(rows, *columns, strict=True):
            is_chunk = place == chunk
            hash, length = (content, size) if is_chunk else (recipe, -1)
            bytes_ = None if data is None else _sound(data[offset - start :], hash, length, pack, offset, stored)
            if bytes_ is None:
                bytes_ = next(self._contents.fetch([Want(0, pack, offset, stored, hash, length)]))[1]
            if is_chunk:
                whole[i] = bytes_
            else:
                self._follow(reading, i, RecipePlace(recipe, pack, offset, stored), bytes_, wanted, data)

    def _follow(
        self, reading: BulkRead, i: int, place: RecipePlace, recipe: bytes, wanted: Range, data: memoryview | None
    ) -> None:
        """Collect the chunks of a recipe: those in the range now, the others later."""
        part = decode_part(recipe, f"recipe {place.recipe.hex()}")
        count = len(part.hashes)
        entry = entry_at(reading.batch, i)
        chunks = list(self._contents.leaves(entry, place)) if part.level else [part.row(k) for k in range(count)]
        parts = reading.parts[i] = [b""] * len(chunks)
        for k, (hash, length, pack, offset, stored) in enumerate(chunks):
            at = offset - wanted.start
            is_here = data is not None and pack == wanted.pack and 0 <= at <= len(data) - stored
            found = _sound(data[at:], hash, length, pack, offset, stored) if data is not None and is_here else None
            if found is None:
                reading.late.append((i, k, Want(0, pack, offset, stored, hash, length)))
            else:
                parts[k] = found

    def _read_late(self, reading: BulkRead) -> None:
        late = sorted(reading.late, key=lambda item: (item[2].pack, item[2].offset))
        found = self._contents.fetch([want for _, _, want in late])
        for (i, k, _), (_, content) in zip(late, found, strict=True):
            reading.parts[i][k] = content


def _sound(data: memoryview, hash: bytes, length: int, pack: bytes, offset: int, stored: int) -> bytes | None:
    """Return the chunk whose frame begins ``data``, None if it is damaged or incomplete: it is then fetched again."""
    try:
        return opened(data[:stored], hash, length, pack, offset)
    except DAMAGE:
        return None


def _ranges(batch: pa.RecordBatch, place: Ints, size: Ints, together: npt.NDArray[np.bool_]) -> Iterator[Range]:
    """Yield what to fetch: in each pack, from the first possible byte of a file to the last one, without big gaps."""
    rows = np.flatnonzero(together & (place != PlaceKind.NONE))
    if not len(rows):
        return
    packs = batch["pack"].take(pa.array(rows)).dictionary_encode()
    number = packs.indices.to_numpy()
    offset = batch["offset"].take(pa.array(rows)).to_numpy().astype(np.int64)
    stored = batch["stored"].take(pa.array(rows)).to_numpy()
    order = np.lexsort((offset, number))
    rows, number, offset, stored = rows[order], number[order], offset[order], stored[order]
    # A recipe follows the chunks of its file.
    begin = np.where(place[rows] == PlaceKind.CHUNK, offset, np.maximum(offset - size[rows], 0))
    end = offset + stored
    for first, last in _runs(number, begin, end):
        low = int(begin[first:last].min())
        if first and number[first - 1] == number[first]:
            low = max(low, min(int(end[first - 1]), int(offset[first])))
        yield Range(packs.dictionary[int(number[first])].as_py(), low, int(end[last - 1]), rows[first:last].tolist())


def _runs(number: Ints, begin: Ints, end: Ints) -> Iterator[tuple[int, int]]:
    """Yield the runs in one pack that have no big gap and aren't longer than a range may be, as (first, end)."""
    new = (np.diff(number) != 0) | (begin[1:] - end[:-1] > _GAP)
    first, edges = 0, [*(np.flatnonzero(new) + 1).tolist(), len(number)]
    for edge in edges:
        while first < edge:
            last = max(int(np.searchsorted(end[first:edge], begin[first] + _RANGE, side="right")) + first, first + 1)
            yield first, last
            first = last


def _check_sizes(reading: BulkRead, size: Ints) -> None:
    found = np.fromiter(map(len, reading.whole), np.int64, len(reading.whole))
    for i in np.flatnonzero(found != size).tolist():
        path = entry_at(reading.batch, i).path
        raise Corrupt(f"'{path}' has {found[i]} bytes in the store, but {size[i]} in its manifest")
