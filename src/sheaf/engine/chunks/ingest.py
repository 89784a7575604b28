"""Store file contents: cut, hash, deduplicate, compress, verify, pack. Returns locations for rows of a manifest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import accumulate, chain
from typing import Protocol

import numpy as np
from blake3 import blake3
from msgspec import Struct, field

from sheaf.engine.chunks.chunk_reader import Contents, Want
from sheaf.engine.chunks.compress import Frame, compress_chunks
from sheaf.engine.chunks.cut_file import cut_file
from sheaf.engine.chunks.dedup import ChunkIndex, FoundChunks
from sheaf.engine.chunks.files_in_memory import FilesInMemory
from sheaf.engine.chunks.pack_writer import PackSink, Place
from sheaf.engine.core import Core
from sheaf.engine.sessions.erasure_notices import Erasures
from sheaf.errors import Corrupt
from sheaf.format.columns import Array, Hashes, hashes_of
from sheaf.format.recipe_v1 import Row, cut_parts, encode_part
from sheaf.model.entries import PlaceKind
from sheaf.model.ids import ZERO_HASH
from sheaf.storage.port import Buffer

__all__ = ["ChunkedFiles", "Ingest", "StoredFile", "StoredFiles"]

_EMPTY = blake3(b"").digest()


class StoredFile(Struct, frozen=True):
    """A stored file: the columns `content`, `size`, `place`, `pack`, `offset`, `stored`, `recipe`, `packs`."""

    content: bytes
    size: int
    place: PlaceKind = PlaceKind.NONE
    pack: bytes = ZERO_HASH
    offset: int = 0
    stored: int = 0
    recipe: bytes = ZERO_HASH
    packs: dict[bytes, int] = field(default_factory=dict)


class StoredFiles(Struct, frozen=True):
    """Stored files as columns like the fields of :class:`StoredFile`. ``recipes``: those of several chunks, by number."""

    content: Hashes
    place: Array
    pack: Hashes
    offset: Array
    stored: Array
    recipes: dict[int, StoredFile] = field(default_factory=dict)

    def file(self, i: int, size: int) -> StoredFile:
        """Return file i, which has ``size`` bytes."""
        if i in self.recipes:
            return self.recipes[i]
        pack, offset, stored = self.pack[i].tobytes(), int(self.offset[i]), int(self.stored[i])
        return StoredFile(self.content[i].tobytes(), size, PlaceKind(int(self.place[i])), pack, offset, stored)


class ChunkedFiles(Protocol):
    """Whole files that were cut into chunks, in this process or another one."""

    @property
    def hashes(self) -> Sequence[bytes]:
        """The BLAKE3 hash of each file."""

    @property
    def counts(self) -> Sequence[int]:
        """The number of chunks of each file: 0 for an empty one."""

    @property
    def chunk_hashes(self) -> list[bytes]:
        """The BLAKE3 hashes of all chunks, one file after the other."""

    @property
    def chunk_sizes(self) -> list[int]:
        """The size of each chunk in bytes."""

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the frames of some chunks, by number in ascending order."""


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
        self.chunker = core.config.chunker
        self._core = core
        self.window_bytes = core.limits.window_bytes
        self._sink = sink
        self._index = index
        self.erased = Erasures(core, erased, allow=allow_erased)
        self._held = Contents(core) if verify else None

    @property
    def new_bytes(self) -> int:
        """Bytes stored so far that the store did not have before."""
        return self._sink.new_bytes

    def cut(self, contents: Sequence[bytes]) -> FilesInMemory:
        """Cut whole files into chunks."""
        return FilesInMemory(contents, self.chunker)

    def store_whole(self, contents: Sequence[bytes]) -> list[StoredFile]:
        """Store files that are in memory together. Raises Refused for erased contents."""
        files = self.store_columns(self.cut(contents))
        return [files.file(i, len(content)) for i, content in enumerate(contents)]

    def store_columns(self, files: ChunkedFiles) -> StoredFiles:
        """Store many files without an object for each of one chunk. Raises Refused for erased contents."""
        for hash in files.hashes if self.erased.contents else ():
            self.erased.refuse(hash)
        packs, offsets, lengths = self._store(files.chunk_hashes, files.chunk_sizes, files.frames)
        counts = np.fromiter(files.counts, np.int64, len(files.counts))
        placed = StoredFiles(
            hashes_of(files.hashes),
            np.where(counts > 0, PlaceKind.CHUNK, PlaceKind.NONE).astype(np.uint8),
            np.zeros((len(counts), 32), np.uint8),
            np.zeros(len(counts), np.uint32),
            np.zeros(len(counts), np.uint32),
        )
        one = counts == 1
        at = (np.cumsum(counts) - 1)[one]
        used, number = np.unique(np.array(packs, np.int64)[at], return_inverse=True)
        placed.pack[one] = hashes_of([self._index.packs[pack] for pack in used])[number]
        placed.offset[one] = np.array(offsets, np.int64)[at]
        placed.stored[one] = np.array(lengths, np.int64)[at]
        if (counts > 1).any():
            ids = self._index.packs
            packed = zip(
                files.chunk_hashes, files.chunk_sizes, [ids[pack] for pack in packs], offsets, lengths, strict=True
            )
            self._add_recipes(placed, files, list(packed))
        return placed

    def _add_recipes(self, placed: StoredFiles, files: ChunkedFiles, rows: list[Row]) -> None:
        """Store the recipes of files of several chunks, all together. ``rows``: where the chunks of all files are."""
        ends = accumulate(files.counts)
        chunks = {i: rows[end - n : end] for i, (n, end) in enumerate(zip(files.counts, ends, strict=True)) if n > 1}
        cut = {i: list(cut_parts(of_file)) for i, of_file in chunks.items()}
        parts = iter(self.describe(list(chain.from_iterable(cut.values()))))
        for i, groups in cut.items():
            size = sum(row[1] for row in chunks[i])
            file = self._assembled(files.hashes[i], size, [next(parts) for _ in groups])
            placed.recipes[i] = file
            placed.place[i], placed.offset[i], placed.stored[i] = file.place, file.offset, file.stored
            placed.pack[i] = np.frombuffer(file.pack, np.uint8)

    def store_bytes(self, content: bytes) -> StoredFile:
        """Store one file that is in memory. Raises Refused if it was erased, unless that is allowed."""
        if len(content) <= self._core.limits.whole_bytes:
            return self.store_whole([content])[0]
        self.erased.check_bytes(content)
        return self.store_stream([content])

    def store_stream(self, blocks: Iterable[bytes]) -> StoredFile:
        """Store one file of any size from its consecutive blocks, with a few windows of it in memory.

        Raises:
            Refused: it was erased, which is known only at its end. What was stored of it is garbage: this session must
                not commit.
        """
        whole = blake3()
        size = 0

        def rows() -> Iterator[Row]:
            nonlocal size
            pending: deque[Future[list[Row]]] = deque()
            for window in cut_file(self.chunker, blocks, self.window_bytes):
                for chunk in window:
                    whole.update(chunk)
                    size += len(chunk)
                pending.append(self._core.cpu.submit(self.store_chunk_list, window))
                if len(pending) > self._core.workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()

        groups = cut_parts(rows())
        first = next(groups, [])
        # A group has 16 chunks unless it ends the file, so this file has at most one chunk.
        if len(first) <= 1:
            return self._accepted(self._whole(first[0]) if first else StoredFile(_EMPTY, 0))
        parts = [self.describe([group])[0] for group in chain([first], groups)]
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
            for window in _windows_of(chunks, self.window_bytes):

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

        parts = [self.describe([group])[0] for group in cut_parts(rows())]
        if fetched == size and whole.digest() != content:
            raise Corrupt(f"content {content.hex()} does not match its chunks", "run `sheaf bundle verify`")
        return self._accepted(self._assembled(content, size, parts))

    # -- recipes -------------------------------------------------------------------------------------------------------

    def describe(self, parts: list[list[Row]]) -> list[tuple[Row, dict[bytes, int]]]:
        """Store parts of recipes together; return each as a row, and the packs that its chunks are in."""
        described: list[tuple[Row, dict[bytes, int]]] = []
        for top, rows in zip(self._parts(0, parts), parts, strict=True):
            packs: dict[bytes, int] = {}
            for _, _, pack, _, stored in rows:
                packs[pack] = packs.get(pack, 0) + stored
            described.append((top, packs))
        return described

    def _parts(self, level: int, parts: list[list[Row]]) -> list[Row]:
        """Store parts of recipes together; return them as rows, each with the bytes of the file that it covers."""
        encoded = [encode_part(level, rows) for rows in parts]
        stored = self._rows(encoded, [blake3(part).digest() for part in encoded], adaptive=False)
        return [(row[0], sum(each[1] for each in rows), *row[2:]) for row, rows in zip(stored, parts, strict=True)]

    def _assembled(self, content: bytes, size: int, parts: list[tuple[Row, dict[bytes, int]]]) -> StoredFile:
        uses: dict[bytes, int] = {}
        for _, packs in parts:
            for pack, live in packs.items():
                uses[pack] = uses.get(pack, 0) + live
        return self._recipe(content, size, [row for row, _ in parts], uses)

    def assemble(
        self, content: bytes, size: int, tops: list[Row], uses: Mapping[bytes, int], new: list[list[Row]]
    ) -> StoredFile:
        """Return a file made of stored parts. ``uses``: what its chunks need of each pack; ``new``: chunks of new parts.

        Raises Refused if the content was erased, unless that is allowed.
        """
        if len(tops) == 1 and len(new) == 1 and len(new[0]) == 1:
            return self._accepted(self._whole(new[0][0]))
        return self._accepted(self._recipe(content, size, tops, uses))

    def _recipe(self, content: bytes, size: int, tops: list[Row], chunks: Mapping[bytes, int]) -> StoredFile:
        """Return a file from the rows of its parts. ``chunks``: what its chunks need of each pack."""
        top = tops[0] if len(tops) == 1 else self._parts(1, [tops])[0]
        uses = dict(chunks)
        for _, _, pack, _, stored in {*tops, top}:
            uses[pack] = uses.get(pack, 0) + stored
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

    def store_chunk_list(self, window: Sequence[Buffer]) -> list[Row]:
        """Store chunks of a file of many, as far as they are new; return all of them as rows of a recipe."""
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
        found = self._index.find(hashes, sum(sizes))
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
