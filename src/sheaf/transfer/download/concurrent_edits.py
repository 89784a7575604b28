"""Find what others have changed in a folder between its scan and the first change of an update. Reads only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from sheaf.local_errors import translated
from sheaf.model.entries import Kind, clamp_time
from sheaf.model.paths import split
from sheaf.transfer.download.write_files import paths_of
from sheaf.transfer.local.dirfd import Anchor
from sheaf.transfer.local.scan import ScanBatch

__all__ = ["EntryState", "concurrent_edits", "scanned_state"]

_U64_MASK: Final = (1 << 64) - 1
_NO_FOLDER: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # ELOOP: some systems' answer for a symlink

#: Inode, size, mtime and ctime. The size is 0 of what is not a file. A chmod changes the ctime.
EntryState = tuple[int, int, int, int]


def scanned_state(local: ScanBatch, row: int) -> EntryState:
    """Return the state of an entry when it was scanned."""
    size = int(local.size[row]) if local.kind[row] == Kind.FILE else 0
    return int(local.ino[row]), size, int(local.mtime[row]), int(local.ctime[row])


def concurrent_edits(states: Mapping[str, EntryState], added: Iterable[pa.RecordBatch], root: int) -> list[str]:
    """Return the paths below ``root`` that are no longer as they were scanned, in order.

    ``states``: of the entries that the update replaces or removes. ``added``: rows of the target; those without a state
    did not exist.
    """
    with Anchor(root) as anchor:
        comparison = _Comparison(states, set(states.values()), anchor)
        found = comparison.replaced()
        for batch in added:
            found += comparison.occupied(batch)
    return sorted(found)


@dataclass(slots=True)
class _Comparison:
    states: Mapping[str, EntryState]
    #: On a file system that ignores case, a new name can find the file of the old name, which will be removed.
    known: set[EntryState]
    anchor: Anchor
    missing: str | None = None  #: the last folder that did not exist, whose other entries need no lookup

    def replaced(self) -> list[str]:
        found = []
        for path, state in self.states.items():
            status = self._status(path)
            if status is None or _state_of(status) != state:
                found.append(path)
        return found

    def occupied(self, batch: pa.RecordBatch) -> list[str]:
        """Return the rows without a state at whose path there is an entry now."""
        found = []
        for path, kind in zip(paths_of(batch), batch["kind"].to_pylist(), strict=True):
            status = None if path in self.states else self._status(path)
            if status is None or _state_of(status) in self.known:
                continue
            if kind != Kind.FOLDER or not stat.S_ISDIR(status.st_mode):  # two folders are merged
                found.append(path)
        return found

    def _status(self, path: str) -> os.stat_result | None:
        parent, name = split(path)
        if parent == self.missing:
            return None
        with translated(f"read {path}"):
            try:
                folder = self.anchor.folder(parent)
            except OSError as error:
                if error.errno not in _NO_FOLDER:
                    raise
                self.missing = parent
                return None
            try:
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return None


def _state_of(status: os.stat_result) -> EntryState:
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return status.st_ino & _U64_MASK, size, clamp_time(status.st_mtime_ns), clamp_time(status.st_ctime_ns)
