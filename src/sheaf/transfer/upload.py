"""A folder in: scan, skip what is unchanged, read the rest in parallel, store it, and write a manifest.

Batches of a scan are in the order of the manifest and stay in it; the files of a batch are read by several threads,
small ones a few hundred at a time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.engine.ingest import Placed
from sheaf.engine.tree import Tree
from sheaf.engine.writer import Store
from sheaf.errors import SheafError
from sheaf.format.node_v1 import ROWS, hashes_array
from sheaf.model.entries import Kind, PlaceKind
from sheaf.model.ids import ZERO_HASH
from sheaf.model.nodes import Pointer
from sheaf.transfer.basis import Basis
from sheaf.transfer.hashing import hash_file
from sheaf.transfer.ignore import Ignore
from sheaf.transfer.portable import ANYWHERE, Clashes
from sheaf.transfer.progress import Meter
from sheaf.transfer.reading import FileState, read_blocks, read_small
from sheaf.transfer.scan import ScanBatch, Skipped, scan
from sheaf.transfer.statcache import StatCache

__all__ = ["FolderOptions", "StoredFolder", "folder_options", "store_folder"]

_GROUP_FILES = 256  # small files handed to a thread at once
_GROUP_BYTES = 4 << 20
_IN_FLIGHT = 16  # groups and big files being read or waiting: bounds memory


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """How to take a folder in. ``started``: the clock in nanoseconds; ``cache``: where hashes of unchanged files are."""

    root: Path
    started: int
    cache: Path | None = None
    files: Sequence[str] | None = None
    exclude: Path | None = None
    skip_on_error: bool = False
    rehash: bool = False
    workers: int = 2
    name_filter: re.Pattern[str] | None = None


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
    """The options for taking a folder into this store; the store's own folder is left out."""
    url = core.backend.url
    exclude = Path(url.removeprefix("file://")) if url.startswith("file://") else None
    workers = max(1, min(concurrency or core.workers, 4 * core.workers))
    return FolderOptions(Path(path), core.clock.now_ns(), cache, files, exclude, skip_on_error, rehash, workers)


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder that is in the store, not yet committed. ``files`` counts all but folders; ``size`` in bytes."""

    root: Pointer
    files: int
    size: int
    skipped: list[Skipped] = field(default_factory=list)
    clashes: list[tuple[str, str]] = field(default_factory=list)  #: paths that become one on other systems


def store_folder(store: Store, base: Tree | None, options: FolderOptions, meter: Meter) -> StoredFolder:
    """Store a folder's files and manifest. ``base``: a live bundle whose rows and nodes may be reused.

    Raises:
        NotFound, InvalidInput, Denied, Conflict: about a path of the folder, unless ``skip_on_error``.
    """
    taking = _Taking(store, base, options, meter)
    with ThreadPoolExecutor(options.workers, thread_name_prefix="sheaf-read") as readers:
        try:
            batches = list(taking.batches(readers))
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)
            raise
    meter.start("manifest")
    root = store.build(batches, base)
    taking.save()
    files = sum(int(np.count_nonzero(batch["kind"].to_numpy() != Kind.FOLDER)) for batch in batches)
    return StoredFolder(root, files, root.size, taking.skipped, _clashes(batches))


def _clashes(batches: list[pa.RecordBatch]) -> list[tuple[str, str]]:
    """The paths that become one where case doesn't count or Unicode forms are made alike, folder by folder."""
    found: list[tuple[str, str]] = []
    held: list[pa.RecordBatch] = []  # rows of a folder that may go on in the next batch
    for batch in batches:
        rows = pa.Table.from_batches([*held, batch.select(["folder", "name"])])
        last = pc.index(rows["folder"], rows["folder"][-1]).as_py()
        found += _clashes_in(rows.slice(0, last))
        held = rows.slice(last).to_batches()
    return found + (_clashes_in(pa.Table.from_batches(held)) if held else [])


def _clashes_in(rows: pa.Table) -> list[tuple[str, str]]:
    """The same of whole folders; a column-wise look comes first."""
    plain = pc.all(pc.string_is_ascii(rows["name"])).as_py()
    lowered = pc.binary_join_element_wise(rows["folder"], pc.utf8_lower(rows["name"]), "/")
    if plain is not False and pc.count_distinct(lowered).as_py() == rows.num_rows:
        return []
    return list(Clashes(ANYWHERE).find(rows["folder"].to_pylist(), rows["name"].to_pylist()))


def _matching(batch: ScanBatch, wanted: re.Pattern[str]) -> ScanBatch:
    """The rows of a scan that a filter asks for; folders stay, so that each path has its folders."""
    keep = [i for i in range(len(batch)) if batch.kind[i] == Kind.FOLDER or wanted.search(batch.path(i))]
    columns: dict[str, Any] = {f.name: getattr(batch, f.name) for f in fields(batch)}
    taken: dict[str, Any] = {
        name: [c[i] for i in keep] if isinstance(c, list) else c[keep] for name, c in columns.items()
    }
    return ScanBatch(**taken)


Outcome = tuple[int, Placed, FileState] | tuple[int, Skipped, None]


class _Taking:
    """One folder on its way in."""

    def __init__(self, store: Store, base: Tree | None, options: FolderOptions, meter: Meter) -> None:
        self._store = store
        self._ingest = store.ingest
        self._options = options
        self._meter = meter
        self._basis = Basis(base)
        self._stats = StatCache.open(options.cache, options.root, options.started) if options.cache else None
        self._top = str(options.root).rstrip("/")
        self.skipped: list[Skipped] = []

    def batches(self, readers: ThreadPoolExecutor) -> Iterator[pa.RecordBatch]:
        """The manifest rows of the folder, in order."""
        o = self._options
        on_error = self.skipped.append if o.skip_on_error else None
        scanned = scan(o.root, ignore=Ignore(), files=o.files, on_error=on_error, exclude=o.exclude)
        pending: deque[tuple[_Rows, list[Future[list[Outcome]]]]] = deque()
        waiting = 0
        for found in scanned:
            batch = _matching(found, o.name_filter) if o.name_filter else found
            if not len(batch):
                continue
            rows = self._known(batch)
            work = [readers.submit(self._read, batch, group) for group in self._groups(batch, rows.to_read)]
            pending.append((rows, work))
            waiting += len(work)
            while waiting > _IN_FLIGHT and len(pending) > 1:
                waiting -= len(pending[0][1])
                yield self._finished(*pending.popleft())
        while pending:
            yield self._finished(*pending.popleft())

    def save(self) -> None:
        """Remember the hashes of what was read."""
        if self._stats is not None:
            self._stats.save()

    def _known(self, batch: ScanBatch) -> _Rows:
        """Which rows can be taken over from the older bundle, and which files have to be read."""
        n = len(batch)
        table, at = self._basis.match(batch)
        is_file = batch.kind == Kind.FILE
        content, known = np.zeros((n, 32), np.uint8), np.zeros(n, np.bool_)
        if self._stats is not None and not self._options.rehash:
            content, known = self._stats.match(batch)
        copied = np.zeros(n, np.bool_)
        if table.num_rows:
            here = np.maximum(at, 0)
            alive = self._store.usable(table)[here]
            old = table.select(["kind", "content", "size"]).take(pa.array(here)).combine_chunks()
            same = (hashes_array(old["content"].chunk(0)) == content).all(axis=1) & (
                old["size"].to_numpy() == batch.size
            )
            copied = alive & known & is_file & (at >= 0) & same & (old["kind"].to_numpy() == Kind.FILE)
        self._meter.add_total(files=int(is_file.sum()), bytes=int(batch.size[is_file].sum()))
        self._meter.add(files=int(copied.sum()), bytes=int(batch.size[copied].sum()))
        return _Rows(batch, table, np.where(copied, at, -1), is_file & ~copied)

    def _groups(self, batch: ScanBatch, to_read: npt.NDArray[np.bool_]) -> Iterator[list[int]]:
        group: list[int] = []
        size = 0
        for row in np.flatnonzero(to_read).tolist():
            length = int(batch.size[row])
            if length > self._ingest.small:
                yield [row]
                continue
            group.append(row)
            size += length
            if len(group) >= _GROUP_FILES or size >= _GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    # -- reading, on several threads -----------------------------------------------------------------------------------

    def _read(self, batch: ScanBatch, group: list[int]) -> list[Outcome]:
        if len(group) == 1 and batch.size[group[0]] > self._ingest.small:
            outcomes = [self._read_big(batch, group[0])]
        else:
            outcomes = self._read_small(batch, group)
        stored = [placed.size for _, placed, _ in outcomes if isinstance(placed, Placed)]
        self._meter.add(files=len(group), bytes=sum(stored))
        self._meter.set_new(self._ingest.new_bytes)
        return outcomes

    def _read_small(self, batch: ScanBatch, group: list[int]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rows, contents, states = [], [], []
        sizes, mtimes, ctimes = batch.size.tolist(), batch.mtime.tolist(), batch.ctime.tolist()
        for row in group:
            try:
                before = FileState(sizes[row], mtimes[row], ctimes[row])
                content, state = read_small(f"{self._top}/{batch.path(row)}", before)
                self._ingest.erased.refuse_bytes(content, f"'{batch.path(row)}'")
            except SheafError as error:
                outcomes.append((row, self._skip(batch, row, error), None))
                continue
            if len(content) > self._ingest.small:  # it has grown since the scan
                outcomes.append((row, self._ingest.store_bytes(content), state))
                continue
            rows.append(row)
            contents.append(content)
            states.append(state)
        placed = self._ingest.store_small(contents)
        return [*outcomes, *zip(rows, placed, states, strict=True)]

    def _read_big(self, batch: ScanBatch, row: int) -> Outcome:
        try:
            if self._ingest.erased.may_be(int(batch.size[row])):
                content = hash_file(f"{self._top}/{batch.path(row)}")
                self._ingest.erased.refuse(content, f"'{batch.path(row)}'")
            for blocks in read_blocks(f"{self._top}/{batch.path(row)}"):
                placed = self._ingest.store_stream(blocks)
                if blocks.state is not None:
                    return row, placed, blocks.state
            raise AssertionError("read_blocks raises at its end")
        except SheafError as error:
            return row, self._skip(batch, row, error), None

    def _skip(self, batch: ScanBatch, row: int, error: SheafError) -> Skipped:
        if not self._options.skip_on_error:
            raise error
        return Skipped(batch.path(row), error.message)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _finished(self, rows: _Rows, work: list[Future[list[Outcome]]]) -> pa.RecordBatch:
        outcomes = [outcome for future in work for outcome in future.result()]
        self.skipped += [what for _, what, _ in outcomes if isinstance(what, Skipped)]
        made, kept = rows.finished(outcomes)
        if self._stats is not None:
            self._stats.add(rows.batch, hashes_array(made["content"]), kept & ~rows.changed)
        return made if kept.all() else made.filter(pa.array(kept))


@dataclass(slots=True)
class _Rows:
    """A batch of a scan: ``at`` says which row of ``table`` is taken over (-1: none), ``to_read`` which files are read."""

    batch: ScanBatch
    table: pa.Table
    at: npt.NDArray[np.int64]
    to_read: npt.NDArray[np.bool_]
    changed: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.changed = np.zeros(len(self.batch), np.bool_)

    def finished(self, outcomes: list[Outcome]) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
        """The rows of the manifest, and which of them are to be kept (the others were skipped)."""
        b = self.batch
        kept = np.ones(len(b), np.bool_)
        placed: dict[int, Placed] = {}
        for row, what, state in outcomes:
            if isinstance(what, Skipped) or state is None:
                kept[row] = False
                continue
            placed[row] = what
            if (state.size, state.mtime, state.ctime) != (b.size[row], b.mtime[row], b.ctime[row]):
                self.changed[row] = True  # what was read is newer than what was scanned; hashes go with what was read
                b.size[row], b.mtime[row], b.mode[row] = state.size, state.mtime, state.mode
        return self._columns(placed), kept

    def _columns(self, placed: dict[int, Placed]) -> pa.RecordBatch:
        b, n = self.batch, len(self.batch)
        copied = self.at >= 0
        columns = _taken(self.table, self.at[copied])
        fresh = _fresh(b, np.flatnonzero(~copied), placed)
        order = np.empty(n, np.int64)
        order[copied] = np.arange(copied.sum())
        order[~copied] = copied.sum() + np.arange(n - copied.sum())
        merged = pa.concat_tables([columns, fresh]).take(pa.array(order)).combine_chunks()
        arrays = {name: _only(merged[name]) for name in ROWS.names}
        arrays |= {
            "folder": pa.array(b.folder, pa.string()),
            "name": pa.array(b.name, pa.string()),
            "kind": pa.array(b.kind),
            "mode": pa.array(b.mode),
            "mtime": pa.array(b.mtime),
            "size": pa.array(b.size),
            "target": pa.array(b.target, pa.string()),
        }
        return pa.RecordBatch.from_arrays([arrays[name] for name in ROWS.names], schema=ROWS)


def _only(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type)


def _taken(table: pa.Table, at: npt.NDArray[np.int64]) -> pa.Table:
    return table.take(pa.array(at))


def _fresh(batch: ScanBatch, rows: npt.NDArray[np.int64], placed: dict[int, Placed]) -> pa.Table:
    """Rows that are not taken over: only the columns that say what is in them and where."""
    nothing = Placed(ZERO_HASH, 0)
    found = [placed.get(row, nothing) for row in rows.tolist()]
    content = [_identity(batch, row, one) for row, one in zip(rows.tolist(), found, strict=True)]
    stored = np.array([one.place != PlaceKind.NONE for one in found], np.bool_)
    recipe = np.array([one.place == PlaceKind.RECIPE for one in found], np.bool_)

    def where(mask: npt.NDArray[np.bool_], values: list[object], type: pa.DataType) -> pa.Array:
        return pc.if_else(pa.array(mask), pa.array(values, type), pa.scalar(None, type))

    columns: dict[str, pa.Array] = {
        "content": pa.array(content, ROWS.field("content").type),
        "place": pa.array([int(one.place) for one in found], pa.uint8()),
        "pack": where(stored, [one.pack for one in found], ROWS.field("pack").type),
        "offset": where(stored, [one.offset for one in found], pa.uint32()),
        "stored": where(stored, [one.stored for one in found], pa.uint32()),
        "recipe": where(recipe, [one.recipe for one in found], ROWS.field("recipe").type),
        "packs": pa.array(
            [[{"pack": p, "live": n} for p, n in one.packs.items()] if one.packs else None for one in found],
            ROWS.field("packs").type,
        ),
    }
    empty = {f.name: pa.nulls(len(found), f.type) for f in ROWS if f.name not in columns}
    arrays = columns | empty
    return pa.Table.from_arrays([arrays[name] for name in ROWS.names], schema=ROWS)


def _identity(batch: ScanBatch, row: int, placed: Placed) -> bytes:
    target = batch.target[row]
    return placed.content if target is None else blake3(target.encode()).digest()
