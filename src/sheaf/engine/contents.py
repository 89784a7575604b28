"""Bytes out: fetched together where they lie together, verified before anyone sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pyarrow as pa
from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.errors import Corrupt, NotFound, Unsupported
from sheaf.format import keys
from sheaf.format.moved_v1 import Moved, decode_moved
from sheaf.format.node_v1 import hashes_array
from sheaf.format.pack_v1 import MAX_CHUNK, RAW, unframe
from sheaf.format.recipe_v1 import Part, Row, decode_part
from sheaf.model.entries import ChunkPlace, Entry, ObjectPlace, PlaceKind, RecipePlace
from sheaf.storage.port import Buffer

__all__ = ["Contents", "Erased", "Want", "opened"]

_SPAN = 8 << 20  # bytes fetched in one go
_GAP = 64 << 10  # a hole of at most so many bytes is fetched along rather than asked around
_AHEAD = 4  # spans being fetched while one is consumed
_FRAME = MAX_CHUNK + (1 << 20)  # bytes of the longest frame: what can't be compressed may grow by a little
_HOPS = 8  # forwarding addresses to follow


class Erased(NotFound):
    """The bytes were removed from the store for good, on purpose."""

    kind = "erased"


@dataclass(frozen=True, slots=True)
class Want:
    """A chunk to fetch: who asks, where it is, what it must be (``length`` -1: any)."""

    tag: int
    pack: bytes
    offset: int
    stored: int
    hash: bytes
    length: int


class Contents:
    """Reads files of a store by their place. Safe to use from many threads."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._moved: dict[bytes, Moved] = {}
        self._parts: dict[bytes, Part] = {}
        self._lock = Lock()

    # -- files ---------------------------------------------------------------------------------------------------------

    def chunks(self, batch: pa.RecordBatch) -> Iterator[tuple[int, bytes]]:
        """(row number, content) of the rows of a batch whose file is one chunk, in the order in which they are stored."""
        rows = np.flatnonzero(batch["place"].to_numpy() == PlaceKind.CHUNK)
        if not len(rows):
            return
        chosen = batch.take(pa.array(rows))
        content = hashes_array(chosen["content"])
        columns = (chosen[name].to_pylist() for name in ("pack", "offset", "stored", "size"))
        wants = [
            Want(int(row), pack, offset, stored, content[i].tobytes(), size)
            for i, (row, pack, offset, stored, size) in enumerate(zip(rows, *columns, strict=True))
        ]
        wants.sort(key=lambda want: (want.pack, want.offset))
        yield from self.fetch(wants)

    def blocks(self, entry: Entry, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of one file from ``start`` on, ``length`` of them (None: to the end), as consecutive blocks."""
        end = entry.size if length is None else min(entry.size, start + length)
        if start >= end:
            return
        at = start
        for offset, block in self._pieces(entry, start, end):
            piece = block[max(start - offset, 0) : end - offset]
            at += len(piece)
            yield piece
        if at != end:
            raise Corrupt(f"'{entry.path}' has {at} bytes in the store where its manifest says {end}")

    def read(self, entry: Entry, start: int = 0, length: int | None = None) -> bytes:
        """The same in one piece."""
        return b"".join(self.blocks(entry, start, length))

    def _pieces(self, entry: Entry, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """(offset in the file, verified bytes) of the chunks that overlap a range."""
        match entry.place:
            case ChunkPlace(pack, offset, stored):
                want = Want(0, pack, offset, stored, entry.content, entry.size)
                yield 0, next(self.fetch([want]))[1]
            case RecipePlace():
                yield from self.fetch(self._wanted(entry, entry.place, start, end))
            case ObjectPlace(session):
                yield 0, self._object(session, entry)
            case _:
                raise Unsupported(f"the bytes of '{entry.path}' are elsewhere: {entry.place}", "fetch them from there")

    def _object(self, session: str, entry: Entry) -> bytes:
        key = keys.object(session, entry.content)
        data = self._core.backend.get(key)
        if blake3(data).digest() != entry.content:
            raise Corrupt(f"{key} is damaged: its bytes don't match its hash", "run `sheaf store check`")
        return data

    # -- recipes -------------------------------------------------------------------------------------------------------

    def recipe_rows(self, place: RecipePlace) -> Iterator[tuple[bytes, int, bytes, int, int]]:
        """All rows of a recipe, tops and parts included: (hash, length, pack, offset, stored)."""
        top = self._part(place.recipe, place.pack, place.offset, place.stored)
        for i in range(len(top.hashes)):
            row = top.row(i)
            yield row
            if top.level:
                part = self._part(row[0], *row[2:])
                yield from map(part.row, range(len(part.hashes)))

    def leaves(self, entry: Entry, place: RecipePlace) -> Iterator[Row]:
        """The chunks of a file in order: (hash, length, pack, offset, stored)."""
        for want in self._wanted(entry, place, 0, entry.size):
            yield want.hash, want.length, want.pack, want.offset, want.stored

    def _wanted(self, entry: Entry, place: RecipePlace, start: int, end: int) -> Iterator[Want]:
        top = self._part(place.recipe, place.pack, place.offset, place.stored)
        if (size := int(top.lengths.sum())) != entry.size:
            raise Corrupt(f"'{entry.path}' has {size} bytes in the store where its manifest says {entry.size}")
        parts = [(0, top)] if top.level == 0 else self._parts_of(top, start, end)
        for base, part in parts:
            for i, at in _overlapping(part, base, start, end):
                hash, length, pack, offset, stored = part.row(i)
                yield Want(at, pack, offset, stored, hash, length)

    def _parts_of(self, top: Part, start: int, end: int) -> Iterator[tuple[int, Part]]:
        for i, at in _overlapping(top, 0, start, end):
            hash, length, pack, offset, stored = top.row(i)
            part = self._part(hash, pack, offset, stored)
            if part.level or int(part.lengths.sum()) != length:
                raise Corrupt(f"recipe {hash.hex()} is not the part that its parent describes")
            yield at, part

    def _part(self, hash: bytes, pack: bytes, offset: int, stored: int) -> Part:
        with self._lock:
            part = self._parts.get(hash)
        if part is None:
            _, data = next(self.fetch([Want(0, pack, offset, stored, hash, -1)]))
            part = decode_part(data, f"recipe {hash.hex()}")
            with self._lock:
                if len(self._parts) >= 64:
                    self._parts.pop(next(iter(self._parts)))
                self._parts[hash] = part
        return part

    # -- chunks --------------------------------------------------------------------------------------------------------

    def fetch(self, wants: Iterable[Want]) -> Iterator[tuple[int, bytes]]:
        """(tag, verified bytes) of each chunk, in the order given; the next spans are fetched meanwhile."""
        pending: deque[Future[list[tuple[Want, Buffer]]]] = deque()
        for span in _spans(wants):
            pending.append(self._core.io.submit(self._span, span))
            if len(pending) > _AHEAD:
                yield from map(_verified, pending.popleft().result())
        while pending:
            yield from map(_verified, pending.popleft().result())

    def _span(self, span: list[Want]) -> list[tuple[Want, Buffer]]:
        first = span[0]
        length = max(want.offset + want.stored for want in span) - first.offset
        try:
            data = memoryview(self._core.backend.get_ranges(keys.pack(first.pack), [(first.offset, length)])[0])
        except NotFound:
            return [(want, self._forwarded(want)) for want in span]
        return [(want, data[want.offset - first.offset :][: want.stored]) for want in span]

    def _forwarded(self, want: Want) -> Buffer:
        pack, offset, stored = self.locate(want.pack, want.offset)
        if stored > _FRAME:
            raise Corrupt(f"{_name(pack, offset)} is said to have {stored} bytes", "run `sheaf store check`")
        return self._core.backend.get_ranges(keys.pack(pack), [(offset, stored)])[0]

    def locate(self, pack: bytes, offset: int) -> tuple[bytes, int, int]:
        """Where gc or erase has put the chunk of a pack that is gone: (pack, offset, stored length).

        Raises:
            Erased: the chunk was erased on purpose.
            Corrupt: nobody knows.
        """
        gone = pack
        for _ in range(_HOPS):
            pack, offset, stored = self._next_address(pack, offset)
            if self._core.backend.stat(keys.pack(pack)) is not None:
                return pack, offset, stored
        raise Corrupt(f"pack {gone.hex()} was moved more than {_HOPS} times", "run `sheaf store gc`")

    def _next_address(self, pack: bytes, offset: int) -> tuple[bytes, int, int]:
        try:
            place = self._addresses(pack).find(offset)
        except KeyError:
            raise Corrupt(f"pack {pack.hex()} is gone, and the chunk at {offset} with it") from None
        if place is None:
            raise Erased("these bytes were erased from the store", "see `sheaf store erased`")
        return place

    def _addresses(self, pack: bytes) -> Moved:
        if pack not in self._moved:
            key = self._core.backend.newest(keys.moved(pack, 0).rpartition("/")[0] + "/")
            if key is None:
                raise Corrupt(f"pack {pack.hex()} is missing", "run `sheaf store check`")
            self._moved[pack] = decode_moved(self._core.backend.get(key), key)
        return self._moved[pack]


def _overlapping(part: Part, base: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(row, offset in the file) of the rows that overlap a range; ``base`` is where the part begins."""
    ends = base + np.cumsum(part.lengths, dtype=np.int64)
    first = int(np.searchsorted(ends, start, side="right"))
    for i in range(first, len(ends)):
        at = int(ends[i]) - int(part.lengths[i])
        if at >= end:
            return
        yield i, at


def _spans(wants: Iterable[Want]) -> Iterator[list[Want]]:
    """Group chunks that follow each other closely in one pack."""
    span: list[Want] = []
    for want in wants:
        if want.stored > _FRAME:
            raise Corrupt(
                f"{_name(want.pack, want.offset)} is said to have {want.stored} bytes", "run `sheaf store check`"
            )
        if span:
            last = span[-1]
            gap = want.offset - last.offset - last.stored
            near = want.pack == last.pack and want.offset >= span[0].offset and gap <= _GAP
            if not near or want.offset + want.stored - span[0].offset > _SPAN:
                yield span
                span = []
        span.append(want)
    if span:
        yield span


def _verified(fetched: tuple[Want, Buffer]) -> tuple[int, bytes]:
    """(tag, content) of a chunk whose frame was fetched. Raises Corrupt."""
    want, frame = fetched
    return want.tag, opened(memoryview(frame), want.hash, want.length, want.pack, want.offset)


def opened(frame: memoryview, hash: bytes, length: int, pack: bytes, offset: int) -> bytes:
    """The chunk inside a frame, checked. ``length`` -1: any; the last two are for messages. Raises Corrupt."""
    if frame[:1] == RAW:
        data = bytes(frame[1:])
    else:
        data = unframe(frame, _name(pack, offset), min(length, MAX_CHUNK) if length >= 0 else MAX_CHUNK)
    if blake3(data).digest() != hash or length not in (-1, len(data)):
        what = f"{_name(pack, offset)} is damaged: its bytes don't match their hash"
        raise Corrupt(what, "run `sheaf store check --read-data`")
    return data


def _name(pack: bytes, offset: int) -> str:
    return f"the chunk at {offset} of pack {pack.hex()}"
