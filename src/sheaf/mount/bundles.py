"""A bundle as a read-only file system. A node's number is its row's number plus a constant: lookups keep no state."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sheaf.engine.manifest.ranks import Leaf
from sheaf.model.entries import Kind
from sheaf.mount.fuse.port import FOREVER, ROOT_INO, TYPE_BITS, Attr, ReadOnly, Space, failed, missing
from sheaf.mount.open_files import BundleReader, OpenFile
from sheaf.storage.port import Buffer

__all__ = ["BundleFs", "Folder", "OpenedFile", "OpenedFiles", "Streamed"]

_AFTER_ROOT: Final = ROOT_INO + 1  # the node number of row 0


class OpenedFile(Protocol):
    """A file that a program has opened."""

    def read(self, offset: int, size: int) -> Buffer: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Streamed:
    """An open file whose bytes are read from the store."""

    reader: BundleReader
    file: OpenFile

    def read(self, offset: int, size: int) -> Buffer:
        return self.reader.read(self.file, offset, size)

    def close(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """An open file that is read from a downloaded copy of the bundle."""

    fd: int

    def read(self, offset: int, size: int) -> Buffer:
        return os.pread(self.fd, size, offset)

    def close(self) -> None:
        os.close(self.fd)


class OpenedFiles:
    """The open files of a mount, by handle."""

    def __init__(self) -> None:
        self._next = itertools.count(1)
        self._open: dict[int, OpenedFile] = {}

    def add(self, file: OpenedFile) -> int:
        """Add an open file and return its handle."""
        handle = next(self._next)
        self._open[handle] = file
        return handle

    def read(self, handle: int, offset: int, size: int) -> Buffer:
        """Return at most ``size`` bytes at ``offset`` of an open file."""
        return self._open[handle].read(offset, size)

    def release(self, handle: int) -> None:
        """Close a handle and its file."""
        self._open.pop(handle).close()


@dataclass(slots=True)
class Folder:
    """The listing of a folder, read from the rows of the manifest."""

    fs: BundleFs
    rows: range
    is_stable: bool = True

    def entries(self, start: int) -> Iterator[tuple[str, Attr, int]]:
        """Yield name, attributes and next position of each entry from position ``start`` on, leaf by leaf."""
        offset = 1 - self.rows.start
        rank = self.rows.start + start
        while rank < self.rows.stop:
            leaf = self.fs.reader.ranks.leaf(rank)
            end = min(self.rows.stop, leaf.first + len(leaf))
            for row in range(rank - leaf.first, end - leaf.first):
                yield leaf.name[row], self.fs.attr(leaf, row), leaf.first + row + offset
            rank = end


class BundleFs(ReadOnly):
    """A bundle as a read-only file system.

    ``base``: added to all node numbers, so that a mount can show several bundles. ``copy``: a folder that contains a
    download of the bundle, from which files are then read.
    """

    def __init__(
        self, reader: BundleReader, mtime: int, files: OpenedFiles, *, base: int = 0, copy: Path | None = None
    ) -> None:
        self.reader = reader
        self.base = base
        self._files = files
        self._copy = copy
        self._root = Attr(base + ROOT_INO, stat.S_IFDIR | 0o755, 0, mtime)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def row(self, ino: int) -> tuple[Leaf, int]:
        """Return the leaf and the row in it of a node number. Raises OSError (ENOENT)."""
        rank = ino - self.base - _AFTER_ROOT
        try:
            leaf = self.reader.ranks.leaf(rank)
        except IndexError:
            raise failed(errno.ENOENT) from None
        return leaf, rank - leaf.first

    def attr(self, leaf: Leaf, row: int) -> Attr:
        """Return the attributes of a row for the kernel."""
        kind = leaf.kind[row]
        size = 0 if kind == Kind.FOLDER else leaf.size[row]
        ino = self.base + _AFTER_ROOT + leaf.first + row
        return Attr(ino, TYPE_BITS[Kind(kind)] | leaf.mode[row], size, leaf.mtime[row], 1, FOREVER)

    def folder_path(self, ino: int) -> str:
        """Return the path of a folder in the bundle, "" for its root. Raises OSError (ENOENT, ENOTDIR)."""
        if ino == self._root.ino:
            return ""
        leaf, row = self.row(ino)
        if leaf.kind[row] != Kind.FOLDER:
            raise failed(errno.ENOTDIR)
        return leaf.path(row)

    def find(self, folder: str, name: str) -> Attr | None:
        """Return the attributes of a name in a folder (a path), None if there is none."""
        rank = self.reader.ranks.find(folder, name)
        return None if rank is None else self.getattr(self.base + _AFTER_ROOT + rank)

    def lookup(self, parent: int, name: str) -> Attr:
        found = self.find(self.folder_path(parent), name)
        if found is None:
            raise missing(name)
        return found

    def getattr(self, ino: int) -> Attr:
        return self._root if ino == self._root.ino else self.attr(*self.row(ino))

    def readlink(self, ino: int) -> str:
        leaf, row = self.row(ino)
        target = leaf.target(row)
        if target is None:
            raise failed(errno.EINVAL)
        return target

    def list(self, ino: int) -> Folder:
        return Folder(self, self.reader.ranks.span(self.folder_path(ino)))

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def open(self, ino: int, *, write: bool = False, truncate: bool = False) -> int:
        if write or truncate:
            raise failed(errno.EROFS)
        leaf, row = self.row(ino)
        if self._copy is None:
            return self._files.add(Streamed(self.reader, OpenFile(leaf, row)))
        return self._files.add(
            DownloadedFile(os.open(self._copy / leaf.path(row), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        )

    def is_direct(self, handle: int) -> bool:
        return False

    def read(self, handle: int, offset: int, size: int) -> Buffer:
        return self._files.read(handle, offset, size)

    def release(self, handle: int) -> None:
        self._files.release(handle)

    def space(self) -> Space:
        root = self.reader.ranks.tree.root
        return Space(-(-root.size // 4096), 0, root.rows, 0)
