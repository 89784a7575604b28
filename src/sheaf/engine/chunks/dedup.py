"""Find chunks that are stored already. The index may be wrong or missing: that costs space and nothing else.

There are two sources, in this order: the chunks that this session has stored itself, and the index objects that were
listed after the session was registered. What the index lists for a pack is used once the pack's own table confirms it
(:mod:`sheaf.engine.chunks.checked_index`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from msgspec import Struct

from sheaf.engine.chunks.checked_index import Listed, LoadTable
from sheaf.engine.core import Core
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.sessions.sessions import Open
from sheaf.errors import Corrupt, NotFound
from sheaf.fork import Lock, Threads
from sheaf.format import keys
from sheaf.format.columns import Array, Hashes, hashes_of, leading
from sheaf.format.index_v1 import Segment, decode_index, encode_index, sorted_segment
from sheaf.format.pack_v1 import PackTable

__all__ = ["ChunkIndex", "FoundChunks", "ListedSegments", "load_segments", "merge_index"]

_NO_PACKS = np.zeros((0, 32), np.uint8)

Ints = npt.NDArray[np.int64]


class FoundChunks(Struct, frozen=True):
    """Where wanted chunks are: arrays of one length, in the order of the hashes.

    ``pack``: number of the pack, -1 if not stored yet. ``offset``, ``stored``: bytes. ``listed``: True if only an index
    object lists the chunk.
    """

    pack: Ints
    offset: Ints
    stored: Ints
    listed: npt.NDArray[np.bool_]


def _nothing(pack: bytes, rows: int) -> PackTable:
    raise NotFound(f"unknown pack {pack.hex()}")


class ListedSegments:
    """The index objects that a session has listed. Thread-safe."""

    def __init__(self, core: Core, opened: Open, *, is_sparing: bool = False) -> None:
        """``is_sparing``: load the index when it is needed, a large one only for more bytes of contents than it has itself.

        Until then contents may be stored again, which takes less than loading the index would.
        """
        self._core = core
        self._listed = opened.index
        self._least = opened.index_bytes if is_sparing and opened.index_bytes > core.limits.index_eager else 0
        self._lock = Lock()
        self._loaded: list[tuple[str, Segment]] | None = None
        if not is_sparing:
            # An upload surely needs it, and loads it while nothing else waits.
            self.load()

    def for_bytes(self, size: int) -> list[tuple[str, Segment]]:
        """Return the objects to look up chunks of so many bytes, none if it isn't worth it yet."""
        with self._lock:
            self._least -= size
            if self._least > 0:
                return []
        return self.load()

    def load(self) -> list[tuple[str, Segment]]:
        """Return the objects with their names."""
        with self._lock:
            if self._loaded is None:
                self._loaded = load_segments(self._core, self._listed)
            return self._loaded

    def crowd(self) -> list[tuple[str, Segment]]:
        """Return the objects if they are loaded, or if so many are on one level that they should be merged; else none."""
        levels = Counter(name.split("/")[1] for name in self._listed or ())
        if self._loaded is None and max(levels.values(), default=0) < self._core.limits.index_merge:
            return []
        return self.load()


class ChunkIndex:
    """The locations of chunks by hash. Packs are numbered here. Thread-safe."""

    def __init__(
        self,
        segments: ListedSegments | list[tuple[str, Segment]],
        avoid: frozenset[bytes],
        load: LoadTable = _nothing,
        limits: Limits = DEFAULT,
    ) -> None:
        self._freeze = limits.index_freeze
        self.packs: list[bytes] = []
        self._number: dict[bytes, int] = {}
        self._lock = Lock()
        self._recent: dict[bytes, tuple[int, int, int]] = {}
        self._own: tuple[Segment, ...] = ()
        self._segments = segments
        self._avoid = avoid
        self._load = load
        self._listed: list[Listed] = []
        if isinstance(segments, list):
            self._listed = self._opened(segments)

    def number(self, pack: bytes) -> int:
        """Return the number of a pack, which it gets at its first use."""
        with self._lock:
            if pack not in self._number:
                self._number[pack] = len(self.packs)
                self.packs.append(pack)
            return self._number[pack]

    def find(self, hashes: list[bytes], size: int = 0) -> FoundChunks:
        """Return where these chunks are. ``size``: bytes of all of them."""
        n = len(hashes)
        found = FoundChunks(
            np.full(n, -1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        )
        for i, hash in enumerate(hashes):
            if (place := self._recent.get(hash)) is not None:
                found.pack[i], found.offset[i], found.stored[i] = place
        listed = self._open_listed(size)
        if not self._own and not listed:
            return found
        wanted = hashes_of(hashes)
        lead = leading(wanted)
        for segment in self._own:
            self._fill(found, segment, segment.find(wanted, lead), None)
        own = found.pack >= 0
        for each in listed:
            self._fill(found, each.segment, each.find(wanted, lead), each.segment.packs)
        found.listed[:] = (found.pack >= 0) & ~own
        return found

    def _open_listed(self, size: int) -> list[Listed]:
        """Return the index objects, none if it isn't worth loading them for so many bytes."""
        if not self._listed and isinstance(self._segments, ListedSegments):
            segments = self._segments.for_bytes(size)
            with self._lock:
                self._listed = self._listed or self._opened(segments)
        return self._listed

    def _opened(self, segments: list[tuple[str, Segment]]) -> list[Listed]:
        return [Listed(segment, self._avoid, self._load) for _, segment in segments]

    def add(self, hash: bytes, pack: int, offset: int, stored: int) -> None:
        """Add a chunk that this session has stored. Not for two threads at once."""
        self.add_all([(hash, (pack, offset, stored))])

    def add_all(self, chunks: Iterable[tuple[bytes, tuple[int, int, int]]]) -> None:
        """Add chunks that this session has stored: hash, and (number of the pack, offset, stored length) of each."""
        self._recent.update(chunks)
        if len(self._recent) >= self._freeze:
            self._own = (*self._own, self._frozen())
            self._recent = {}

    def has_own(self, hash: bytes) -> tuple[int, int, int] | None:
        """Return where this session has stored a chunk recently, or None."""
        return self._recent.get(hash)

    def _frozen(self) -> Segment:
        count = 3 * len(self._recent)
        places = np.fromiter(chain.from_iterable(self._recent.values()), np.int64, count).reshape(-1, 3)
        hashes = hashes_of(list(self._recent))
        return sorted_segment(_NO_PACKS, hashes, places[:, 0], places[:, 1], places[:, 2])

    def _fill(self, found: FoundChunks, segment: Segment, row: Ints, packs: Hashes | None) -> None:
        """Fill in what a segment has. ``packs``: ids of the segment's packs, None if they have the same numbers as here."""
        hit = (row >= 0) & (found.pack < 0)
        if not hit.any():
            return
        at = row[hit]
        pack = segment.pack[at].astype(np.int64)
        if packs is not None:
            used, back = np.unique(pack, return_inverse=True)
            pack = np.array([self.number(packs[number].tobytes()) for number in used], np.int64)[back]
        found.pack[hit] = pack
        found.offset[hit] = segment.offset[at]
        found.stored[hit] = segment.stored[at]


# -- index objects -----------------------------------------------------------------------------------------------------


def load_segments(core: Core, listed: Sequence[str] | None = None) -> list[tuple[str, Segment]]:
    """Return the index objects that are (or were) ``listed``, with their names. Damaged ones are left out."""
    names = [stat.key for stat in core.backend.list(keys.INDEX)] if listed is None else list(listed)
    loaded = _load_all(core.io, core, names)
    # Index objects may have been merged and deleted between the listing and the reading: list them again.
    if any(segment is None for segment in loaded):
        names = [stat.key for stat in core.backend.list(keys.INDEX)]
        loaded = _load_all(core.io, core, names)
    return [(name, segment) for name, segment in zip(names, loaded, strict=True) if segment is not None]


def _load_all(pool: Threads, core: Core, names: list[str]) -> list[Segment | None]:
    return list(pool.map(lambda name: _load(core, name), names))


def _load(core: Core, name: str) -> Segment | None:
    def decode(data: bytes) -> Segment:
        if blake3(data).hexdigest() != name.rpartition("-")[2]:
            raise Corrupt(f"{name} is damaged")
        return decode_index(data, name)[1]

    try:
        return core.load(name, decode)
    except (NotFound, Corrupt):
        return None


def write_index(core: Core, session: str, segment: Segment, level: int = 0, replaces: tuple[str, ...] = ()) -> str:
    """Create an index object; return its key. Too many chunks are split into several objects; this returns the last key."""
    if len(segment) > (most := core.limits.index_chunks):
        for at in range(0, len(segment), most):
            key = write_index(core, session, segment.rows(at, at + most), level, replaces)
        return key
    data = encode_index(session, segment, replaces)
    key = keys.index(level, core.clock.new_id(), blake3(data).digest())
    core.create(key, data)
    return key


def merge_index(core: Core, opened: Open, segments: list[tuple[str, Segment]]) -> None:
    """Merge the index objects of a level into one of the next where there are 16 or more.

    This runs inside a session and leaves condemned packs out, so that a merge can't list again what gc has removed. If
    another process merges the same objects concurrently, the results overlap, which is harmless.
    """
    limits = core.limits
    merged = {old for _, segment in segments for old in segment.replaces}
    # Merged by a user who may not delete, or who was interrupted. Merging them again would add an object with each upload.
    over = [name for name, _ in segments if name in merged]
    levels: dict[int, list[tuple[str, Segment]]] = {}
    for name, segment in segments:
        if name not in merged:
            levels.setdefault(int(name.split("/")[1]), []).append((name, segment))
    for level, members in levels.items():
        if len(members) >= limits.index_merge and sum(len(segment) for _, segment in members) <= limits.index_chunks:
            names = tuple(name for name, _ in members)
            write_index(core, opened.id, joined_segments([s for _, s in members], opened.avoid_packs), level + 1, names)
            over += names
    for name in over:
        core.backend.delete(name)


def joined_segments(segments: list[Segment], avoid: frozenset[bytes]) -> Segment:
    """Return several segments as one, without the packs in ``avoid``."""
    packs: dict[bytes, int] = {}
    columns: list[list[Array]] = [[], [], [], []]
    for segment in segments:
        ids = [pack.tobytes() for pack in segment.packs]
        number = np.array([-1 if id in avoid else packs.setdefault(id, len(packs)) for id in ids], np.int64)
        pack = number[segment.pack]
        keep = pack >= 0
        kept: list[Array] = [segment.hashes, pack, segment.offset, segment.stored]
        for column, values in zip(columns, kept, strict=True):
            column.append(values[keep])
    hashes, pack, offset, stored = (np.concatenate(column) for column in columns)
    return sorted_segment(hashes_of(list(packs)), hashes, pack, offset, stored)
