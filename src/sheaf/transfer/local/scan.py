"""Scan a local folder into columns, in the order of a manifest. Used by upload, diff and update; reads no contents.

Rows are sorted by (folder, name): the rows of the root, then those of its first folder, then of that one's first
folder, and so on. Every folder has a row in its parent's range. Symlinks are never followed.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeGuard

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from sheaf.engine.core_limits import DEFAULT
from sheaf.errors import InvalidInput, NotFound, Refused, SheafError
from sheaf.local_errors import ensure_utf8_names, local_error, printable
from sheaf.model.entries import Kind, clamp_time
from sheaf.model.paths import check_path, check_target, join
from sheaf.transfer.local.file_list import ListedFiles
from sheaf.transfer.local.ignore import IGNORE_FILE, Ignore

__all__ = [
    "OWN_NAMES",
    "PARTIAL_SUFFIX",
    "SET_ASIDE",
    "OnError",
    "ScanBatch",
    "Skipped",
    "checked_root",
    "scan",
]

#: The suffix of folders that contain an unfinished download.
PARTIAL_SUFFIX: Final = ".sheaf-partial"
#: Folders in which a diamond stores what its splits disagreed about.
SET_ASIDE: Final = frozenset((".checkpoints", ".conflicts"))
#: Names that are never part of a bundle if they are in its root: also what Datamon and a killed download leave there.
OWN_NAMES: Final = SET_ASIDE | {".datamon", PARTIAL_SUFFIX}

_KINDS: Final = {stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFDIR: Kind.FOLDER}
_SPECIAL: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SAFE_NAME: Final = 63  #: characters; a name of at most so many has at most 252 bytes
_SAFE_FOLDER: Final = 960  #: characters; with a safe name below it a path has at most 4,093 bytes
_U64_MASK: Final = (1 << 64) - 1
_MODE: Final = attrgetter("st_mode")
_STATUS: Final = attrgetter("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_dev", "st_ino")
_WIDTH: Final = 6  #: attributes in _STATUS


@dataclass(frozen=True, slots=True)
class Skipped:
    """A skipped path, printable, and the reason."""

    path: str
    reason: str


OnError = Callable[[Skipped], None]


@dataclass(frozen=True, slots=True)
class ScanBatch:
    """Consecutive rows of a scan, as columns of one length.

    ``kind``: :class:`Kind`. ``mode``: permission bits, 0o777 for symlinks. ``mtime``, ``ctime``: nanoseconds
    since 1970. ``size``: bytes of a file or of a symlink's target, 0 for folders. ``target``: of symlinks, else None.
    """

    folder: list[str]
    name: list[str]
    kind: npt.NDArray[np.uint8]
    mode: npt.NDArray[np.uint16]
    mtime: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    dev: npt.NDArray[np.uint64]
    ino: npt.NDArray[np.uint64]
    ctime: npt.NDArray[np.int64]
    target: list[str | None]

    def __len__(self) -> int:
        return len(self.name)

    def path(self, row: int) -> str:
        """Return the path of a row."""
        return join(self.folder[row], self.name[row])

    def slice(self, start: int, end: int) -> ScanBatch:
        """Return consecutive rows. The arrays share their memory with this batch."""
        return self._each(lambda column, _: column[start:end])

    def take(self, rows: list[int]) -> ScanBatch:
        """Return some of the rows."""
        return self._each(lambda column, _: [column[i] for i in rows] if isinstance(column, list) else column[rows])

    def joined(self, other: ScanBatch) -> ScanBatch:
        """Return the rows of both."""
        return self._each(
            lambda column, name: (
                column + getattr(other, name)
                if isinstance(column, list)
                else np.concatenate((column, getattr(other, name)))
            )
        )

    def _each(self, change: Callable[[Any, str], Any]) -> ScanBatch:
        """Return a batch with each column changed; ``change`` requires column and name."""
        columns: list[Any] = [change(getattr(self, each.name), each.name) for each in fields(self)]
        return ScanBatch(*columns)

    def runs(self) -> Iterator[tuple[str, int, int]]:
        """Yield (folder, first row, row after the last one) of each folder with rows here."""
        start, count = 0, len(self)
        while start < count:
            folder = self.folder[start]
            end = bisect_left(self.folder, True, start, key=folder.__ne__)
            yield folder, start, end
            start = end

    def add_target_hashes(self, contents: npt.NDArray[np.uint8]) -> None:
        """Set the contents of symlinks, shape (n, 32): the hashes of their targets."""
        for row in np.flatnonzero(self.kind == Kind.SYMLINK).tolist():
            contents[row] = np.frombuffer(blake3((self.target[row] or "").encode()).digest(), np.uint8)


def scan(
    root: Path,
    *,
    ignore: Ignore | None = None,
    files: Sequence[str] | None = None,
    on_error: OnError | None = None,
    exclude: Path | None = None,
    leave_out: frozenset[str] = OWN_NAMES,
    batch_rows: int = DEFAULT.scan_rows,
) -> Iterator[ScanBatch]:
    """Yield the rows below ``root`` in batches of at most ``batch_rows``.

    ``ignore``: initial rules; ``.sheafignore`` files are read unless it is None. ``files``: only these paths
    (relative, for a folder only its row) and their folders, without ignore rules. ``on_error``: called with skipped
    paths, which can't be read or stored; without it they raise an error. ``exclude``: a folder to skip, such as the
    store. ``leave_out``: names to skip in the root.

    Raises:
        NotFound, InvalidInput, Denied: for the root immediately; for entries below while the rows are read.
        Refused: the root is the excluded folder.
    """
    top = checked_root(root)
    barred = _identity(exclude) if exclude else None
    if barred and barred == _identity(root):
        raise Refused(f"{printable(str(root))} is the store itself", "name the folder that contains the data")
    listed = ListedFiles.parse(files, top) if files is not None else None
    return _Scan(top, None if listed else ignore, listed, on_error, barred, leave_out, batch_rows).batches()


def checked_root(root: Path) -> str:
    """Return the folder's path as text. Raises NotFound, InvalidInput (not a folder) and Denied (can't be read)."""
    ensure_utf8_names()
    shown = printable(str(root))
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            raise InvalidInput(f"{shown} is not a folder", "name the folder that contains the files")
        os.scandir(root).close()
    except FileNotFoundError as error:
        raise NotFound(f"{shown} does not exist") from error
    except OSError as error:
        raise local_error(error, f"read {shown}") from error
    return str(root)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass(slots=True)
class _Rows:
    """Rows that are collected for a batch."""

    folder: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    stats: list[os.stat_result] = field(default_factory=list)
    target: list[str | None] = field(default_factory=list)

    def add(self, folder: str, name: str, kind: Kind, status: os.stat_result, target: str | None) -> None:
        """Add one row."""
        self.folder.append(folder)
        self.name.append(name)
        self.kind.append(kind)
        self.stats.append(status)
        self.target.append(target)

    def add_files(self, folder: str, names: list[str], stats: list[os.stat_result]) -> None:
        """Add all files of a folder at once, which are most rows of a scan."""
        count = len(names)
        self.folder += [folder] * count
        self.name += names
        self.kind += [int(Kind.FILE)] * count
        self.stats += stats
        self.target += [None] * count

    def batch(self) -> ScanBatch:
        """Return the collected rows as columns."""
        kind = np.array(self.kind, np.uint8)
        mode, size, mtime, ctime, dev, ino = _columns(self.stats)
        mode = (mode & 0o777).astype(np.uint16)
        mode[kind == Kind.SYMLINK] = 0o777
        size[kind == Kind.FOLDER] = 0
        for row in np.flatnonzero(kind == Kind.SYMLINK):
            size[row] = len((self.target[row] or "").encode())
        return ScanBatch(self.folder, self.name, kind, mode, mtime, size, dev, ino, ctime, self.target)


def _are_plain(stats: list[os.stat_result | None], names: list[str]) -> TypeGuard[list[os.stat_result]]:
    """True if all of them are files whose names need no further checks."""
    if not "".join(names).isascii() or max(map(len, names)) > _SAFE_NAME or not all(stats):
        return False
    return all(map(stat.S_ISREG, set(map(_MODE, stats))))


def _columns(stats: list[os.stat_result]) -> tuple[npt.NDArray[Any], ...]:
    """Return the attributes in ``_STATUS`` as columns."""
    values = chain.from_iterable(map(_STATUS, stats))
    try:
        table = np.fromiter(values, np.int64, len(stats) * _WIDTH).reshape(-1, _WIDTH)
        mode, size, mtime, ctime, *ids = table.T.copy()
        dev, ino = (column.astype(np.uint64) for column in ids)
    except OverflowError:
        # Some file systems have inodes of 64 bits, or times far away.
        rows = [_STATUS(status) for status in stats]
        mode, size = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
        mtime, ctime = (np.array([clamp_time(row[at]) for row in rows], np.int64) for at in (2, 3))
        dev, ino = (np.array([row[at] & _U64_MASK for row in rows], np.uint64) for at in (4, 5))
    return mode, size, mtime, ctime, dev, ino


@dataclass(slots=True)
class _Scan:
    root: str
    ignore: Ignore | None
    listed: ListedFiles | None
    on_error: OnError | None
    barred: tuple[int, int] | None
    leave_out: frozenset[str]
    batch_rows: int
    rows: _Rows = field(default_factory=_Rows)

    def batches(self) -> Iterator[ScanBatch]:
        stack = [("", self.ignore)]
        while stack:
            folder, ignore = stack.pop()
            found: list[tuple[str, Ignore | None]] = []
            yield from self._folder(folder, ignore, found)
            stack.extend(reversed(found))
        if self.rows.name:
            yield self.rows.batch()

    def _folder(self, folder: str, ignore: Ignore | None, found: list[Any]) -> Iterator[ScanBatch]:
        """Yield the rows of one folder; ``found`` collects the folders in it, to be entered later."""
        try:
            fd = os.open(self._full(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | self._nofollow(folder))
        except OSError as error:
            self._report(folder, _unreadable(error, folder))
            return
        try:
            names = self._names(folder, fd)
            if ignore is not None and IGNORE_FILE in names:
                ignore = ignore.below(folder, fd)
            is_plain = self.listed is None and not (ignore and ignore.layers) and len(folder) <= _SAFE_FOLDER
            while names:
                room = self.batch_rows - len(self.rows.name)
                part, names = names[:room], names[room:]
                stats = self._stats(folder, part, fd)
                if is_plain and _are_plain(stats, part):
                    self.rows.add_files(folder, part, stats)
                else:
                    for name, status in zip(part, stats, strict=True):
                        if status is not None:
                            self._name(folder, name, fd, ignore, found, status)
                if len(self.rows.name) == self.batch_rows:
                    yield self.rows.batch()
                    self.rows = _Rows()
        finally:
            os.close(fd)

    def _full(self, folder: str) -> str:
        return f"{self.root}/{folder}" if folder else self.root

    @staticmethod
    def _nofollow(folder: str) -> int:
        # The root may be a symlink, because the user named it.
        return os.O_NOFOLLOW if folder else 0

    def _names(self, folder: str, fd: int) -> list[str]:
        try:
            names = os.listdir(fd) if self.listed is None else self.listed.names(folder)
        except OSError as error:
            self._report(folder, _unreadable(error, folder))
            return []
        names.sort()  # code points are in the order of their UTF-8 bytes
        return names if folder else [name for name in names if name not in self.leave_out]

    def _stats(self, folder: str, names: list[str], fd: int) -> list[os.stat_result | None]:
        """Return the status of each name; None of one that can't be read, which is reported."""
        try:
            return [os.stat(name, dir_fd=fd, follow_symlinks=False) for name in names]
        except OSError:
            return [self._stat(folder, name, fd) for name in names]

    def _stat(self, folder: str, name: str, fd: int) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            self._lost(folder, name, _unreadable(error, join(folder, name)))
            return None

    def _name(
        self, folder: str, name: str, fd: int, ignore: Ignore | None, found: list[Any], status: os.stat_result
    ) -> None:
        """Add the row of one name, unless it is ignored; folders to enter are added to ``found``."""
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if ignore and ignore.layers and ignore.leaves_out(join(folder, name), is_folder=kind == Kind.FOLDER):
            return
        if kind == Kind.FOLDER and (status.st_dev, status.st_ino) == self.barred:
            return
        try:
            target = self._checked(folder, name, fd, kind, status)
        except SheafError as error:
            self._lost(folder, name, error)
            return
        if kind == Kind.FOLDER and (self.listed is None or self.listed.is_entered(join(folder, name))):
            found.append((join(folder, name), ignore))
        self.rows.add(folder, name, kind, status, target)  # type: ignore[arg-type]  # _checked has refused None

    def _checked(self, folder: str, name: str, fd: int, kind: Kind | None, status: os.stat_result) -> str | None:
        """Return the target of a symlink, None for files and folders.

        Raises InvalidInput if a bundle can't contain the entry.
        """
        path = check_path(join(folder, name))
        if kind is None:
            what = _SPECIAL.get(stat.S_IFMT(status.st_mode), "neither a file, a folder nor a symlink")
            raise InvalidInput(f"{path} is {what}", "move it away, exclude it in .sheafignore, or pass --skip-on-error")
        if kind != Kind.FOLDER and self.listed is not None and self.listed.is_entered(path):
            raise InvalidInput(f"{path} is not a folder, but files below it are listed")
        return _target(path, name, fd) if kind == Kind.SYMLINK else None

    def _lost(self, folder: str, name: str, error: SheafError) -> None:
        """Report a path that can't be stored, or the listed paths below it."""
        path = join(folder, name)
        for each in self.listed.below(path) if self.listed is not None else (path,):
            self._report(each, error)

    def _report(self, path: str, error: SheafError) -> None:
        if self.on_error is None:
            raise error
        self.on_error(Skipped(printable(path) or ".", error.message))


def _target(path: str, name: str, fd: int) -> str:
    try:
        target = os.readlink(name, dir_fd=fd)
    except OSError as error:
        raise _unreadable(error, path) from error
    return check_target(target, path)


def _unreadable(error: OSError, path: str) -> SheafError:
    return local_error(error, f"read {printable(path) or 'the folder'}")
