"""Check one file against what is saved, and delete it, through descriptors of its folder and of the file itself.

The file is moved to a name that nobody else knows before it is deleted. So it can be looked at once more when no other
program can replace or open it any more, and it gets its name back if it isn't the file that was compared.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from blake3 import blake3

from sheaf.datamover.file_lease import OpenWriters, is_leased, read_lease
from sheaf.datamover.local_files import FileIdentity
from sheaf.datamover.saved_files import SavedFile
from sheaf.engine.clock import SystemClock
from sheaf.model.paths import split
from sheaf.transfer.local.dirfd import Anchor
from sheaf.transfer.local.read import BLOCK

__all__ = ["ASIDE", "FileRemoval", "Stays"]

#: Beginning of the name that a file has just before it is deleted.
ASIDE: Final = ".sheaf-removing-"
_LONGEST_NAME: Final = 255  #: bytes
#: Without O_NONBLOCK, opening a named pipe that replaced the file would wait for a writer.
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_U64: Final = (1 << 64) - 1
_OPENED: Final = "a program opened it for writing"
_CHANGED: Final = "it changed after it was listed"


class Stays(Exception):
    """The file stays where it is; the argument says why."""


class FileRemoval:
    """Checks and deletes files below ``root``, a descriptor.

    ``mounts``: mount points below it. ``may_be_unknown``: delete also where the system can't tell whether a file is open
    for writing; ``is_shared``: it never can, because other machines use these files, too. ``note``: called with each path
    that may be deleted, before it is. ``unlinks``: delete it.
    """

    def __init__(
        self,
        root: int,
        mounts: tuple[str, ...],
        *,
        is_shared: bool,
        may_be_unknown: bool,
        note: Callable[[str], None],
        unlinks: bool,
    ) -> None:
        self._device = os.fstat(root).st_dev
        self._anchor = Anchor(root)
        self._mounts = mounts
        self._is_shared = is_shared
        self._may_be_unknown = may_be_unknown
        self._note = note
        self._unlinks = unlinks
        self._is_leased = False

    def close(self) -> None:
        """Close the descriptors of folders."""
        self._anchor.close()

    def check(self, path: str, listed: FileIdentity) -> None:
        """Raise Stays, or OSError, if the file could not be deleted even if its content is saved."""
        with self._opened(path, listed):
            pass

    def remove(self, path: str, listed: FileIdentity, saved: Mapping[str, SavedFile]) -> None:
        """Delete a file if its bytes are those that are saved. Raises Stays, or OSError, if it stays."""
        with self._opened(path, listed) as (folder, name, fd):
            before = os.fstat(fd)
            self._compare(fd, saved[path])
            if not _is_same(before, os.fstat(fd)):
                raise Stays("it changed while it was compared")
            self._note(path)
            if self._unlinks:
                self._unlink(folder, name, fd, before)

    @contextmanager
    def _opened(self, path: str, listed: FileIdentity) -> Iterator[tuple[int, str, int]]:
        """Yield descriptor of the folder, name, and descriptor of the file, which nobody has open for writing."""
        if "\n" in path:
            raise Stays("its name contains a newline, which a list of files can't represent")
        if any(path == mount or path.startswith(f"{mount}/") for mount in self._mounts):
            raise Stays("it is on another file system")
        parent, name = split(path)
        folder = self._anchor.folder(parent)
        fd = os.open(name, _FLAGS, dir_fd=folder)
        try:
            found = os.fstat(fd)
            if found.st_dev != self._device:
                raise Stays("it is on another file system")
            if not stat.S_ISREG(found.st_mode) or _identity(found) != listed:
                raise Stays(_CHANGED)
            with read_lease(fd, found.st_uid) as writers:
                self._check_writers(OpenWriters.UNKNOWN if self._is_shared else writers)
                self._is_leased = writers is OpenWriters.NONE
                yield folder, name, fd
        finally:
            os.close(fd)

    def _check_writers(self, writers: OpenWriters) -> None:
        if writers is OpenWriters.SOME:
            raise Stays("a program has it open for writing")
        if writers is OpenWriters.UNKNOWN and not self._may_be_unknown:
            raise Stays("this system can't tell whether a program has it open for writing (see --no-writer-check)")

    def _compare(self, fd: int, saved: SavedFile) -> None:
        hasher, size = blake3(), 0
        while block := os.read(fd, BLOCK):
            hasher.update(block)
            size += len(block)
            self._check_lease(fd)
        if size != saved.size or hasher.hexdigest() != saved.content:
            raise Stays("its content is not the one in the bundle: it changed after it was saved")

    def _check_lease(self, fd: int) -> None:
        if self._is_leased and not is_leased(fd):
            raise Stays(_OPENED)

    def _unlink(self, folder: int, name: str, fd: int, state: os.stat_result) -> None:
        self._check_lease(fd)
        aside = _aside(name)
        try:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
            now = os.stat(aside, dir_fd=folder, follow_symlinks=False)
            # A rename may change the ctime, so the other attributes have to show a change.
            if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (
                state.st_dev,
                state.st_ino,
                state.st_size,
                state.st_mtime_ns,
            ):
                raise Stays("another file replaced it")
            self._check_lease(fd)
            os.unlink(aside, dir_fd=folder)
        except BaseException as error:  # a signal, too
            if (kept_as := _put_back(folder, aside, name)) and isinstance(error, Exception):
                raise Stays(f"another file has its name now; it is kept as {kept_as}") from error
            raise


def _identity(found: os.stat_result) -> FileIdentity:
    return FileIdentity(found.st_size, found.st_mtime_ns, found.st_dev & _U64, found.st_ino & _U64)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    names = ("st_size", "st_mtime_ns", "st_ctime_ns")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _aside(name: str) -> str:
    """Return a new hidden name that shows which file it was, as far as a name may be long."""
    start = f"{ASIDE}{SystemClock().new_id()}-"
    return start + os.fsdecode(os.fsencode(name)[: _LONGEST_NAME - len(start)])


def _put_back(folder: int, aside: str, name: str) -> str:
    """Give a file its name back, if it was moved aside. Returns the other name if it has to keep that one, else ""."""
    try:
        os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        os.unlink(aside, dir_fd=folder)
    except FileExistsError:
        return aside
    except FileNotFoundError:
        return ""  # it was not moved, or is deleted
    except OSError:
        # A folder, or a file system without hard links. A rename could replace a file that was created just now.
        return aside
    return ""
