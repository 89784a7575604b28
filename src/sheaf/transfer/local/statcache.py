"""Hashes of local files by size and times, so that unchanged files are not read again.

A row maps (device, inode, size, mtime, ctime) to the BLAKE3 hash of the content, never to a location, which would
depend on the store. Each scanned folder has one immutable file, which is replaced by a rename. A damaged file counts as
empty.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from msgspec import Struct

from sheaf.engine.core_limits import DEFAULT
from sheaf.model.entries import Kind
from sheaf.private_files import make_private_folder
from sheaf.storage.folder.scratch import Scratch
from sheaf.transfer.local.scan import ScanBatch

__all__ = ["MAX_CACHE_BYTES", "FileStates", "Found", "StatCache", "prune"]

MAX_CACHE_BYTES: Final = 1 << 30

_MAGIC: Final = b"sheaf stat cache 1\n".ljust(24)
_HEAD: Final = struct.Struct("<24sQ")
_DIGEST: Final = 32
#: A file whose ctime or mtime is this close to the scan may change again without changing its times: file systems round
#: them to ticks of some milliseconds, or on some systems up to two seconds.
_RACY_NS: Final = 2_000_000_000
_U64: Final = np.dtype("<u8")
_I64: Final = np.dtype("<i8")
_COLUMNS: Final = (("key", _U64), ("dev", _U64), ("ino", _U64), ("size", _I64), ("mtime", _I64), ("ctime", _I64))
_ROW_BYTES: Final = 8 * len(_COLUMNS) + 32
_ROW: Final = np.dtype([*_COLUMNS, ("content", np.uint8, 32)])
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)

Columns = dict[str, npt.NDArray[Any]]
Hashes = npt.NDArray[np.uint8]  #: shape (n, 32)


class FileStates(Struct, frozen=True):
    """The states of files and the hashes of their contents, as columns."""

    dev: npt.NDArray[np.uint64]
    ino: npt.NDArray[np.uint64]
    size: npt.NDArray[np.int64]
    mtime: npt.NDArray[np.int64]
    ctime: npt.NDArray[np.int64]
    content: Hashes


class Rows:
    """Rows in the order in which they were added: a few in memory, many in a file without a name."""

    def __init__(self, in_memory: int = DEFAULT.stat_rows) -> None:
        self.count = 0
        self.in_memory = in_memory
        self._held: list[npt.NDArray[Any]] = []
        self._file: Scratch | None = None

    def add(self, columns: Columns) -> None:
        """Add rows. If the disk is full they stay in memory."""
        rows = np.empty(len(columns["key"]), _ROW)
        for name, column in columns.items():
            rows[name] = column
        self.count += len(rows)
        self._held.append(rows)
        if sum(map(len, self._held)) > self.in_memory:
            with contextlib.suppress(OSError):
                self._spill()

    def _spill(self) -> None:
        self._file = self._file or Scratch()
        self._file.append(*(rows.view(np.uint8).data for rows in self._held))
        self._held = []

    def all(self) -> npt.NDArray[Any]:
        """Return all rows. Raises OSError."""
        if self._file is None:
            return np.concatenate([np.empty(0, _ROW), *self._held])
        self._spill()
        return np.memmap(self._file.file, _ROW, "r", shape=(self.count,))

    def close(self) -> None:
        """Drop all rows."""
        self._held, self.count = [], 0
        if self._file is not None:
            self._file.close()
            self._file = None


class Found(Struct, frozen=True):
    """The known hashes of a batch, shape (n, 32). ``hit``: mask of the rows that are known; ``at``: where they are."""

    contents: Hashes
    hit: npt.NDArray[np.bool_]
    at: npt.NDArray[np.int64]


class StatCache(Struct):
    """The known hashes of a folder, and new ones from a scan. Not thread-safe: one thread matches and adds.

    ``started``: the time in nanoseconds since 1970 when the scan began. ``still``: mask of the known rows that were
    added again. ``found``: other rows that were added, ``news`` in number.
    """

    path: Path
    started: int
    known: Columns
    found: Rows
    still: npt.NDArray[np.bool_]
    news: int = 0
    has_written: bool = False

    @classmethod
    def open(cls, cache_dir: Path, root: Path, started: int, in_memory: int = DEFAULT.stat_rows) -> StatCache:
        """Open the cache of a folder; it is empty if there is none or it is damaged."""
        name = blake3(os.fsencode(root.absolute())).hexdigest()[:32]
        path = cache_dir / "stat" / name
        known = _load(path)
        return cls(path, started, known, Rows(in_memory), np.zeros(len(known["key"]), np.bool_))

    def match(self, batch: ScanBatch) -> tuple[Hashes, npt.NDArray[np.bool_]]:
        """Return the content hash of each row, shape (n, 32), and which rows are known. Only files can be known."""
        found = self.find(batch)
        return found.contents, found.hit

    def find(self, batch: ScanBatch) -> Found:
        """Return what is known of each row, as :meth:`match` does, for :meth:`add`."""
        asked = _columns(batch)
        contents = np.zeros((len(batch), 32), np.uint8)
        if not len(self.known["key"]):
            return Found(contents, np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.int64))
        at = np.searchsorted(self.known["key"], asked["key"])
        at[at == len(self.known["key"])] = 0
        hit = batch.kind == Kind.FILE
        for column, _ in _COLUMNS:
            hit &= self.known[column][at] == asked[column]
        contents[hit] = self.known["content"][at[hit]]
        return Found(contents, hit, at)

    def add(self, batch: ScanBatch, contents: Hashes, mask: npt.NDArray[np.bool_], found: Found | None = None) -> None:
        """Add the content hashes of the rows in ``mask``. Include those that :meth:`match` knew: nothing else is saved.

        Rows that changed so close to the scan that they could change again unnoticed are left out. ``found``: what
        :meth:`find` returned for this batch, if it was called.
        """
        kept = mask & (batch.kind == Kind.FILE)
        kept &= np.maximum(batch.mtime, batch.ctime) < self.started - _RACY_NS
        # The batch may have been corrected since, and reading may have found another content than was known.
        found = found or self.find(batch)
        still = kept & found.hit & (found.contents == contents).all(axis=1)
        self.still[found.at[still]] = True
        news = kept & ~still
        if news.any():
            self.found.add(
                {name: column[news] for name, column in _columns(batch).items()} | {"content": contents[news]}
            )
            self.news += int(np.count_nonzero(news))

    def add_written(self, files: FileStates) -> None:
        """Add files that were just written, as they were then. :meth:`save` leaves out those that are still too young.

        Files that are renamed one by one afterwards get another ctime, so that they are not known any more. This does not
        notice an edit of the same size in the very tick of the clock in which a file was written, if the time of
        modification is set back: its state is then the same. Files are written in a folder that only downloads use.
        """
        self.has_written = True
        self.news += len(files.ino)
        columns = {"dev": files.dev, "ino": files.ino, "size": files.size, "mtime": files.mtime, "ctime": files.ctime}
        self.found.add({"key": _key(files.ino, files.dev), "content": files.content, **columns})

    def drop_written(self) -> None:
        """Forget what was added: the states of most files have changed since, so that a scan is worth its time."""
        self.found.close()
        self.has_written, self.news = False, 0

    def save(self, now: int | None = None) -> bool:
        """Replace the file by what was added. Returns False if it can't be written, which only costs time later.

        ``now``: the current time, if files were written since the cache was opened.
        """
        try:
            if not self.news and self.still.all() and self.path.exists():
                os.utime(self.path)
                return True
            self._add_still()
            # Drop the old columns, which closes the mapped file before it is replaced.
            self.known = _empty()
            make_private_folder(self.path.parent)
            _store(self.path, self.found.all(), self.found.in_memory, (now or self.started) - _RACY_NS)
        except OSError:
            return False
        finally:
            self.found.close()
        prune(self.path.parent, MAX_CACHE_BYTES, keep=self.path)
        return True

    def _add_still(self) -> None:
        """Add the known rows that were added again to the others, which come first: they are newer."""
        rows, step = np.flatnonzero(self.still), self.found.in_memory
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            self.found.add({name: column[part] for name, column in self.known.items()})


def _columns(batch: ScanBatch) -> Columns:
    return {
        "key": _key(batch.ino, batch.dev),
        "dev": batch.dev,
        "ino": batch.ino,
        "size": batch.size,
        "mtime": batch.mtime,
        "ctime": batch.ctime,
    }


def _key(ino: npt.NDArray[np.uint64], dev: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # Inodes follow the order of a scan, so neighbours get neighbouring keys.
    return ino + dev * _SPREAD


def _empty() -> Columns:
    columns: Columns = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS}
    columns["content"] = np.zeros((0, 32), np.uint8)
    return columns


def _load(path: Path) -> Columns:
    """Map the file of a cache into memory. Returns empty columns if it doesn't exist or is damaged."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return _empty()
    view = memoryview(data)
    if len(view) < _HEAD.size + _DIGEST:
        return _empty()
    magic, count = _HEAD.unpack_from(view)
    if magic != _MAGIC or len(view) != _HEAD.size + count * _ROW_BYTES + _DIGEST:
        return _empty()
    if blake3(view[:-_DIGEST]).digest() != bytes(view[-_DIGEST:]):
        return _empty()
    return _parse(view, count)


def _parse(view: memoryview, count: int) -> Columns:
    columns: Columns = {}
    at = _HEAD.size
    for name, dtype in _COLUMNS:
        columns[name] = np.frombuffer(view, dtype, count, at)
        at += 8 * count
    columns["content"] = np.frombuffer(view, np.uint8, 32 * count, at).reshape(count, 32)
    return columns


def _store(path: Path, found: npt.NDArray[Any], rows: int, before: int) -> None:
    """Write the file of a cache: head, columns, and the hash of both; it replaces the old one by a rename.

    ``before``: files with a later time could change again without changing their times, and are left out.
    """
    # Hard links become one row; of keys that collide by chance one row is lost.
    _, order = np.unique(found["key"], return_index=True)
    order = order[np.maximum(found["mtime"], found["ctime"])[order] < before]
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(fd, "wb") as file:
            hasher = blake3()
            _put(file, hasher, _HEAD.pack(_MAGIC, len(order)))
            for name in (*(name for name, _ in _COLUMNS), "content"):
                for at in range(0, len(order), rows):
                    _put(file, hasher, found[name][order[at : at + rows]].tobytes())
            file.write(hasher.digest())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _put(file: Any, hasher: Any, raw: bytes) -> None:
    hasher.update(raw)
    file.write(raw)


def prune(folder: Path, max_bytes: int, *, keep: Path | None = None) -> None:
    """Remove the caches that were used longest ago until the others fit; never remove ``keep``."""
    found = []
    for entry in os.scandir(folder):
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        found.append((status.st_mtime_ns, status.st_size, Path(entry.path)))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if left <= max_bytes:
            return
        if path != keep:
            path.unlink(missing_ok=True)
            left -= size
