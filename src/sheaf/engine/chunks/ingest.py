"""Store file contents: cut, hash, deduplicate, compress, verify, pack. Returns locations for rows of a manifest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import numpy as np
from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import Contents, Want
from sheaf.engine.chunks.compress import Frame, compress_chunks
from sheaf.engine.chunks.cut_file import cut_file
from sheaf.engine.chunks.dedup import ChunkIndex, FoundChunks
from sheaf.engine.chunks.pack_writer import PackSink, Place
from sheaf.engine.core import Core
from sheaf.engine.sessions.erasure_notices import Erasures
from sheaf.errors import Corrupt
from sheaf.format.columns import Array, Hashes, hashes_of
from sheaf.format.recipe_v1 import Row, cut_parts, encode_part
from sheaf.model.entries import PlaceKind
from sheaf.model.ids import ZERO_HASH
from sheaf.storage.port import Buffer

__all__ = ["InMemory", "Ingest", "SmallContents", "SmallFiles", "StoredFile"]

_EMPTY = blake3(b"").digest()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored file: the columns `content`, `size`, `place`, `pack`, `offset`, `stored`, `recipe`, `packs`."""

    content: bytes
    size: int
    place: PlaceKind = PlaceKind.NONE
    pack: bytes = ZERO_HASH
    offset: int = 0
    stored: int = 0
    recipe: bytes = ZERO_HASH
    packs: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SmallFiles:
    """Stored files, each empty or one chunk, as columns like the fields of :class:`StoredFile`."""

    content: Hashes
    place: Array
    pack: Hashes
    offset: Array
    stored: Array


class SmallContents(Protocol):
    """Contents of at most ``Ingest.small`` bytes each, in this process or another one."""

    @property
    def hashes(self) -> Sequence[bytes]:
        """The BLAKE3 hash of each content."""

    @property
    def sizes(self) -> Sequence[int]:
        """The size of each content in bytes."""

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the frames of some contents, by number; none of these is empty."""


class InMemory:
    """Contents in this process's memory."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self._contents = contents
        self.hashes = [blake3(content).digest() for content in contents]
        self.sizes = list(map(len, contents))

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the frames of some contents, as :class:`SmallContents` requires."""
        return compress_chunks([self._contents[i] for i in wanted], [self.hashes[i] for i in wanted], adaptive=False)


def _windows_of(chunks: Iterable[Row], window_bytes: int) -> Iterator[list[Row]]:
    """Group chunks into windows of some megabytes."""
    window: list[Row] = []
    size = 0
    for row in chunks:
        window.append(row)
        size += row[1]
        if size >= window_bytes:
            yield window
            window, size = [], 0
    if window:
        yield window


class Ingest:
    """Stores contents within one session. Thread-safe."""

    def __init__(
        self,
        core: Core,
        sink: PackSink,
        index: ChunkIndex,
        erased: frozenset[bytes],
        *,
        allow_erased: bool = False,
        verify: bool = False,
    ) -> None:
        """``verify``: read every chunk that is already stored before it is referenced, and store damaged ones again."""
        chunker = core.config.chunker
        self.small = chunker.min  #: a file of at most so many bytes is always one chunk
        self._core = core
        self._window_bytes = core.limits.window_bytes
        self._sink = sink
        self._index = index
        self.erased = Erasures(core, erased, allow=allow_erased)
        self._chunker = chunker
        self._held = Contents(core) if verify else None

    @property
    def new_bytes(self) -> int:
        """Bytes stored so far that the store did not have before."""
        return self._sink.new_bytes

    def store_small(self, contents: Sequence[bytes]) -> list[StoredFile]:
        """Store files of at most ``small`` bytes, each as one chunk. Raises Refused for erased contents."""
        filled = [content for content in contents if content]
        hashes = [blake3(content).digest() for content in filled]
        for hash in hashes if self.erased.contents else ():
            self.erased.refuse(hash)
        rows = iter(self._rows(filled, hashes, adaptive=False))
        return [self._whole(next(rows)) if content else StoredFile(_EMPTY, 0) for content in contents]

    def store_columns(self, contents: SmallContents) -> SmallFiles:
        """Store many small files without an object for each. Raises Refused for erased contents."""
        for hash in contents.hashes if self.erased.contents else ():
            self.erased.refuse(hash)
        sizes = np.fromiter(contents.sizes, np.int64, len(contents.sizes))
        at = np.flatnonzero(sizes)
        rows = at.tolist()
        pack, offset, stored = self._store(
            [contents.hashes[i] for i in rows],
            sizes[at].tolist(),
            lambda new: contents.frames([rows[k] for k in new]),
        )
        files = SmallFiles(
            hashes_of(contents.hashes),
            np.where(sizes > 0, PlaceKind.CHUNK, PlaceKind.NONE).astype(np.uint8),
            np.zeros((len(sizes), 32), np.uint8),
            np.zeros(len(sizes), np.uint32),
            np.zeros(len(sizes), np.uint32),
        )
        used, number = np.unique(np.array(pack, np.int64), return_inverse=True)
        files.pack[at] = hashes_of([self._index.packs[one] for one in used])[number]
        files.offset[at] = offset
        files.stored[at] = stored
        return files

    def store_bytes(self, content: bytes) -> StoredFile:
        """Store one file that is in memory. Raises Refused if it was erased, unless that is allowed."""
        self.erased.check_bytes(content)
        return self.store_small([content])[0] if len(content) <= self.small else self.store_stream([content])

    def store_stream(self, blocks: Iterable[bytes]) -> StoredFile:
        """Store one file of any size from its consecutive blocks, with a few windows of it in memory.

        Raises:
            Refused: it was erased, which is known only at its end. What was stored of it is garbage: this session must
            not
                commit.
        """
        whole = blake3()
        size = 0

        def rows() -> Iterator[Row]:
            nonlocal size
            pending: deque[Future[list[Row]]] = deque()
            for window in cut_file(self._chunker, blocks, self._window_bytes):
                for chunk in window:
                    whole.update(chunk)
                    size += len(chunk)
                pending.append(self._core.cpu.submit(self._store_window, window))
                if len(pending) > self._core.workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()

        groups = cut_parts(rows())
        first = next(groups, [])
        # A group has 16 chunks unless it ends the file, so this file has at most one chunk.
        if len(first) <= 1:
            return self._accepted(self._whole(first[0]) if first else StoredFile(_EMPTY, 0))
        parts = [self._described(group) for group in chain([first], groups)]
        return self._accepted(self._assembled(whole.digest(), size, parts))

    def store_chunks(
        self, content: bytes, size: int, chunks: Iterable[Row], fetch: Callable[[Sequence[Row]], list[bytes]]
    ) -> StoredFile:
        """Store one file of another store from the list of its chunks. ``fetch``: returns their verified bytes, in order.

        Only chunks that this store lacks are fetched. If all of them are fetched, the file's hash is compared as well.

        Raises:
            Corrupt: the chunks don't match the file.
        """
        whole = blake3()
        fetched = 0

        def rows() -> Iterator[Row]:
            for window in _windows_of(chunks, self._window_bytes):

                def frames(new: list[int], window: list[Row] = window) -> list[Frame]:
                    nonlocal fetched
                    contents = fetch([window[i] for i in new])
                    for data in contents:
                        whole.update(data)
                        fetched += len(data)
                    return compress_chunks(contents, [window[i][0] for i in new], adaptive=True)

                hashes, sizes = [row[0] for row in window], [row[1] for row in window]
                packs, *where = self._store(hashes, sizes, frames)
                yield from zip(hashes, sizes, [self._index.packs[pack] for pack in packs], *where, strict=True)

        parts = [self._described(group) for group in cut_parts(rows())]
        if fetched == size and whole.digest() != content:
            raise Corrupt(f"content {content.hex()} does not match its chunks", "run `sheaf bundle verify`")
        return self._accepted(self._assembled(content, size, parts))

    # -- recipes -------------------------------------------------------------------------------------------------------

    def _described(self, rows: list[Row]) -> tuple[Row, dict[bytes, int]]:
        """Store a part of a recipe; return it as a row, and the packs that its chunks are in."""
        packs: dict[bytes, int] = {}
        for _, _, pack, _, stored in rows:
            packs[pack] = packs.get(pack, 0) + stored
        return self._part(0, rows), packs

    def _part(self, level: int, rows: list[Row]) -> Row:
        part = encode_part(level, rows)
        hash, _, pack, offset, stored = self._rows([part], [blake3(part).digest()], adaptive=False)[0]
        return hash, sum(row[1] for row in rows), pack, offset, stored

    def _assembled(self, content: bytes, size: int, parts: list[tuple[Row, dict[bytes, int]]]) -> StoredFile:
        tops = [row for row, _ in parts]
        top = tops[0] if len(tops) == 1 else self._part(1, tops)
        uses: dict[bytes, int] = {}
        for packs in [*(packs for _, packs in parts), *({row[2]: row[4]} for row in {*tops, top})]:
            for pack, live in packs.items():
                uses[pack] = uses.get(pack, 0) + live
        hash, _, pack, offset, stored = top
        return StoredFile(content, size, PlaceKind.RECIPE, pack, offset, stored, hash, dict(sorted(uses.items())))

    @staticmethod
    def _whole(row: Row) -> StoredFile:
        hash, size, pack, offset, stored = row
        return StoredFile(hash, size, PlaceKind.CHUNK, pack, offset, stored)

    def _accepted(self, placed: StoredFile) -> StoredFile:
        self.erased.refuse(placed.content)
        return placed

    # -- chunks --------------------------------------------------------------------------------------------------------

    def _store_window(self, window: list[memoryview]) -> list[Row]:
        return self._rows(window, [blake3(chunk).digest() for chunk in window], adaptive=True)

    def _rows(self, chunks: Sequence[Buffer], hashes: list[bytes], *, adaptive: bool) -> list[Row]:
        """Store the chunks that are new; return all of them as rows."""

        def frames(new: list[int]) -> list[Frame]:
            return compress_chunks([chunks[i] for i in new], [hashes[i] for i in new], adaptive=adaptive)

        sizes = list(map(len, chunks))
        packs, *where = self._store(hashes, sizes, frames)
        ids = self._index.packs
        return list(zip(hashes, sizes, [ids[pack] for pack in packs], *where, strict=True))

    def _store(
        self, hashes: list[bytes], sizes: list[int], frames: Callable[[list[int]], list[Frame]]
    ) -> tuple[list[int], list[int], list[int]]:
        """Store the chunks that are new; return for all of them the numbers of packs, the offsets and the stored lengths."""
        found = self._index.find(hashes)
        packs, offsets, lengths = found.pack.tolist(), found.offset.tolist(), found.stored.tolist()
        new = [i for i, pack in enumerate(packs) if pack < 0]
        if self._held is not None and found.listed.any():
            new = sorted({*new, *self._unreadable(self._held, hashes, sizes, found)})
        framed = frames(new) if new else []
        places = self._sink.add((hashes[i], sizes[i], *frame) for i, frame in zip(new, framed, strict=True))
        for i, place in zip(new, places, strict=True):
            packs[i], offsets[i], lengths[i] = place
        return packs, offsets, lengths

    def _unreadable(self, held: Contents, hashes: list[bytes], sizes: list[int], found: FoundChunks) -> set[int]:
        """Read the chunks that only the index lists; return the numbers of those that can't be read."""
        rows: list[int] = np.flatnonzero(found.listed).tolist()
        places: dict[int, Place] = {i: (int(found.pack[i]), int(found.offset[i]), int(found.stored[i])) for i in rows}
        packs, bad = self._index.packs, set[int]()
        wants = [Want(i, packs[pack], at, stored, hashes[i], sizes[i]) for i, (pack, at, stored) in places.items()]
        wants.sort(key=lambda want: (want.pack, want.offset))
        for _ in held.fetch(wants, bad.add, lambda i, error: bad.add(i)):
            pass
        self._sink.adopt((hashes[i], place) for i, place in places.items() if i not in bad)
        return bad
