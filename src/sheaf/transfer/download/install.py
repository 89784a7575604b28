"""Move a finished tree to its destination, by whole folders if possible, and set modes and times of folders.

Every file is moved by one rename, so it always exists complete or not at all. After a kill the move can be repeated:
files that were already moved are no longer in the tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from sheaf.errors import Refused
from sheaf.local_errors import translated
from sheaf.model.entries import Kind
from sheaf.model.paths import join, split
from sheaf.transfer.download.write_files import paths_of
from sheaf.transfer.local.dirfd import Anchor

__all__ = ["Installation", "ensure_free", "restore_folders", "unlocked"]

_OWNER: Final = 0o700


@dataclass(slots=True)
class Installation:
    """Move everything below ``source`` to ``dest``, two descriptors on one file system.

    ``overwrite``: replace existing files and symlinks; folders are never replaced. ``existed``: the folders that
    existed before, known after :meth:`run`. ``files``: the number of files that were moved one by one, which changes
    their ctime.
    """

    source: int
    dest: int
    overwrite: bool
    existed: set[str] = field(default_factory=set)
    files: int = 0

    def run(self) -> None:
        """Move everything; ``source`` is empty afterwards. Raises Refused if a path is occupied; Denied, NoSpace."""
        waiting, entered = [""], []
        with Anchor(self.source) as source, Anchor(self.dest) as dest:
            while waiting:
                folder = waiting.pop()
                entered.append(folder)
                waiting += self._move_all(folder, source.folder(folder), self._open(dest, folder))
            for folder in reversed(entered[1:]):
                parent, name = split(folder)
                os.rmdir(name, dir_fd=source.folder(parent))
        self.existed.update(entered[1:])

    def _open(self, dest: Anchor, folder: str) -> int:
        with translated(f"enter {folder or 'the destination'}"):
            return unlocked(dest, folder)

    def _move_all(self, folder: str, source: int, dest: int) -> list[str]:
        """Move the contents of one folder; return the folders that exist on both sides."""
        shared = []
        for name in sorted(os.listdir(source)):
            path = join(folder, name)
            with translated(f"write {path}"):
                if not self._move(path, name, source, dest):
                    shared.append(path)
        return shared

    def _move(self, path: str, name: str, source: int, dest: int) -> bool:
        """Move one entry. Return False if both sides have a folder of this name: they must be merged."""
        is_folder = stat.S_ISDIR(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode)
        there = _kind_of(name, dest)
        if there and is_folder and stat.S_ISDIR(there):
            return False
        _check_free(path, there, is_folder=is_folder, overwrite=self.overwrite or not is_folder)
        self.files += not is_folder
        if is_folder or self.overwrite:
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=dest)
        else:
            _move_new(path, name, source, dest)
        return True


def ensure_free(batches: Iterable[pa.RecordBatch], dest: int, *, overwrite: bool) -> None:
    """Raise Refused if an existing path conflicts with a row, before anything is fetched."""
    with Anchor(dest) as anchor:
        for batch in batches:
            for path, kind in zip(paths_of(batch), batch["kind"].to_pylist(), strict=True):
                parent, name = split(path)
                with translated(f"write {path}"):
                    try:
                        there = _kind_of(name, anchor.folder(parent))
                    except FileNotFoundError:
                        continue
                _check_free(path, there, is_folder=kind == Kind.FOLDER, overwrite=overwrite)


def _kind_of(name: str, folder: int) -> int:
    """Return the type bits of the entry with this name, 0 if there is none."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0


def _check_free(path: str, there: int, *, is_folder: bool, overwrite: bool) -> None:
    """Raise Refused unless a row can be written: a folder where there is no file, a file where there is no folder.

    ``overwrite``: a file may replace a file.
    """
    if there and is_folder and not stat.S_ISDIR(there):
        raise Refused(f"{path} is a file or symlink at the destination, but a folder in the bundle", "move it away")
    if there and not is_folder and stat.S_ISDIR(there):
        raise Refused(f"{path} is a folder at the destination, but a file in the bundle", "move it away")
    if there and not is_folder and not overwrite:
        raise Refused(f"{path} already exists", "move it away, or pass --overwrite")


def _move_new(path: str, name: str, source: int, dest: int) -> None:
    """Move a file without overwriting another. Raises Refused if the name exists."""
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=dest, follow_symlinks=False)
    except FileExistsError:
        ours, theirs = (os.stat(name, dir_fd=fd, follow_symlinks=False) for fd in (source, dest))
        if not os.path.samestat(ours, theirs):
            raise Refused(f"{path} already exists", "move it away, or pass --overwrite") from None
    except OSError:
        # The file system has no hard links.
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=dest)
        return
    os.unlink(name, dir_fd=source)


def unlocked(anchor: Anchor, folder: str) -> int:
    """Return the folder's descriptor, and make it writable for its owner. Its row restores the mode later."""
    fd = anchor.folder(folder)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & _OWNER != _OWNER and folder:
        os.fchmod(fd, mode | _OWNER)
    return fd


def restore_folders(
    batches: Iterable[pa.RecordBatch],
    dest: int,
    *,
    skip: Collection[str] = (),
    modes: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Set modes and times of the folders below ``dest`` from their rows, except of those in ``skip``.

    ``modes``: modes to set instead, by path.
    """
    locked: list[tuple[str, int]] = []
    with Anchor(dest) as anchor:
        for batch in batches:
            columns = (paths_of(batch), batch["mode"].to_pylist(), batch["mtime"].to_pylist())
            for path, mode, mtime in zip(*columns, strict=True):
                if path in skip:
                    continue
                wanted = modes.get(path, mode) & 0o777
                with translated(f"set mode and time of {path}"):
                    if _restore(anchor, path, wanted, mtime) and wanted & _OWNER != _OWNER:
                        locked.append((path, wanted))
        # Inner folders first: the mode of an outer one may deny access to them.
        for path, mode in reversed(locked):
            with translated(f"set the mode of {path}"):
                os.fchmod(anchor.folder(path), mode)


def _restore(anchor: Anchor, path: str, mode: int, mtime: int) -> bool:
    """Set mode and time of a folder. Return False if it doesn't exist, because a filter excluded it."""
    try:
        fd = anchor.folder(path)
    except FileNotFoundError:
        return False
    os.fchmod(fd, mode | _OWNER)
    os.utime(fd, ns=(mtime, mtime))
    return True
