"""Write rows of a manifest as files, folders and symlinks below an open folder. Used by download and update.

Files are written under their final names, since the folder is a partial one that nobody reads (see partial.py). So a
file of a killed download can't be mistaken for a complete one, and no file needs a rename of its own. Files of an
earlier, killed attempt are used if their contents are right: complete files, and the beginnings of large ones.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from threading import Event

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.chunks.bulk.gather import is_gathered, slices
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.manifest.tree import entry_at
from sheaf.errors import Corrupt
from sheaf.fork import Threads
from sheaf.local_errors import translated
from sheaf.model.entries import Kind
from sheaf.model.paths import join
from sheaf.transfer.download.damaged import Refusal
from sheaf.transfer.download.files.file_group import FileGroups
from sheaf.transfer.download.files.filled import Filled
from sheaf.transfer.download.files.large_file import LargeFiles
from sheaf.transfer.download.files.new_file import NEW
from sheaf.transfer.download.files.old_file import remove
from sheaf.transfer.download.files.writer_pool import Writers
from sheaf.transfer.local.dirfd import Anchor
from sheaf.transfer.local.statcache import StatCache
from sheaf.transfer.progress import Meter

__all__ = ["Filling", "check_names", "paths_of"]

Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Filling:
    """Writes rows below ``root``, a descriptor. ``resumed``: files of an earlier attempt may exist.

    ``lock``: a locked descriptor, see :meth:`sheaf.transfer.download.files.writer_pool.WriterProcess.start`.

    ``refuse``: makes the error to raise when files are damaged; None: skip them. ``cache``: where the hashes of the
    written files are noted.
    """

    contents: Contents
    root: int
    lock: int
    resumed: bool
    meter: Meter
    workers: int
    refuse: Refusal | None = None
    cache: StatCache | None = None
    _groups: FileGroups = field(init=False)
    _large: LargeFiles = field(init=False)
    _writers: Writers = field(init=False)
    _over: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        common = self.contents, self.root, self.resumed, self.meter
        masked = _masked_bits(self.root)
        self._writers = Writers(self.workers, self.contents.limits, self.root, self.lock, masked)
        self._groups = FileGroups(*common, masked, self._writers, self._ensure_needed)
        self._large = LargeFiles(*common, self.refuse, self._ensure_needed)

    def run(self, batches: Iterable[pa.RecordBatch]) -> Filled:
        """Write all rows, and return what was written.

        Raises what reading the contents raises, NoSpace, Denied, and Corrupt for unsafe names.
        """
        filled = Filled()
        pending: deque[Future[Filled]] = deque()
        # One thread more than writers, so that the next bytes are ready when a writer is.
        pool = Threads(self.workers + 1, thread_name_prefix="sheaf-write")
        try:
            for task in self._tasks(batches):
                if len(pending) >= 2 * self.workers:
                    self._add(filled, pending.popleft().result())
                pending.append(pool.submit(task))
            while pending:
                self._add(filled, pending.popleft().result())
        finally:
            self._over.set()
            self._writers.stop()
            pool.shutdown(cancel_futures=True)
            self._writers.close()
        return filled

    def _add(self, filled: Filled, done: Filled) -> None:
        if done.damaged and self.refuse is not None:
            raise self.refuse(sorted(done.damaged))
        if self.cache is not None:
            for states in done.states:
                self.cache.add_written(states)
        done.states.clear()
        filled.add(done)

    def _ensure_needed(self) -> None:
        """Raise CancelledError if another task has failed, so that this one's result is not needed."""
        if self._over.is_set():
            raise CancelledError

    def _tasks(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Callable[[], Filled]]:
        """Yield tasks that write slices of rows; large files are tasks of their own. Folders are created before."""
        with Anchor(self.root) as anchor:
            for batch in batches:
                check_names(batch)
                self._make_folders(anchor, batch)
                large = _is_large(batch)
                size = np.where(large, 0, batch["size"].to_numpy())
                self._writers.expect(batch.num_rows, int(size.sum()))
                for start, end in slices(size):
                    part, apart = batch.slice(start, end - start), large[start:end]
                    yield partial(self._groups.write, part.filter(pa.array(~apart)) if apart.any() else part)
                    for row in _where(apart):
                        yield partial(self._large.write, entry_at(part, row))

    def _make_folders(self, anchor: Anchor, batch: pa.RecordBatch) -> None:
        """Create the folders that the batch lists, and those of its other rows."""
        listed = batch.filter(pc.equal(batch["kind"], int(Kind.FOLDER)))
        for folder in (*pc.unique(batch["folder"]).to_pylist(), *paths_of(listed)):
            with translated(f"make folder {folder}"):
                anchor.folder(folder, make=True)


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


def _masked_bits(folder: int) -> int:
    """Return the permission bits that new files don't get. Reading the umask itself would change it for all threads."""
    with translated("write the partial download"):
        # An attempt that was killed may have left this file.
        remove("probe-mode", folder)
        fd = os.open("probe-mode", NEW, 0o777, dir_fd=folder)
        try:
            return 0o777 & ~os.fstat(fd).st_mode
        finally:
            os.close(fd)
            os.unlink("probe-mode", dir_fd=folder)


def _is_large(batch: pa.RecordBatch) -> Mask:
    kind = batch["kind"].to_numpy()
    is_file = (kind == Kind.FILE) & (batch["size"].to_numpy() > 0)
    large: Mask = (is_file & ~is_gathered(batch)) | (kind == Kind.EXTERNAL)
    return large
