"""Upload a folder: scan it, skip unchanged files, read the others in parallel, store them, and write a manifest.

Batches of a scan are in the order of the manifest and stay in it. The files of a batch are read by several threads:
groups of files in one piece, and each large file by itself, as a stream.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct, field

from sheaf.engine.chunks.ingest import StoredFiles
from sheaf.engine.commit.writer import StoreWriter
from sheaf.engine.core import Core
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Piece
from sheaf.errors import Refused, SheafError
from sheaf.fork import Threads
from sheaf.format.node_v1 import ROWS, hashes_array
from sheaf.local_errors import printable
from sheaf.model.entries import EARLIEST, LATEST, Kind
from sheaf.model.nodes import Pointer
from sheaf.transfer.local.base_leaves import ScanPart, parts
from sheaf.transfer.local.group import groups_of
from sheaf.transfer.local.hashes import hash_file
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.name_collisions import ANYWHERE, NameClashes, clash_text, ensure_portable
from sheaf.transfer.local.read import read_blocks, read_whole
from sheaf.transfer.local.scan import SET_ASIDE, ScanBatch, Skipped, scan
from sheaf.transfer.local.statcache import Found, StatCache
from sheaf.transfer.progress import Meter, log_file, logs_files
from sheaf.transfer.read_files.read_columns import Fresh, ReadFiles
from sheaf.transfer.read_files.worker_pool import Readers, ScannedFiles
from sheaf.transfer.spool import Spool
from sheaf.transfer.store_guard import folder_of
from sheaf.transfer.worker_process import LostWorker

__all__ = ["FolderOptions", "StoredFolder", "ensure_wanted", "folder_options", "left_out_warnings", "store_folder"]

_IN_FLIGHT = 16  # groups and large files that are read at a time or wait: this bounds memory
_PENDING = 4  # batches of a scan whose files are being read


class FolderOptions(Struct, frozen=True):
    """How to upload a folder. ``started``: the time in nanoseconds; ``cache``: hashes of unchanged files."""

    root: Path
    started: int
    cache: Path | None = None
    files: Sequence[str] | None = None
    exclude: Path | None = None
    skip_on_error: bool = False
    rehash: bool = False
    workers: int = 2
    name_filter: re.Pattern[str] | None = None
    limits: Limits = DEFAULT


def folder_options(
    core: Core,
    cache: Path | None,
    path: str | Path,
    *,
    files: Sequence[str] | None = None,
    skip_on_error: bool = False,
    rehash: bool = False,
    concurrency: int | None = None,
) -> FolderOptions:
    """Return the options for uploading a folder to this store; excludes the store's own folder."""
    workers = max(1, min(concurrency or core.workers, 4 * core.workers))
    return FolderOptions(
        Path(path),
        core.clock.now_ns(),
        cache,
        files,
        folder_of(core),
        skip_on_error,
        rehash,
        workers,
        limits=core.limits,
    )


class StoredFolder(Struct, frozen=True):
    """A stored folder, not committed yet. ``files`` counts all entries but folders; ``size`` in bytes."""

    root: Pointer
    files: int
    size: int
    skipped: list[Skipped] = field(default_factory=list)
    clashes: list[tuple[str, str]] = field(default_factory=list)  #: pairs of paths that collide on other systems
    left_out: list[str] = field(default_factory=list)  #: warnings about reserved names in the root
    out_of_range: list[str] = field(default_factory=list)  #: paths whose times are outside the range of an entry

    def warnings(self) -> list[str]:
        """Return the warnings, one line each."""
        times = [f"the time of '{path}' is outside 1677 to 2262: stored the nearest one" for path in self.out_of_range]
        return [clash_text(*clash) for clash in self.clashes] + self.left_out + times


def store_folder(store: StoreWriter, base: Tree | None, options: FolderOptions, meter: Meter) -> StoredFolder:
    """Store a folder's files and manifest. ``base``: a live bundle whose rows and nodes may be reused.

    Raises:
        NotFound, InvalidInput, Denied, Conflict: about a path of the folder, unless ``skip_on_error``.
    """
    taking = _Taking(store, base, options, meter)
    with Spool() as pieces:
        threads = Threads(options.workers, thread_name_prefix="sheaf-read")
        try:
            for piece in taking.pieces(threads):
                pieces.add(piece)
        finally:
            # After an error nobody waits for large files that are being read: their results are dropped.
            threads.shutdown(wait=False, cancel_futures=True)
            taking.readers.close()
        meter.start("send")
        store.sink.flush()
        meter.start("manifest")
        root = store.build(pieces, base)
        taking.save()
        seen, left_out = taking.seen, left_out_warnings(options.root)
        return StoredFolder(
            root, seen.files, root.size, taking.skipped, seen.clashes.all(), left_out, seen.out_of_range
        )


class FolderLike(Protocol):
    """The contents of a future bundle: stored by an upload, or only compared by a dry run."""

    @property
    def files(self) -> int: ...
    @property
    def skipped(self) -> list[Skipped]: ...
    @property
    def clashes(self) -> list[tuple[str, str]]: ...


def ensure_wanted(taken: FolderLike, path: str | Path, *, portable: bool, allow_empty: bool) -> None:
    """Raise Refused if names collide, with ``portable``, or there is no file, without ``allow_empty``."""
    if portable:
        ensure_portable(taken.clashes)
    if taken.files or allow_empty:
        return
    why = f": {taken.skipped[0].reason}" if taken.skipped else ""
    more = f", and {len(taken.skipped) - 1} more can't be uploaded" if len(taken.skipped) > 1 else ""
    raise Refused(
        f"no files to upload in {printable(str(path))}{why}{more}", "to commit an empty bundle, pass --allow-empty"
    )


def left_out_warnings(root: Path) -> list[str]:
    """Return a warning for each name in the root of a folder that uploads always skip."""
    names = [name for name in sorted(SET_ASIDE) if os.path.lexists(root / name)]
    return [f"skipped '{name}': this name is reserved for conflicts of diamonds" for name in names]


class _Seen(Struct):
    """What the rows of an upload say about it, as in :class:`StoredFolder`."""

    files: int = 0
    out_of_range: list[str] = field(default_factory=list)
    clashes: NameClashes = field(default_factory=lambda: NameClashes(ANYWHERE))

    def add(self, batch: ScanBatch) -> None:
        """Add rows in order."""
        self.files += int(np.count_nonzero(batch.kind != Kind.FOLDER))
        if batch.mtime.min(initial=0) == EARLIEST or batch.mtime.max(initial=0) == LATEST:
            clamped = np.flatnonzero((batch.mtime == EARLIEST) | (batch.mtime == LATEST))
            self.out_of_range += map(batch.path, clamped.tolist())
        for folder, start, end in batch.runs():
            self.clashes.add(folder, batch.name[start:end])


def _matching(batch: ScanBatch, wanted: re.Pattern[str]) -> ScanBatch:
    """Return the rows of a scan that match a filter, and all folders, so that each path has its folders."""
    return batch.take([i for i in range(len(batch)) if batch.kind[i] == Kind.FOLDER or wanted.search(batch.path(i))])


class _Taking:
    """The upload of one folder."""

    def __init__(self, store: StoreWriter, base: Tree | None, options: FolderOptions, meter: Meter) -> None:
        self._store = store
        self._ingest = store.ingest
        self._options = options
        self._meter = meter
        self._base = base
        limits, cache = options.limits, options.cache
        self._stats = StatCache.open(cache, options.root, options.started, limits.stat_rows) if cache else None
        self._top = str(options.root).rstrip("/")
        self.readers = Readers(options.workers, limits.worker_files)
        self.skipped: list[Skipped] = []
        self.seen = _Seen()

    def pieces(self, threads: Threads) -> Iterator[Piece]:
        """Yield the manifest of the folder in order: batches of rows, and leaves of the older bundle."""
        o = self._options
        on_error = self.skipped.append if o.skip_on_error else None
        scanned = scan(
            o.root,
            ignore=Ignore(),
            files=o.files,
            on_error=on_error,
            exclude=o.exclude,
            batch_rows=o.limits.scan_rows,
        )
        if o.name_filter:
            scanned = (_matching(batch, o.name_filter) for batch in scanned)
        pending: deque[tuple[_Rows | _Leaf, list[Future[ReadFiles]]]] = deque()
        waiting = 0
        for part in parts(scanned, self._base, o.limits.scan_rows):
            work: list[Future[ReadFiles]] = []
            rows = self._unchanged(part) or self._known(part)
            if isinstance(rows, _Rows):
                batch = rows.batch
                small = batch.size <= o.limits.worker_file_bytes
                self.readers.expect(int(np.count_nonzero(rows.to_read & small)))
                work += [threads.submit(self._read, batch, group) for group in self._groups(batch, rows.to_read)]
            pending.append((rows, work))
            waiting += len(work)
            while len(pending) > 1 and (waiting > _IN_FLIGHT or len(pending) > _PENDING):
                waiting -= len(pending[0][1])
                yield self._finished(*pending.popleft())
        while pending:
            yield self._finished(*pending.popleft())

    def save(self) -> None:
        """Save the hashes of what was read in the stat cache."""
        if self._stats is not None:
            self._stats.save()

    def _unchanged(self, part: ScanPart) -> _Leaf | None:
        """Return the leaf of the older bundle if all of its rows are those of the scan, and may be reused."""
        batch, leaf = part.batch, part.leaf
        if self._stats is None or self._options.rehash or leaf is None or (old := part.old_contents()) is None:
            return None
        found = self._stats.find(batch)
        contents, is_file = found.contents, batch.kind == Kind.FILE
        batch.add_target_hashes(contents)
        is_known = found.hit[is_file].all() and np.array_equal(old, contents)
        if not is_known or not self._store.is_leaf_usable(leaf.pointer, contents):
            return None
        self._stats.add(batch, contents, found.hit, found)
        size = int(batch.size[is_file].sum())
        self._meter.add_total(files=int(is_file.sum()), size=size)
        self._meter.add(files=int(is_file.sum()), size=size)
        return _Leaf(batch, leaf.pointer)

    def _known(self, part: ScanPart) -> _Rows:
        """Find the rows that can be copied from the older bundle, and the files that must be read."""
        batch, side = part.batch, part.side()
        n = len(batch)
        rows, at = side.rows, side.at
        is_file = batch.kind == Kind.FILE
        content, known = np.zeros((n, 32), np.uint8), np.zeros(n, np.bool_)
        found = None
        if self._stats is not None and not self._options.rehash:
            found = self._stats.find(batch)
            content, known = found.contents, found.hit
        copied = np.zeros(n, np.bool_)
        if rows.num_rows:
            here = np.maximum(at, 0)
            alive = self._store.usable(rows)[here]
            old = [hashes_array(rows["content"]), rows["size"].to_numpy(), rows["kind"].to_numpy()]
            old_content, old_size, old_kind = (column[here] for column in old)
            same = (old_content == content).all(axis=1) & (old_size == batch.size)
            copied = alive & known & is_file & (at >= 0) & same & (old_kind == Kind.FILE)
        self._meter.add_total(files=int(is_file.sum()), size=int(batch.size[is_file].sum()))
        self._meter.add(files=int(copied.sum()), size=int(batch.size[copied].sum()))
        return _Rows(batch, rows, np.where(copied, at, -1), is_file & ~copied, found)

    def _groups(self, batch: ScanBatch, to_read: npt.NDArray[np.bool_]) -> Iterator[list[int]]:
        """Group files to read into tasks: up to a count and bytes, and each large one by itself."""
        limits, rows = self._options.limits, np.flatnonzero(to_read)
        sizes = zip(rows.tolist(), batch.size[rows].tolist(), strict=True)
        return groups_of(sizes, limits.group_files, limits.group_bytes, alone=limits.whole_bytes)

    # -- reading, on several threads -----------------------------------------------------------------------------------

    def _read(self, batch: ScanBatch, group: list[int]) -> ReadFiles:
        if len(group) == 1 and batch.size[group[0]] > self._options.limits.whole_bytes:
            taken = self._read_large(batch, group[0])
            self._meter.add_file()
        else:
            taken = self._read_group(batch, group)
            unread = sum(int(batch.size[row]) for row in taken.skipped)
            self._meter.add(files=len(group), size=int(batch.size[group].sum()) - unread)
        self._meter.set_new(self._ingest.new_bytes)
        return taken

    def _read_elsewhere(self, batch: ScanBatch, group: list[int]) -> StoredFiles | None:
        """Read files in a worker process. Return None if they must be read here, or are larger on average."""
        if batch.size[group].mean() > self._options.limits.worker_file_bytes:
            return None
        try:
            with self.readers.one() as reader:
                if reader is None:
                    return None
                paths = [f"{self._top}/{batch.path(row)}" for row in group]
                columns = (c[group].tolist() for c in (batch.size, batch.mtime, batch.ctime))
                read = reader.read(ScannedFiles(paths, *columns), self._ingest.chunker)
                if read is None or not self._ingest.erased.contents.isdisjoint(read.hashes):
                    return None
                return self._ingest.store_columns(read)
        except LostWorker:
            return None

    def _read_group(self, batch: ScanBatch, group: list[int]) -> ReadFiles:
        """Read and store whole files. One that has become large is read as a stream."""
        if (files := self._read_elsewhere(batch, group)) is not None:
            return ReadFiles(group, files)
        taken = ReadFiles()
        contents: list[bytes] = []
        is_guarded = bool(self._ingest.erased.contents)
        columns = [column[group].tolist() for column in (batch.size, batch.mtime, batch.ctime)]
        for row, size, mtime, ctime in zip(group, *columns, strict=True):
            path = batch.path(row)
            try:
                read = read_whole(f"{self._top}/{path}", size, mtime, ctime)
                if read is None:
                    taken.add(self._read_large(batch, row))
                    continue
                content, state = read
                if is_guarded:
                    self._ingest.erased.check_bytes(content, f"'{path}'")
            except SheafError as error:
                taken.skipped[row] = self._skip(batch, row, error)
                continue
            if state is not None:
                taken.states[row] = state
            taken.rows.append(row)
            contents.append(content)
        taken.files = self._ingest.store_columns(self._ingest.cut(contents))
        return taken

    def _read_large(self, batch: ScanBatch, row: int) -> ReadFiles:
        """Read and store a large file, again if it changes while it is read."""
        counted = _Counted(self._meter)
        is_begun = False
        try:
            if self._ingest.erased.may_be(int(batch.size[row])):
                content = hash_file(f"{self._top}/{batch.path(row)}")
                self._ingest.erased.refuse(content, f"'{batch.path(row)}'")
            for blocks in read_blocks(f"{self._top}/{batch.path(row)}"):
                is_begun = True
                placed = self._ingest.store_stream(counted.through(blocks))
                if blocks.state is not None:
                    return ReadFiles(others={row: placed}, states={row: blocks.state})
                counted.take_back()
            raise AssertionError("read_blocks raises at its end")
        except SheafError as error:
            counted.take_back()
            if is_begun and isinstance(error, Refused):
                # An erased content whose size differs from the scan: parts of it were stored and must not be committed.
                raise
            return ReadFiles(skipped={row: self._skip(batch, row, error)})

    def _skip(self, batch: ScanBatch, row: int, error: SheafError) -> Skipped:
        if not self._options.skip_on_error:
            raise error
        return Skipped(batch.path(row), error.message)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _finished(self, rows: _Rows | _Leaf, work: list[Future[ReadFiles]]) -> Piece:
        """Return a leaf, or wait for the reads of a batch, and return its manifest rows without skipped files."""
        if isinstance(rows, _Leaf):
            self.seen.add(rows.batch)
            return rows.pointer
        fresh = Fresh(rows.batch)
        for future in work:
            taken = future.result()
            fresh.add(taken)
            self.skipped += taken.skipped.values()
        if logs_files():
            for row in np.flatnonzero(rows.to_read & fresh.kept).tolist():
                log_file("read", rows.batch.path(row), int(rows.batch.size[row]))
        made = rows.finished(fresh)
        if self._stats is not None:
            self._stats.add(rows.batch, hashes_array(made["content"]), fresh.kept & ~fresh.changed, rows.found)
        is_complete = fresh.kept.all()
        self.seen.add(rows.batch if is_complete else rows.batch.take(np.flatnonzero(fresh.kept).tolist()))
        return made if is_complete else made.filter(pa.array(fresh.kept))


class _Counted(Struct):
    """Reports a large file's bytes while they are read, and subtracts them again if they were read in vain."""

    meter: Meter
    count: int = 0

    def through(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks unchanged, and count their bytes."""
        for block in blocks:
            yield block
            self.count += len(block)
            self.meter.add_bytes(len(block))

    def take_back(self) -> None:
        self.meter.add_bytes(-self.count)
        self.count = 0


class _Leaf(Struct, frozen=True):
    """A batch of a scan whose rows are those of a leaf of the older bundle."""

    batch: ScanBatch
    pointer: Pointer


class _Rows(Struct, frozen=True):
    """A batch of a scan. ``at``: the row of ``base`` to copy for each row, -1 for none; ``to_read``: mask of files to read.

    ``found``: what the stat cache knows of it.
    """

    batch: ScanBatch
    base: pa.RecordBatch
    at: npt.NDArray[np.int64]
    to_read: npt.NDArray[np.bool_]
    found: Found | None

    def finished(self, fresh: Fresh) -> pa.RecordBatch:
        """Return the manifest rows of the whole batch, with those of skipped files."""
        b, copied = self.batch, self.at >= 0
        scanned = {
            "folder": pa.array(b.folder, pa.string()),
            "name": pa.array(b.name, pa.string()),
            "kind": pa.array(b.kind),
            "mode": pa.array(b.mode),
            "mtime": pa.array(b.mtime),
            "size": pa.array(b.size),
            "target": pa.array(b.target, pa.string()),
        }
        others = [name for name in ROWS.names if name not in scanned]
        merged = fresh.table().select(others)
        if copied.any():
            order = np.arange(len(b))
            order[copied] = len(b) + np.arange(copied.sum())
            both = [merged, pa.Table.from_batches([self.base.select(others).take(pa.array(self.at[copied]))])]
            merged = pa.concat_tables(both).take(pa.array(order)).combine_chunks()
        arrays = scanned | {name: _only(merged[name]) for name in others}
        return pa.RecordBatch.from_arrays([arrays[name] for name in ROWS.names], schema=ROWS)


def _only(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type)
