"""Copies of immutable objects on this machine. Safe to delete at any time; readers verify the hash."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from sheaf.errors import Corrupt
from sheaf.fork import Lock
from sheaf.format.limits import limit_of
from sheaf.private_files import ASIDE, make_private_folder, write_private
from sheaf.storage.buffers import check_size
from sheaf.storage.folder.regular_files import opened, read_whole
from sheaf.storage.key_rules import check_key

__all__ = [
    "ROOM",
    "Cache",
    "FolderCache",
    "NoCache",
    "Use",
    "remove_unfinished",
    "room_of",
    "set_room",
    "shrink",
    "use_of",
]

ROOM: Final = 2 << 30  #: size limit in bytes for copies of remote objects, by default
_LIMIT: Final = "limit"  # the file in a user's cache with another limit
_MARK: Final = "mark"  # not a valid key, so it can't collide with one
_OFTEN: Final = 16  # the folder is scanned when a 16th of its room was written


class Cache(Protocol):
    """Stores bytes by key if possible."""

    def get(self, key: str) -> bytes | None:
        """Return the bytes of a key, or None. They may be damaged."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes if possible."""
        ...

    def drop(self, key: str) -> None:
        """Delete the bytes of a key."""
        ...

    def clear(self, folder: str) -> None:
        """Delete all bytes whose keys begin with ``folder`` and a slash."""
        ...

    def is_marked(self, mark: str) -> bool:
        """True if this mark was the last one that was set."""
        ...

    def mark(self, mark: str) -> None:
        """Set the mark, which stays until the next one or until the folder is cleared."""
        ...


class NoCache:
    """Stores nothing: for stores that are on this machine anyway."""

    def get(self, key: str) -> bytes | None:
        return None

    def put(self, key: str, data: bytes) -> None:
        return None

    def drop(self, key: str) -> None:
        return None

    def clear(self, folder: str) -> None:
        return None

    def is_marked(self, mark: str) -> bool:
        return True

    def mark(self, mark: str) -> None:
        return None


class FolderCache:
    """One file per object, shared by processes. Files appear complete, by rename. A full or read-only disk is not an error.

    ``room``: the size limit in bytes, roughly; the least recently used files are deleted first. None: no limit here.
    """

    def __init__(self, root: Path, room: int | None = None) -> None:
        self._root = root
        self._room = room
        self._lock = Lock()
        self._written = 0

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            with opened(str(path)) as (fd, size):
                check_size(key, size, limit_of(key))
                data = read_whole(fd, key, size, limit_of(key))
        except (OSError, Corrupt):
            # Whatever is at this path, it is not a valid copy.
            return None
        if self._room is not None:
            with contextlib.suppress(OSError):
                os.utime(path)
        return data

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        try:
            make_private_folder(path.parent)
            write_private(path, data)
        except OSError:
            return
        self._make_room(len(data))

    def _path(self, key: str) -> Path:
        # Ids in keys come from the store: none may lead out of this folder.
        return self._root / check_key(key)

    def _make_room(self, written: int) -> None:
        if self._room is None:
            return
        with self._lock:
            self._written += written
            if self._written * _OFTEN < self._room:
                return
            self._written = 0
        shrink(self._root, self._room - self._room // _OFTEN)

    def drop(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError:
            return

    def clear(self, folder: str) -> None:
        import shutil  # only after an erasure

        shutil.rmtree(self._path(folder.rstrip("/")), ignore_errors=True)

    def is_marked(self, mark: str) -> bool:
        try:
            return (self._root / _MARK).read_text() == mark
        except (OSError, ValueError):
            return False

    def mark(self, mark: str) -> None:
        with contextlib.suppress(OSError):
            make_private_folder(self._root)
            write_private(self._root / _MARK, mark.encode())


# -- how much there is -------------------------------------------------------------------------------------------------


class Use(Struct, frozen=True):
    """Number of a folder's files, and their size in bytes."""

    files: int = 0
    bytes: int = 0


def room_of(cache: Path) -> int:
    """Return the size limit in bytes for remote objects in a user's cache."""
    try:
        return int((cache / _LIMIT).read_text())
    except (OSError, ValueError):
        return ROOM


def set_room(cache: Path, room: int) -> None:
    """Set the size limit in bytes for all processes. Raises OSError."""
    make_private_folder(cache)
    write_private(cache / _LIMIT, f"{room}\n".encode())


def use_of(root: Path) -> Use:
    """Return number and size of the files below a folder; zero if it doesn't exist."""
    sizes = [size for _, size, _ in _files(root)]
    return Use(len(sizes), sum(sizes))


def remove_unfinished(root: Path) -> None:
    """Delete unfinished files below a folder. A process that is writing one then stores no copy, which is not an error."""
    for _, _, path in _files(root):
        if path.name.startswith(ASIDE):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def shrink(root: Path, max_bytes: int) -> None:
    """Delete the least recently used files until the others fit. Other processes may do the same concurrently."""
    found = sorted(_files(root))
    left = sum(size for _, size, _ in found)
    for _, size, path in found:
        if left <= max_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        left -= size


def _files(root: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield (time of the last use, size, path) of each file below a folder."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                status = path.lstat()
                yield status.st_mtime_ns, status.st_size, path
