"""Download a bundle, or a part of it, into a folder.

All files are fetched and verified in a partial folder next to the destination, then moved. So a killed download leaves
no partly written files in the destination, and the next one resumes.
"""

# os.listdir is used with descriptors, which pathlib can't list.
# ruff: noqa: PTH208

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import InvalidInput, Refused
from sheaf.local_errors import ensure_utf8_names, printable, translated
from sheaf.model.entries import Kind
from sheaf.transfer.download.damaged import Damaged, refusal_at
from sheaf.transfer.download.files.filled import Filled
from sheaf.transfer.download.install import Installation, ensure_free, restore_folders
from sheaf.transfer.download.partial import PartialFolder
from sheaf.transfer.download.selection import Selection
from sheaf.transfer.download.write_files import Filling, paths_of
from sheaf.transfer.local.compare import is_equal
from sheaf.transfer.local.dirfd import FOLDER_FLAGS
from sheaf.transfer.local.name_collisions import Clashes, Folding, collision_error, probe_folding
from sheaf.transfer.local.scan import PARTIAL_SUFFIX
from sheaf.transfer.local.statcache import StatCache
from sheaf.transfer.progress import Meter

__all__ = ["WORKERS", "Downloaded", "download", "ensure_no_collisions"]

WORKERS: Final = 4
_MAX_WORKERS: Final = 16  # each holds some spans of packs in memory


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The result of a download: the number of files (including symlinks), their bytes, and files of an earlier attempt.

    ``erased``: the paths of files that were not written because their bytes were erased from the store. ``damaged``:
    files that were not written because their bytes are missing or damaged.
    """

    files: int
    bytes: int
    resumed: int
    erased: tuple[str, ...] = ()
    damaged: tuple[Damaged, ...] = ()


def download(
    tree: Tree,
    contents: Contents,
    dest: Path,
    *,
    path: str = "",
    name_filter: str | None = None,
    files: Iterable[str] | None = None,
    force: bool = False,
    skip_on_error: bool = False,
    concurrency: int | None = None,
    cache: StatCache | None = None,
    meter: Meter | None = None,
) -> Downloaded:
    """Write a bundle below ``dest``, which is created if it does not exist. A folder that is equal to it is not changed.

    ``path``: only the contents of this folder, or this file. ``name_filter``: only files whose path matches this regular
    expression. ``files``: only these paths; folders with their contents. ``force``: write into a folder that is not
    empty, and overwrite files. ``skip_on_error``: skip files whose bytes are damaged. ``concurrency``: the number of
    writing threads. ``cache``: hashes of files that look unchanged; those of the written files are added if all of the
    bundle is written.

    Raises:
        NotFound: the path does not exist in the bundle.
        Refused: the destination is not empty, names collide on its file system, or another download is writing to it.
        NoSpace, Denied, Corrupt: fetched files stay next to the destination for the next attempt.
    """
    selection = Selection.parse(path, name_filter, files)
    adds = selection.names_files(tree)
    target, is_new = make_folder(dest)
    try:
        with translated(f"enter {printable(str(target))}"):
            fd = os.open(target, FOLDER_FLAGS)
        try:
            counted, threads = meter or Meter(), _workers(concurrency)
            job = _Job(tree, contents, target, fd, selection, counted, threads, skip_on_error, cache)
            return job.run(force=force, adds=adds)
        finally:
            os.close(fd)
    except BaseException:
        if is_new:
            _remove_if_empty(target)
        raise


@dataclass(frozen=True, slots=True)
class _Job:
    tree: Tree
    contents: Contents
    dest: Path
    fd: int
    selection: Selection
    meter: Meter
    workers: int
    skip_on_error: bool
    cache: StatCache | None

    def run(self, *, force: bool, adds: bool) -> Downloaded:
        """Download into the partial folder, then move the files. The folder stays for the next attempt if this fails."""
        identity = self._identity()
        was_installing = PartialFolder.is_installing_in(self.dest, identity)
        if not (force or adds or was_installing) and self._holds_anything():
            PartialFolder.remove_empty(self.dest)
            if self.selection == Selection() and is_equal(self.tree, self.dest, self.cache):
                return self._unchanged()
            raise Refused(f"{printable(str(self.dest))} is not empty", "choose an empty folder, or pass --overwrite")
        partial = PartialFolder.open(self.dest, identity)
        is_done = False
        try:
            filled = self._count(partial) if partial.is_installing else self._fill(partial, overwrite=force)
            moved = self._place(partial, overwrite=force, keep_folders=adds and not force)
            if self.cache is not None and 2 * moved > filled.files:
                self.cache.drop_written()
            is_done = True
        finally:
            partial.close(is_done=is_done)
        self.meter.finish()
        gone = tuple(sorted(filled.erased)), tuple(sorted(filled.damaged))
        return Downloaded(filled.files, filled.bytes, filled.resumed, *gone)

    def _unchanged(self) -> Downloaded:
        filled = self._counted((), ())
        self.meter.add(files=filled.files, size=filled.bytes)
        self.meter.finish()
        return Downloaded(filled.files, filled.bytes, filled.files)

    def _holds_anything(self) -> bool:
        return bool(set(os.listdir(self.fd)) - {PARTIAL_SUFFIX})

    def _identity(self) -> str:
        """Return a hash of what is downloaded: only the same download may resume a partial one."""
        s = self.selection
        said = (self.tree.root.id.hex(), s.path, s.pattern.pattern if s.pattern else None, s.files)
        return blake3(repr(said).encode()).hexdigest()

    def _fill(self, partial: PartialFolder, *, overwrite: bool) -> Filled:
        """Fetch and verify all files into the partial folder, after checks that need no transfer."""
        with translated(f"write {printable(str(partial.path))}"):
            folding = probe_folding(partial.fd)
        if folding:
            ensure_no_collisions(self.selection.rows(self.tree), folding)
        if partial.path.parent == self.dest and self.tree.row(PARTIAL_SUFFIX) is not None:
            raise Refused(
                f"the bundle contains '{PARTIAL_SUFFIX}', a name that downloads use themselves",
                "choose another destination",
            )
        if self._holds_anything():
            ensure_free(self.selection.rows(self.tree), self.fd, overwrite=overwrite)
        self.meter.start("download")
        refuse = None if self.skip_on_error else refusal_at(partial, "download")
        cache = self.cache if self.selection == Selection() else None
        filling = Filling(
            self.contents, partial.tree, partial.lock, partial.resumed, self.meter, self.workers, refuse, cache
        )
        filled = filling.run(self.selection.rows(self.tree))
        partial.start_installing(filled.erased, ((each.path, each.reason) for each in filled.damaged))
        return filled

    def _place(self, partial: PartialFolder, *, overwrite: bool, keep_folders: bool) -> int:
        """Move the files; return the number of those that were moved one by one."""
        placing = Installation(partial.tree, self.fd, overwrite)
        placing.run()
        skip = placing.existed if keep_folders else ()
        restore_folders(self.selection.folders(self.tree), self.fd, skip=skip)
        return placing.files

    def _count(self, partial: PartialFolder) -> Filled:
        """Return what an earlier attempt fetched: everything except erased and damaged files."""
        return self._counted(partial.erased, (Damaged(*each) for each in partial.damaged))

    def _counted(self, erased: Iterable[str], damaged: Iterable[Damaged]) -> Filled:
        """Count the selected files and their bytes, without those that were not written."""
        filled = Filled(erased=list(erased), damaged=list(damaged))
        gone = frozenset((*filled.erased, *(each.path for each in filled.damaged)))
        for found in self.selection.rows(self.tree):
            there = [path not in gone for path in paths_of(found)] if gone else []
            batch = found.filter(pa.array(there, pa.bool_())) if gone else found
            kind, size = batch["kind"].to_numpy(), batch["size"].to_numpy()
            filled.files += int(np.count_nonzero(kind != Kind.FOLDER))
            filled.bytes += int(size[(kind == Kind.FILE) | (kind == Kind.EXTERNAL)].sum())
        filled.resumed = filled.files
        return filled


def ensure_no_collisions(batches: Iterable[pa.RecordBatch], folding: Folding) -> None:
    """Raise Refused if two names collide on the file system of the destination."""
    clashes = Clashes(folding)
    for batch in batches:
        for pair in clashes.find(batch["folder"].to_pylist(), batch["name"].to_pylist()):
            raise collision_error(*pair)


def _workers(concurrency: int | None) -> int:
    if concurrency is not None and concurrency < 1:
        raise InvalidInput(f"invalid concurrency {concurrency}", "use a concurrency of at least 1")
    return min(concurrency or WORKERS, _MAX_WORKERS)


def make_folder(dest: Path) -> tuple[Path, bool]:
    """Create the destination if it doesn't exist; return its resolved path, and True if it is new. Raises InvalidInput."""
    ensure_utf8_names()
    with translated(f"make folder {printable(str(dest))}"):
        try:
            target = dest.resolve()
        except RuntimeError as error:
            raise InvalidInput(f"{printable(str(dest))} is a symlink that points to itself") from error
        if target.exists() and not target.is_dir():
            raise InvalidInput(f"{printable(str(dest))} is not a folder", "name a folder to download into")
        is_new = not target.exists()
        target.mkdir(parents=True, exist_ok=True)
    return target, is_new


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
