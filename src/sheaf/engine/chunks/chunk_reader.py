"""Read chunks: neighbours are fetched together, and every byte is verified before it is returned."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from blake3 import blake3

from sheaf import format as formats
from sheaf.engine.chunks import bulk
from sheaf.engine.chunks.spans import in_order, spans, too_long
from sheaf.engine.chunks.wants import DAMAGE, FRAME, OnDamaged, OnErased, Want
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.damage import note_damage, read_again
from sheaf.engine.sessions.forwarding import Erased, Place, Trail, erased
from sheaf.errors import Corrupt, NotFound, SheafError, Unsupported
from sheaf.fork import Lock
from sheaf.format import keys
from sheaf.format.frame_v1 import RAW, unframe
from sheaf.format.session_v1 import Notice, unseal
from sheaf.format.store_v1 import MAX_CHUNK
from sheaf.model.entries import ChunkPlace, ManifestEntry, ObjectPlace, RecipePlace
from sheaf.storage.port import Buffer

# These imports take 0.2 s, and a file of one chunk is read without them.
if TYPE_CHECKING:
    import pyarrow as pa

    from sheaf.engine.chunks.bulk.gather import Gathered, Gathering, PackRange, Span
    from sheaf.format.recipe_v1 import Part, Row

__all__ = ["DAMAGE", "Contents", "Erased", "OnDamaged", "OnErased", "Want", "opened"]

_AHEAD = 16  # spans being fetched while one is consumed, and
_AHEAD_BYTES = 32 << 20  # their stored bytes
_GROUP = 1 << 20  # bytes of contents that a thread decompresses and verifies at once
_MOVES = 3  # times that a pack may be repacked while its chunk is fetched


Fetched = tuple[Want, Buffer | None]  #: a chunk and its frame; None: it was erased
T = TypeVar("T")
Tried = tuple[Want, Buffer | SheafError | None]  #: as Fetched, or the error instead of the frame
Opening = Callable[[memoryview, bytes, int, bytes, int], T]  #: extracts a chunk from its frame, see :func:`opened`


class Contents:
    """Reads files of a store by the location of their bytes. Thread-safe."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._trail = Trail(core)
        self._parts: dict[bytes, Part] = {}
        self._failed: set[bytes] = set()  # packs whose chunks failed twice: don't try again
        self._lock = Lock()
        self.limits = core.limits

    # -- files ---------------------------------------------------------------------------------------------------------

    def files(
        self, batch: pa.RecordBatch, on_erased: OnErased | None = None, on_damaged: OnDamaged | None = None
    ) -> Iterator[tuple[int, Buffer]]:
        """Yield (row, verified content) of the rows of a batch whose file is read whole, see :func:`is_gathered`.

        Some megabytes are in memory at a time, in the order of rows; among these files come as they are stored.
        ``on_erased``: called with the numbers of rows whose bytes were erased; without it the first one raises Erased.
        ``on_damaged``: called with the numbers of rows whose bytes are missing or damaged, and the error; without it
        the first one raises.
        """
        return bulk.read_files(self, batch, on_erased, on_damaged)

    def gather(self, batch: pa.RecordBatch, span: Span | None = None) -> Gathering:
        """Begin to fetch the bytes of files that are read whole: see :func:`sheaf.engine.chunks.bulk.gather.is_gathered`."""
        return bulk.Gathering(batch, lambda each: self._core.io.submit(self._range, each), span)

    def _range(self, each: PackRange) -> Buffer | None:
        try:
            wanted = [(each.start, each.end - each.start)]
            return self._core.backend.get_ranges(keys.pack(each.pack), wanted)[0]
        except DAMAGE:
            return None

    def gathered_files(
        self,
        batch: pa.RecordBatch,
        gathered: Gathered,
        rows: Sequence[int] | None = None,
        on_erased: OnErased | None = None,
        on_damaged: OnDamaged | None = None,
    ) -> Iterator[tuple[int, Buffer]]:
        """Yield (row, verified content) of files that were gathered, about in the order in which they are stored.

        ``rows``: only these. The callbacks are as in :meth:`files`. A buffer keeps the bytes that were fetched with it
        in memory.
        """
        return bulk.read_gathered(self, batch, gathered, rows, on_erased, on_damaged)

    def blocks(self, entry: ManifestEntry, start: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """Yield ``length`` bytes of a file from ``start`` on (None: to the end) as consecutive blocks.

        Blocks that were fetched together stay in memory as long as one of them is referenced.

        Raises:
            Erased: they were erased; the message is that of the notice.
            Corrupt: they are missing, or don't match the manifest.
        """
        end = entry.size if length is None else min(entry.size, start + length)
        if start >= end:
            return
        at = start
        try:
            for offset, block in self._pieces(entry, start, end):
                piece = block[max(start - offset, 0) : end - offset]
                at += len(piece)
                yield piece
        except Erased:
            raise self._notice(entry) from None
        if at != end:
            raise Corrupt(f"'{entry.path}' has {at} bytes in the store, but {end} in its manifest")

    def block_groups(self, entry: ManifestEntry, start: int = 0) -> Iterator[Sequence[Buffer]]:
        """Yield the bytes of a large file from ``start`` on as groups of consecutive blocks of a few megabytes.

        They are decompressed and verified in threads of ``Core.cpu``, so this must not be called in one of those. Raises as
        :meth:`blocks`.
        """
        if not isinstance(entry.place, RecipePlace):
            yield from ([block] for block in self.blocks(entry, start))
            return
        at = start
        try:
            for group in self._opened_ahead(self._wanted(entry, entry.place, start, entry.size)):
                blocks = [block[max(start - offset, 0) :] for offset, block in group]
                at += sum(map(len, blocks))
                yield blocks
        except Erased:
            raise self._notice(entry) from None
        if at != entry.size:
            raise Corrupt(f"'{entry.path}' has {at} bytes in the store, but {entry.size} in its manifest")

    def _opened_ahead(self, wants: Iterable[Want]) -> Iterator[list[tuple[int, Buffer]]]:
        """Yield (tag, chunk) in the order given, some megabytes at a time; the next ones are opened in the meantime."""
        pending: deque[Future[list[tuple[int, Buffer]]]] = deque()
        for span in self._spans(wants):
            for group in _groups(span):
                pending.append(self._core.cpu.submit(self._open_all, group))
                if len(pending) > self._core.workers:
                    yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _open_all(self, tried: list[Tried]) -> list[tuple[int, Buffer]]:
        return list(self._opened(tried, None, None, opened_view))

    def read(self, entry: ManifestEntry, start: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes of a file from ``start`` on as one object. Raises as :meth:`blocks`."""
        return b"".join(self.blocks(entry, start, length))

    def read_buffer(self, entry: ManifestEntry, start: int, length: int) -> memoryview:
        """Return bytes of a file in a buffer of their own. Raises as :meth:`blocks`.

        The buffer is filled without holding Python's lock: for megabytes, while other threads run.
        """
        import numpy as np

        whole = np.empty(max(min(entry.size - start, length), 0), np.uint8)
        at = 0
        for piece in self.blocks(entry, start, length):
            whole[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        return whole.data

    def _pieces(self, entry: ManifestEntry, start: int, end: int) -> Iterator[tuple[int, Buffer]]:
        """Yield (offset in the file, verified bytes) of the chunks that overlap a range."""
        match entry.place:
            case ChunkPlace(pack, offset, stored):
                want = Want(0, pack, offset, stored, entry.content, entry.size)
                yield 0, next(self.fetch([want]))[1]
            case RecipePlace():
                for span in self._spans(self._wanted(entry, entry.place, start, end)):
                    yield from self._opened(span, None, None, opened_view)
            case ObjectPlace(session):
                yield 0, self._object(session, entry)
            case _:
                raise Unsupported(
                    f"the bytes of '{entry.path}' are in an external location: {entry.place}", "read them from there"
                )

    def _object(self, session: str, entry: ManifestEntry) -> bytes:
        try:
            return self._whole(session, entry)
        except Corrupt:
            again = read_again(
                self._core, keys.stored_object(session, entry.content), lambda: self._whole(session, entry)
            )
            if again is None:
                raise
            return again

    def _whole(self, session: str, entry: ManifestEntry) -> bytes:
        """Read a file that is an object of its own. Raises Erased, Corrupt."""
        key = keys.stored_object(session, entry.content)
        try:
            data = get_object(self._core.backend, key)
        except NotFound:
            if self._core.backend.stat(keys.erased(entry.content)) is not None:
                raise erased() from None
            raise Corrupt(f"{key} is missing", "run `sheaf store check`") from None
        if blake3(data).digest() != entry.content:
            raise Corrupt(f"{key} is damaged: its bytes don't match its hash", "run `sheaf store check`")
        if len(data) != entry.size:
            raise Corrupt(f"'{entry.path}' has {len(data)} bytes in the store, but {entry.size} in its manifest")
        return data

    def is_erased(self, entry: ManifestEntry) -> bool:
        """True if bytes of a file were erased. This reads no chunk."""
        try:
            match entry.place:
                case ChunkPlace(pack, offset, _):
                    self._ensure_not_erased([(pack, offset)])
                case RecipePlace():
                    wants = self._wanted(entry, entry.place, 0, entry.size)
                    self._ensure_not_erased((want.pack, want.offset) for want in wants)
                case ObjectPlace(session):
                    return self._core.backend.stat(keys.stored_object(session, entry.content)) is None
                case _:
                    return False
        except Erased:
            return True
        except Corrupt:
            # The file is damaged, not erased; whoever reads it gets the error.
            return False
        return False

    def _ensure_not_erased(self, chunks: Iterable[tuple[bytes, int]]) -> None:
        """Raise Erased if one of these chunks was erased."""
        there: dict[bytes, bool] = {}
        for pack, offset in chunks:
            if pack not in there:
                there[pack] = self._core.backend.stat(keys.pack(pack)) is not None
            if not there[pack]:
                self.locate(pack, offset)

    def _notice(self, entry: ManifestEntry) -> Erased:
        """Return the error for a file whose bytes were erased, from its notice."""
        key = keys.erased(entry.content)
        try:
            notice = unseal(get_object(self._core.backend, key), "erased", Notice, key)
        except NotFound:
            return erased(entry.path)
        who = f" by {notice.author.name}" if notice.author.name else ""
        return erased(entry.path, f" on {notice.time[:10]}{who}: {notice.reason}")

    # -- recipes -------------------------------------------------------------------------------------------------------

    def recipe_rows(self, place: RecipePlace, *, parts: bool = True) -> Iterator[tuple[bytes, int, bytes, int, int]]:
        """Yield all rows of a recipe: (hash, length, pack, offset, stored). ``parts``: also those that describe its parts."""
        top = self._part(place.recipe, place.pack, place.offset, place.stored)
        for i in range(len(top.hashes)):
            row = top.row(i)
            if parts or not top.level:
                yield row
            if top.level:
                part = self._part(row[0], *row[2:])
                yield from map(part.row, range(len(part.hashes)))

    def parts_of(self, place: RecipePlace) -> list[Row]:
        """Return the rows that describe the parts of a recipe, none if it has only one. Their lengths are those of the file."""
        top = self._part(place.recipe, place.pack, place.offset, place.stored)
        return [top.row(i) for i in range(len(top.hashes))] if top.level else []

    def recipe_parts(self, place: RecipePlace) -> Iterator[Part]:
        """Yield the parts of a recipe, whose rows together are those of :meth:`recipe_rows`."""
        top = self._part(place.recipe, place.pack, place.offset, place.stored)
        yield top
        if top.level:
            for i in range(len(top.hashes)):
                hash, _, pack, offset, stored = top.row(i)
                yield self._part(hash, pack, offset, stored)

    def leaves(self, entry: ManifestEntry, place: RecipePlace) -> Iterator[Row]:
        """Yield the chunks of a file in order: (hash, length, pack, offset, stored).

        Raises Corrupt if their sizes don't add up to that of the file.
        """
        for want in self._wanted(entry, place, 0, entry.size):
            yield want.hash, want.length, want.pack, want.offset, want.stored

    def chunks_between(
        self, entry: ManifestEntry, place: RecipePlace, start: int, end: int
    ) -> Iterator[tuple[int, Row]]:
        """Yield the chunks that overlap a range of a file, each with its offset in the file. Only parts are read."""
        if start < end:
            for want in self._wanted(entry, place, start, end):
                yield want.tag, (want.hash, want.length, want.pack, want.offset, want.stored)

    def _wanted(self, entry: ManifestEntry, place: RecipePlace, start: int, end: int) -> Iterator[Want]:
        top = self._part(place.recipe, place.pack, place.offset, place.stored)
        if (size := int(top.lengths.sum())) != entry.size:
            raise Corrupt(f"'{entry.path}' has {size} bytes in the store, but {entry.size} in its manifest")
        parts = [(0, top)] if top.level == 0 else self._parts_between(top, start, end)
        for base, part in parts:
            for i, at in _overlapping(part, base, start, end):
                hash, length, pack, offset, stored = part.row(i)
                yield Want(at, pack, offset, stored, hash, length)

    def _parts_between(self, top: Part, start: int, end: int) -> Iterator[tuple[int, Part]]:
        for i, at in _overlapping(top, 0, start, end):
            hash, length, pack, offset, stored = top.row(i)
            part = self._part(hash, pack, offset, stored)
            if part.level or int(part.lengths.sum()) != length:
                raise Corrupt(f"recipe {hash.hex()} does not match its parent")
            yield at, part

    def _part(self, hash: bytes, pack: bytes, offset: int, stored: int) -> Part:
        """Return a verified part of a recipe; the last 64 parts are cached."""
        with self._lock:
            part = self._parts.get(hash)
        if part is None:
            _, data = next(self.fetch([Want(0, pack, offset, stored, hash, -1)]))
            part = formats.decode_part(data, f"recipe {hash.hex()}")
            with self._lock:
                if len(self._parts) >= 64:
                    self._parts.pop(next(iter(self._parts)))
                self._parts[hash] = part
        return part

    # -- chunks --------------------------------------------------------------------------------------------------------

    def fetch(
        self, wants: Iterable[Want], on_erased: OnErased | None = None, on_damaged: OnDamaged | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (tag, verified bytes) of each chunk, in the order given; the next spans are fetched in the meantime.

        ``on_damaged``: called for chunks that can't be read, and the others are still returned; without it the first
        one raises. A damaged chunk is read again by itself; if that fails, too, its pack is noted as damaged.
        """
        sane = wants if on_damaged is None else _of_sane_length(wants, on_damaged)
        for tried in self._spans(sane):
            yield from self._opened(tried, on_erased, on_damaged, opened)

    def _spans(self, wants: Iterable[Want]) -> Iterator[list[Tried]]:
        """Yield all chunks, fetched, in the order given, some at a time; the next spans are fetched in the meantime."""
        return in_order(self._fetched(wants))

    def _fetched(self, wants: Iterable[Want]) -> Iterator[tuple[list[int], list[Tried]]]:
        """Yield the chunks of each span with their numbers, in the order of :func:`spans`."""
        pending: deque[tuple[list[int], Future[list[Tried]]]] = deque()
        sizes: deque[int] = deque()
        for numbers, span in spans(wants):
            pending.append((numbers, self._core.io.submit(self._try, span)))
            sizes.append(sum(want.stored for want in span))
            while len(pending) > _AHEAD or (sum(sizes) > _AHEAD_BYTES and len(pending) > 1):
                sizes.popleft()
                oldest, future = pending.popleft()
                yield oldest, future.result()
        for numbers, future in pending:
            yield numbers, future.result()

    def _span(self, span: list[Want]) -> list[Fetched]:
        first = span[0]
        length = max(want.offset + want.stored for want in span) - first.offset
        try:
            data = memoryview(self._core.backend.get_ranges(keys.pack(first.pack), [(first.offset, length)])[0])
        except NotFound:
            return self._forwarded(span)
        return [(want, data[want.offset - first.offset :][: want.stored]) for want in span]

    def _try(self, span: list[Want]) -> list[Tried]:
        """Fetch a span; if that fails, fetch its halves, until each chunk is read or has its own error."""
        try:
            return [*self._span(span)]
        except DAMAGE as error:
            if len(span) == 1 or self._trail.is_lost(span[0].pack):
                return [(want, error) for want in span]
        half = len(span) // 2
        return [*self._try(span[:half]), *self._try(span[half:])]

    def _opened(
        self,
        tried: Iterable[Tried],
        on_erased: OnErased | None,
        on_damaged: OnDamaged | None,
        opening: Opening[T],
    ) -> Iterator[tuple[int, T]]:
        """Yield (tag, chunk) of each fetched frame. Errors and erased chunks are handled as :meth:`fetch` says."""
        for want, frame in tried:
            if frame is None:
                if on_erased is None:
                    raise erased()
                on_erased(want.tag)
                continue
            try:
                if isinstance(frame, SheafError):
                    raise frame
                data = opening(memoryview(frame), want.hash, want.length, want.pack, want.offset)
            except DAMAGE as error:
                again = self._again(want, opening)
                if again is None:
                    if on_damaged is None:
                        raise
                    on_damaged(want.tag, error)
                    continue
                data = again
            yield want.tag, data

    def _again(self, want: Want, opening: Opening[T]) -> T | None:
        """Fetch a damaged chunk once more by itself. Return None if it is still damaged, which is noted."""
        if want.pack in self._failed:
            return None
        try:
            ((_, frame),) = self._span([want])
            if frame is not None:
                return opening(memoryview(frame), want.hash, want.length, want.pack, want.offset)
        except DAMAGE as error:
            self._failed.add(want.pack)
            note_damage(self._core, keys.pack(self._holder(want)), error.message)
        except SheafError:
            # The location can't be read now: the caller's error says more.
            pass
        return None

    def _holder(self, want: Want) -> bytes:
        """Return the pack that contains a chunk now, or contained it last."""
        try:
            is_here = self._core.backend.stat(keys.pack(want.pack)) is not None
            return want.pack if is_here else self.locate(want.pack, want.offset)[0]
        except SheafError:
            return want.pack

    def _forwarded(self, span: list[Want]) -> list[Fetched]:
        """Fetch chunks of a pack that was replaced, together if they are neighbours in the new one."""
        for _ in range(_MOVES):
            try:
                return self._from(span, [self._find(want) for want in span])
            except NotFound:
                # The pack was repacked again since the lookup.
                continue
        raise Corrupt(f"pack {span[0].pack.hex()} was repacked repeatedly while being read", "try again")

    def _from(self, span: list[Want], places: list[Place | None]) -> list[Fetched]:
        found: list[Buffer | None] = [None] * len(span)
        for pack in {place[0] for place in places if place}:
            here = [(place[1:], i) for i, place in enumerate(places) if place and place[0] == pack]
            frames = self._core.backend.get_ranges(keys.pack(pack), [at for at, _ in here])
            for (_, i), frame in zip(here, frames, strict=True):
                found[i] = frame
        return list(zip(span, found, strict=True))

    def _find(self, want: Want) -> Place | None:
        try:
            pack, offset, stored = self.locate(want.pack, want.offset)
        except Erased:
            return None
        if stored > FRAME:
            raise too_long(pack, offset, stored)
        return pack, offset, stored

    def locate(self, pack: bytes, offset: int) -> tuple[bytes, int, int]:
        """Return where gc or erase has moved the chunk of a deleted pack: (pack, offset, stored length).

        Raises:
            Erased: the chunk was erased.
            Corrupt: no record says where it is.
        """
        return self._trail.find(pack, offset)


def _overlapping(part: Part, base: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (row, offset in the file) of the rows that overlap a range. ``base``: offset of the part in the file."""
    import numpy as np

    ends = base + np.cumsum(part.lengths, dtype=np.int64)
    first = int(np.searchsorted(ends, start, side="right"))
    for i in range(first, len(ends)):
        at = int(ends[i]) - int(part.lengths[i])
        if at >= end:
            return
        yield i, at


def _groups(span: Sequence[Tried]) -> Iterator[list[Tried]]:
    """Cut a span into groups of a few megabytes of contents, which may be much more than what is stored."""
    group: list[Tried] = []
    size = 0
    for tried in span:
        group.append(tried)
        size += tried[0].length
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _of_sane_length(wants: Iterable[Want], on_damaged: OnDamaged) -> Iterator[Want]:
    for want in wants:
        if want.stored <= FRAME:
            yield want
        else:
            on_damaged(want.tag, too_long(want.pack, want.offset, want.stored))


def opened(frame: memoryview, hash: bytes, length: int, pack: bytes, offset: int) -> bytes:
    """Return the verified chunk in a frame. ``length``: expected bytes, -1 for any. Raises Corrupt, Unsupported.

    ``pack`` and ``offset`` are for messages.
    """
    return bytes(opened_view(frame, hash, length, pack, offset))


def opened_view(frame: memoryview, hash: bytes, length: int, pack: bytes, offset: int) -> Buffer:
    """Return the verified chunk in a frame, without a copy if it isn't compressed. Raises Corrupt, Unsupported."""
    data: Buffer
    if frame and frame[0] == RAW[0]:
        data = frame[1:]
    else:
        limit = min(length, MAX_CHUNK) if length >= 0 else MAX_CHUNK
        try:
            data = unframe(frame, "", limit)
        except (Corrupt, Unsupported):
            # Unframe again for a message with the chunk's name: a name for each chunk would cost as much as the chunk.
            data = unframe(frame, _name(pack, offset), limit)
    if blake3(data).digest() != hash or length not in (-1, len(data)):
        what = f"{_name(pack, offset)} is damaged: its bytes don't match their hash"
        raise Corrupt(what, "run `sheaf store check --read-data`")
    return data


def _name(pack: bytes, offset: int) -> str:
    return f"the chunk at {offset} of pack {pack.hex()}"
