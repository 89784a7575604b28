"""Fetch the frames of many files together: of those that are one chunk, and of those that have a recipe.

Files that were stored together are neighbours in a pack, and the recipe of a file follows its chunks. So the bytes from
the first possible chunk of a file to its recipe are fetched together with those of its neighbours. Chunks that are
elsewhere, because the file shares them with others, are fetched in a second step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3
from msgspec import Struct, field

from sheaf.engine.chunks.bulk.assemble import assemble
from sheaf.engine.chunks.wants import FRAME, GAP
from sheaf.errors import Corrupt, Unsupported
from sheaf.format.frame_v1 import unframe
from sheaf.format.recipe_v1 import Row, decode_rows
from sheaf.model.entries import PlaceKind
from sheaf.storage.port import Buffer

__all__ = ["WHOLE", "FetchRange", "Frame", "Gathered", "Gathering", "PackRange", "Span", "is_gathered", "slices"]

_SLICE_ROWS: Final = 2048  # enough to make the hand-over between threads cheap
_SLICE_BYTES: Final = 8 << 20  # bounds the memory that is needed
WHOLE: Final = 4 << 20  #: bytes; a larger file of several chunks is read as a stream, so that memory stays bounded
_FRAMES: Final = WHOLE + (1 << 20)  # bytes of the frames of such a file at most: incompressible data grows a little
_WASTE: Final = 3  # times the bytes of chunks may be fetched between them
Location = tuple[bytes, int, int]  #: of a frame: pack, offset, stored length
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class PackRange(NamedTuple):
    """Bytes ``start`` to ``end`` of a pack."""

    pack: bytes
    start: int
    end: int


#: Starts to fetch a range. The result is None if it can't be read as it is: moved, erased or damaged.
FetchRange = Callable[[PackRange], "Future[Buffer | None]"]


class Span(Struct, frozen=True):
    """``bytes`` fetched in one request; a gap of at most ``gap`` bytes is fetched too, instead of with a second request.

    ``most``: bytes fetched at once, in several requests. Other files wait for the next turn, however small they are: with
    the gaps between them, small files may need much more memory than their contents.
    """

    bytes: int = 8 << 20
    gap: int = GAP
    most: int = 16 << 20


class Frame(NamedTuple):
    """The location of a frame: number of the range, offset in it, stored length; and the length of its chunk in bytes."""

    range: int
    at: int
    stored: int
    length: int


class Gathered(Struct, frozen=True):
    """Files whose frames were fetched, but not verified. Rows are numbers in the batch that was gathered.

    ``ranges``: the fetched bytes. ``frames``: the frames of each row, in the order in which the files are stored.
    ``lost``: rows that must be read one by one, because bytes of theirs were moved, erased or damaged. ``rest``: rows that
    come in the next turn.
    """

    size: list[int]
    content: list[bytes]
    ranges: list[Buffer] = field(default_factory=list)
    frames: dict[int, Sequence[Frame]] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)

    def file(self, row: int) -> Buffer | None:
        """Return the verified content of a row, None if its bytes don't match."""
        views = ((memoryview(self.ranges[f.range])[f.at : f.at + f.stored], f.length) for f in self.frames[row])
        return assemble(views, self.size[row], self.content[row])


def is_gathered(batch: pa.RecordBatch) -> Mask:
    """Return a mask of the rows whose bytes can be fetched together: files, not empty, in packs, that fit into memory."""
    place, size = batch["place"].to_numpy(), batch["size"].to_numpy()
    found: Mask = (size > 0) & ((place == PlaceKind.CHUNK) | ((place == PlaceKind.RECIPE) & (size <= WHOLE)))
    return found


def slices(size: Ints) -> Iterator[tuple[int, int]]:
    """Yield slices of rows to gather at once, as (start, end). ``size``: bytes of the rows, 0 for those not gathered."""
    ends = np.cumsum(size)
    start = 0
    while start < len(size):
        limit = (ends[start - 1] if start else 0) + _SLICE_BYTES
        end = min(max(int(np.searchsorted(ends, limit, side="right")), start + 1), start + _SLICE_ROWS)
        yield start, end
        start = end


class Gathering:
    """Fetches the frames of the rows for which :func:`is_gathered` is true. The first requests are sent immediately."""

    def __init__(
        self, batch: pa.RecordBatch, fetch: FetchRange, span: Span | None = None, rows: Sequence[int] | None = None
    ) -> None:
        self._batch = batch
        self._fetch = fetch
        self._span = span or Span()
        self._rows = _Located.of(batch, rows)
        size, content = batch["size"].to_numpy().tolist(), batch["content"].to_numpy(zero_copy_only=False).tolist()
        self._found = Gathered(size, content)
        self._known: dict[bytes, list[tuple[int, int, int]]] = {}  # by pack: start, end and number of fetched ranges
        self._found.lost.extend(self._rows.odd)
        self._runs = [(first, last, each, fetch(each)) for first, last, each in self._planned()]

    def _planned(self) -> Iterator[tuple[int, int, PackRange]]:
        """Yield what to fetch now; what is too much becomes the rest."""
        total = 0
        for first, last, each in self._rows.runs(self._span):
            total += each.end - each.start
            if first and total > self._span.most:
                self._found.rest.extend(self._rows.row[first:].tolist())
                return
            yield first, last, each

    def results(self) -> Iterator[Gathered]:
        """Wait for the bytes of all files, and yield them, as many at a time as the span allows."""
        gathered, self._found = self._result(), Gathered([], [])  # not referenced here while others are fetched
        yield gathered
        while rest := gathered.rest:
            del gathered
            gathered = Gathering(self._batch, self._fetch, self._span, rest)._result()
            yield gathered

    def _result(self) -> Gathered:
        recipes: list[tuple[int, bytes]] = []
        for first, last, each, future in self._runs:
            data = future.result()
            if data is None:
                self._found.lost.extend(self._rows.row[first:last].tolist())
            else:
                recipes += self._locate(first, last, each, data)
        self._runs.clear()
        self._follow(recipes)
        return self._found

    def _locate(self, first: int, last: int, each: PackRange, data: Buffer) -> Iterator[tuple[int, bytes]]:
        """Note where the frames of a range are. Yield the rows, with the recipe's hash, whose frame is a recipe."""
        number, frames, size = self._add(each, data), self._found.frames, self._found.size
        for row, offset, stored, recipe in self._rows.values(first, last):
            frames[row] = (Frame(number, offset - each.start, stored, size[row]),)
            if recipe is not None:
                yield row, recipe

    def _add(self, each: PackRange, data: Buffer) -> int:
        number = len(self._found.ranges)
        self._found.ranges.append(data)
        known = self._known.setdefault(each.pack, [])
        known.append((each.start, each.end, number))
        known.sort()
        return number

    def _follow(self, recipes: list[tuple[int, bytes]]) -> None:
        """Replace the frames of recipes by those of the chunks that they list; fetch what is in no range yet."""
        late: dict[int, list[Row]] = {}
        missing: set[Location] = set()
        size = 0
        for row, recipe in recipes:
            listed = self._listed(row, recipe)
            if listed is None:
                self._lose(row)
            elif there := self._find(row, listed):
                size += sum(stored for _, _, stored in there)
                if late and size > self._span.most // 2:
                    self._postpone(row)
                    continue
                late[row] = listed
                missing |= there
        for each, future in [(each, self._fetch(each)) for each in _ranges_of(missing, self._span)]:
            data = future.result()
            if data is not None:
                self._add(each, data)
        for row, listed in late.items():
            if self._find(row, listed):
                self._lose(row)

    def _lose(self, row: int) -> None:
        del self._found.frames[row]
        self._found.lost.append(row)

    def _postpone(self, row: int) -> None:
        del self._found.frames[row]
        self._found.rest.append(row)

    def _listed(self, row: int, recipe: bytes) -> list[Row] | None:
        """Return the chunks that a recipe lists. None if it is damaged, lists parts, doesn't match the file or is too long."""
        (frame,) = self._found.frames[row]
        try:
            data = unframe(memoryview(self._found.ranges[frame.range])[frame.at : frame.at + frame.stored], "a recipe")
            listed = decode_rows(data, "a recipe") if blake3(data).digest() == recipe else None
        except (Corrupt, Unsupported):
            return None
        if listed is None or sum(chunk[1] for chunk in listed) != self._found.size[row]:
            return None
        return listed if sum(chunk[4] for chunk in listed) <= _FRAMES else None

    def _find(self, row: int, listed: list[Row]) -> set[Location]:
        """Note where the chunks of a file are. Return those that are in no range."""
        found: list[Frame] = []
        missing: set[Location] = set()
        for _, length, pack, offset, stored in listed:
            known = self._known.get(pack, ())
            at = bisect_right(known, offset, key=_start) - 1
            # Of two ranges that overlap the first may be the one that has the whole chunk.
            for start, end, number in known[max(at - 1, 0) : at + 1]:
                if start <= offset and offset + stored <= end:
                    found.append(Frame(number, offset - start, stored, length))
                    break
            else:
                missing.add((pack, offset, stored))
        if not missing:
            self._found.frames[row] = found
        return missing


def _start(known: tuple[int, int, int]) -> int:
    return known[0]


class _Located(Struct, frozen=True):
    """The location of the chunk or recipe of each row, sorted by pack and offset.

    ``begin``: where the first chunk is if all of them precede the recipe. ``odd``: rows with an invalid stored length.
    """

    row: Ints
    pack: Ints
    packs: list[bytes]
    begin: Ints
    offset: Ints
    stored: Ints
    recipe: list[bytes | None]
    odd: list[int]

    @classmethod
    def of(cls, batch: pa.RecordBatch, rows: Sequence[int] | None) -> _Located:
        wanted = is_gathered(batch)
        if rows is not None:
            chosen = np.zeros(len(wanted), np.bool_)
            chosen[rows] = True
            wanted &= chosen
        is_odd = wanted & (batch["stored"].fill_null(0).to_numpy() > FRAME)
        row = np.flatnonzero(wanted & ~is_odd)
        located = batch if len(row) == batch.num_rows else batch.take(pa.array(row))
        packs = located["pack"].dictionary_encode()
        pack = packs.indices.to_numpy().astype(np.int64)
        offset, stored = (located[name].to_numpy().astype(np.int64) for name in ("offset", "stored"))
        order = np.lexsort((offset, pack))
        # A manifest may say anything. What is missing because of that is fetched in the second step.
        begin = np.maximum(offset + stored - np.clip(_live(located), stored, stored + _FRAMES), 0)
        recipe = located["recipe"].take(pa.array(order)).to_numpy(zero_copy_only=False).tolist()
        where = begin[order], offset[order], stored[order]
        odd: list[int] = np.flatnonzero(is_odd).tolist()
        return cls(row[order], pack[order], packs.dictionary.to_pylist(), *where, recipe, odd)

    def values(self, first: int, last: int) -> Iterator[tuple[int, int, int, bytes | None]]:
        """Return row, offset, stored length and recipe of some rows."""
        columns = (column[first:last].tolist() for column in (self.row, self.offset, self.stored))
        return zip(*columns, self.recipe[first:last], strict=True)

    def runs(self, span: Span) -> Iterator[tuple[int, int, PackRange]]:
        """Yield what to fetch, as (first, end, range): neighbours in one pack, without big gaps."""
        end = self.offset + self.stored
        new = (np.diff(self.pack) != 0) | (self.begin[1:] - end[:-1] > span.gap)
        first, edges = 0, [*(np.flatnonzero(new) + 1).tolist(), len(end)]
        for edge in edges:
            while first < edge:
                # Frames of a damaged manifest may overlap: a later one may end before an earlier one.
                ends = np.maximum.accumulate(end[first:edge])
                limit = max(int(self.begin[first]) + span.bytes, int(ends[0]))
                last = first + int(np.searchsorted(ends, limit, side="right"))
                low = int(self.begin[first:last].min())
                if first and self.pack[first - 1] == self.pack[first]:
                    # What precedes is in the range before.
                    low = max(low, min(int(end[first - 1]), int(self.offset[first])))
                yield first, last, PackRange(self.packs[self.pack[first]], low, int(ends[last - first - 1]))
                first = last


def _live(batch: pa.RecordBatch) -> Ints:
    """Return the bytes of the frames of each file in the pack of its recipe: 0 for a file that is one chunk.

    Without the column with these bytes, which callers may leave out, this is the file's size: at least as much.
    """
    uses = batch["packs"]
    inner = uses.flatten()
    if not len(inner):
        is_recipe = batch["place"].to_numpy() == PlaceKind.RECIPE
        return np.where(is_recipe, batch["size"].to_numpy() + batch["stored"].to_numpy(), 0).astype(np.int64)
    owner = np.repeat(np.arange(batch.num_rows), np.diff(uses.offsets.to_numpy()))
    packs = pa.concat_arrays([inner.field("pack"), batch["pack"]]).dictionary_encode().indices.to_numpy()
    is_own = packs[: len(inner)] == packs[len(inner) :][owner]
    live = np.where(is_own, inner.field("live").to_numpy(), 0)
    # As floating-point numbers, sums of hostile values are large, not negative.
    return np.clip(np.bincount(owner, live, batch.num_rows), 0, 1 << 40).astype(np.int64)


def _ranges_of(missing: set[Location], span: Span) -> Iterator[PackRange]:
    """Yield what to fetch for some frames: neighbours in one pack, without big gaps."""
    current: PackRange | None = None
    useful = wasted = 0
    for pack, offset, stored in sorted(missing):
        end = offset + stored
        if current is not None:
            gap = max(offset - current.end, 0)
            is_near = pack == current.pack and gap <= span.gap and end - current.start <= span.bytes
            if is_near and wasted + gap <= _WASTE * (useful + stored):
                current = PackRange(pack, current.start, max(end, current.end))
                useful, wasted = useful + stored, wasted + gap
                continue
            yield current
        current, useful, wasted = PackRange(pack, offset, end), stored, 0
    if current is not None:
        yield current
