"""Write rows of a manifest as files, folders and symlinks below an open folder. Used by download and update.

Files are written under their final names, since the folder is a partial one that nobody reads (see partial.py). So a
file of a killed download can't be mistaken for a complete one, and no file needs a rename of its own. Files of an
earlier, killed attempt are used if their contents are right: complete files, and the beginnings of large ones.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from threading import Event
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import DAMAGE, Contents, Erased
from sheaf.engine.manifest.tree import entry_at
from sheaf.errors import Corrupt, SheafError
from sheaf.fork import Threads
from sheaf.local_errors import local_error, translated
from sheaf.model.entries import Kind, ManifestEntry, PlaceKind
from sheaf.model.paths import join
from sheaf.storage.port import Buffer
from sheaf.transfer.download.damaged import Damaged, Refusal
from sheaf.transfer.download.sparse import end_sparse, write_sparse
from sheaf.transfer.download.write_limiter import Turns
from sheaf.transfer.local.dirfd import Anchor
from sheaf.transfer.progress import Meter, log_file, logs_files

__all__ = ["Filled", "Filling", "check_names", "paths_of"]

_SLICE_ROWS: Final = 2048  # per task: enough to make the hand-over between threads cheap
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES: Final = 1 << 20

Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Filled:
    """The result: the number of files written (including symlinks), their bytes, and files of an earlier attempt.

    ``erased``: the paths of files not written because their bytes were erased from the store; ``damaged``: those whose
    bytes are missing or damaged.
    """

    files: int = 0
    bytes: int = 0
    resumed: int = 0
    erased: list[str] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)

    def add(self, other: Filled) -> None:
        """Add the counts and lists of another task."""
        self.files += other.files
        self.bytes += other.bytes
        self.resumed += other.resumed
        self.erased += other.erased
        self.damaged += other.damaged


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of rows that a task needs, as lists."""

    folder: list[str]
    name: list[str]
    mode: list[int]
    mtime: list[int]
    size: list[int]
    content: list[bytes]
    target: list[str | None]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Columns:
        return cls(*(batch[name].to_numpy(zero_copy_only=False).tolist() for name in cls.__slots__))

    def path(self, row: int) -> str:
        return join(self.folder[row], self.name[row])


@dataclass(slots=True)
class Filling:
    """Writes rows below ``root``, a descriptor. ``resumed``: files of an earlier attempt may exist.

    ``refuse``: makes the error to raise when files are damaged; None: skip them.
    """

    contents: Contents
    root: int
    resumed: bool
    meter: Meter
    workers: int
    refuse: Refusal | None = None
    _masked: int = field(init=False)
    _logs_files: bool = field(default_factory=logs_files)
    _over: Event = field(default_factory=Event)
    _turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        self._masked = _masked_bits(self.root)

    def run(self, batches: Iterable[pa.RecordBatch]) -> Filled:
        """Write all rows, and return what was written.

        Raises what reading the contents raises, NoSpace, Denied, and Corrupt for unsafe names.
        """
        filled = Filled()
        pending: deque[Future[Filled]] = deque()
        pool = Threads(self.workers, thread_name_prefix="sheaf-write")
        try:
            for task in self._tasks(batches):
                if len(pending) >= 2 * self.workers:
                    self._add(filled, pending.popleft().result())
                pending.append(pool.submit(task))
            while pending:
                self._add(filled, pending.popleft().result())
        finally:
            self._over.set()
            pool.shutdown(cancel_futures=True)
        return filled

    def _add(self, filled: Filled, done: Filled) -> None:
        if done.damaged and self.refuse is not None:
            raise self.refuse(sorted(done.damaged))
        filled.add(done)

    def _go_on(self) -> None:
        """Raise CancelledError if another task has failed, so that this one's result is not needed."""
        if self._over.is_set():
            raise CancelledError

    def _tasks(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Callable[[], Filled]]:
        """Yield tasks that write slices of rows; large files are tasks of their own. Folders are created before."""
        with Anchor(self.root) as anchor:
            for batch in batches:
                check_names(batch)
                self._make_folders(anchor, batch)
                for start in range(0, batch.num_rows, _SLICE_ROWS):
                    part = batch.slice(start, _SLICE_ROWS)
                    large = _is_large(part)
                    yield partial(self._small, part.filter(pa.array(~large)) if large.any() else part)
                    for row in _where(large):
                        yield partial(self._large, entry_at(part, row))

    def _make_folders(self, anchor: Anchor, batch: pa.RecordBatch) -> None:
        """Create the folders that the batch lists, and those of its other rows."""
        listed = batch.filter(pc.equal(batch["kind"], int(Kind.FOLDER)))
        for folder in (*pc.unique(batch["folder"]).to_pylist(), *paths_of(listed)):
            with translated(f"make folder {folder}"):
                anchor.folder(folder, make=True)

    # -- files that are one chunk, and symlinks ------------------------------------------------------------------------

    def _small(self, batch: pa.RecordBatch) -> Filled:
        """Write the small files and symlinks of a slice."""
        rows = _Columns.of(batch)
        kind = batch["kind"].to_numpy()
        missing = kind == Kind.FILE
        links = _where(kind == Kind.SYMLINK)
        filled = Filled(len(links))
        with Anchor(self.root) as anchor:
            for row in _where(missing) if self.resumed else ():
                if self._is_there(anchor, rows, row):
                    missing[row] = False
                    filled.add(Filled(1, rows.size[row], 1))
            for row in links:
                self._link(anchor, rows, row)
            self.meter.add(files=filled.files, size=filled.bytes)
            found = self._data(batch, missing, rows, filled)
            # Fetch before waiting for a turn: the fetch takes longest, and others can write in the meantime.
            first = list(islice(found, 1))
            with self._turns.turn():
                for row, data in chain(first, found):
                    self._go_on()
                    self._write(anchor, rows, row, data)
                    filled.files += 1
                    filled.bytes += len(data)
        return filled

    def _data(
        self, batch: pa.RecordBatch, missing: Mask, rows: _Columns, filled: Filled
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (row, content) of the missing files that the store has; the others are recorded."""
        empty = batch["size"].to_numpy() == 0
        for row in _where(missing & empty):
            yield row, b""
        wanted = _where(missing & ~empty)
        if wanted:
            chosen = batch if len(wanted) == batch.num_rows else batch.take(pa.array(wanted))

            def on_erased(at: int) -> None:
                filled.erased.append(rows.path(wanted[at]))

            def on_damaged(at: int, error: SheafError) -> None:
                filled.damaged.append(Damaged(rows.path(wanted[at]), error.message))

            for at, data in self.contents.chunks(chosen, on_erased, on_damaged):
                yield wanted[at], data

    def _write(self, anchor: Anchor, rows: _Columns, row: int, data: bytes) -> None:
        """Write a small file with its mode and time."""
        mode, mtime = rows.mode[row] & 0o777, rows.mtime[row]
        try:
            fd = os.open(rows.name[row], _NEW, mode, dir_fd=anchor.folder(rows.folder[row]))
            try:
                _write_all(fd, data)
                if mode & self._masked:
                    os.fchmod(fd, mode)
                os.utime(fd, ns=(mtime, mtime))
            finally:
                os.close(fd)
        except OSError as error:
            # This is the inner loop: a context manager for each file would slow it down.
            raise local_error(error, f"write {rows.path(row)}") from error
        if self._logs_files:
            log_file("wrote", rows.path(row), len(data))
        self.meter.add(files=1, size=len(data))

    def _link(self, anchor: Anchor, rows: _Columns, row: int) -> None:
        """Create a symlink with its time. Raises Corrupt for an invalid target."""
        path, target = rows.path(row), rows.target[row]
        if not target or "\0" in target:
            raise Corrupt(f"symlink '{path}' of the manifest has no target", "run `sheaf store check`")
        with translated(f"make symlink {path}"):
            folder, name, mtime = anchor.folder(rows.folder[row]), rows.name[row], rows.mtime[row]
            if self.resumed:
                _remove(name, folder)
            os.symlink(target, name, dir_fd=folder)
            os.utime(name, ns=(mtime, mtime), dir_fd=folder, follow_symlinks=False)
        if self._logs_files:
            log_file("wrote", path)

    def _is_there(self, anchor: Anchor, rows: _Columns, row: int) -> bool:
        """True if an earlier attempt wrote this file completely; otherwise what it left is removed."""
        with translated(f"read {rows.path(row)}"):
            folder, name = anchor.folder(rows.folder[row]), rows.name[row]
            fd = _open_old(name, folder)
            if fd is None:
                _remove(name, folder)
                return False
            try:
                status = os.fstat(fd)
                if stat.S_ISREG(status.st_mode) and status.st_size == rows.size[row]:
                    hasher = blake3()
                    _hash_rest(fd, hasher)
                    if hasher.digest() == rows.content[row]:
                        _finish(fd, rows.mode[row], rows.mtime[row])
                        return True
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(fd)
        return False

    # -- the other files -----------------------------------------------------------------------------------------------

    def _large(self, entry: ManifestEntry) -> Filled:
        """Write a large file, or continue the one that an earlier attempt has left."""
        with Anchor(self.root) as anchor, translated(f"write {entry.path}"):
            folder = anchor.folder(entry.folder)
            fd = _open_old(entry.name, folder) if self.resumed else None
            if fd is None:
                _remove(entry.name, folder)
                fd = os.open(entry.name, _NEW, 0o600, dir_fd=folder)
            try:
                had = self._stream(fd, entry)
                _finish(fd, entry.mode, entry.mtime)
            except Erased:
                _remove(entry.name, folder)
                return Filled(erased=[entry.path])
            except DAMAGE as error:
                if self.refuse is not None and entry.kind == Kind.EXTERNAL:
                    # The file is not damaged, but stored elsewhere.
                    raise
                # With refuse, the file stays: the next attempt continues with what was written.
                if self.refuse is None:
                    _remove(entry.name, folder)
                return Filled(damaged=[Damaged(entry.path, error.message)])
            finally:
                os.close(fd)
        self.meter.add_file()
        if self._logs_files:
            log_file("wrote", entry.path, entry.size)
        return Filled(1, entry.size, int(had == entry.size > 0))

    def _stream(self, fd: int, entry: ManifestEntry) -> int:
        """Write the missing bytes of a file; return how many bytes existed before."""
        had = min(os.fstat(fd).st_size, entry.size)
        os.truncate(fd, had)
        if had and self._append(fd, entry, had):
            return had
        os.truncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        if not self._append(fd, entry, 0):
            raise Corrupt(f"'{entry.path}' doesn't match the manifest", "run `sheaf store check --read-data`")
        return 0

    def _append(self, fd: int, entry: ManifestEntry, had: int) -> bool:
        """Write the bytes after the first ``had`` ones; return True if the hash of the whole file is right.

        Hashes of chunks alone don't show whether the beginning, or the list of chunks, belongs to this file.
        """
        hasher = blake3()
        _hash_rest(fd, hasher)
        self.meter.add_bytes(had)
        for block in self.contents.blocks(entry, had):
            self._go_on()
            hasher.update(block)
            write_sparse(fd, block)
            self.meter.add_bytes(len(block))
        end_sparse(fd)
        return entry.kind == Kind.EXTERNAL or hasher.digest() == entry.content


def check_names(batch: pa.RecordBatch) -> None:
    """Raise Corrupt if a name could lead out of the destination. Folders are checked when they are opened."""
    names = batch["name"]
    bad = pc.or_(pc.match_substring(names, "/"), pc.match_substring(names, "\0"))
    bad = pc.or_(bad, pc.is_in(names, pa.array(["", ".", ".."])))
    for row in _where(bad.to_numpy(zero_copy_only=False)):
        raise Corrupt(f"the manifest contains the invalid name {names[row].as_py()!r}", "run `sheaf store check`")


def paths_of(batch: pa.RecordBatch) -> list[str]:
    """Return the paths of a batch's rows."""
    return [join(f, n) for f, n in zip(batch["folder"].to_pylist(), batch["name"].to_pylist(), strict=True)]


def _where(mask: Mask) -> list[int]:
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


def _is_large(batch: pa.RecordBatch) -> Mask:
    kind, place = batch["kind"].to_numpy(), batch["place"].to_numpy()
    is_file = (kind == Kind.FILE) & (batch["size"].to_numpy() > 0)
    large: Mask = (is_file & (place != PlaceKind.CHUNK)) | (kind == Kind.EXTERNAL)
    return large


def _masked_bits(folder: int) -> int:
    """Return the permission bits that new files don't get. Reading the umask itself would change it for all threads."""
    with translated("write the partial download"):
        # An attempt that was killed may have left this file.
        _remove("probe-mode", folder)
        fd = os.open("probe-mode", _NEW, 0o777, dir_fd=folder)
        try:
            return 0o777 & ~os.fstat(fd).st_mode
        finally:
            os.close(fd)
            os.unlink("probe-mode", dir_fd=folder)


def _open_old(name: str, folder: int) -> int | None:
    try:
        return os.open(name, _OLD, dir_fd=folder)
    except OSError:
        # The file doesn't exist, is a symlink, or can't be read: the caller writes it again.
        return None


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def _hash_rest(fd: int, hasher: blake3) -> None:
    while block := os.read(fd, _READ_BYTES):
        hasher.update(block)


def _finish(fd: int, mode: int, mtime: int) -> None:
    os.fchmod(fd, mode & 0o777)
    os.utime(fd, ns=(mtime, mtime))


def _write_all(fd: int, data: Buffer) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])
