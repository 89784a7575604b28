"""The system calls on which the durability of a folder store rests, as one object.

``FolderBackend`` writes through this and nothing else, so that a test can stand between it and the disk and simulate a
power cut.
"""

# ruff: noqa: PTH101, PTH102, PTH105, PTH108

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import fcntl
import os
import struct
import sys
from collections.abc import Sequence

__all__ = ["Syscalls"]

_IOV_MAX = 1024  # buffers a writev takes; POSIX promises 16, Linux and macOS give 1,024
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # linux/fs.h
_RENAME_EXCL = 4  # sys/stdio.h of macOS


class Syscalls:
    """The real calls. Each raises ``OSError`` as the system does."""

    def create(self, path: str, mode: int) -> int:
        """A descriptor of a new empty file, for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, fd: int, parts: Sequence[memoryview]) -> None:
        """All parts one after the other, without joining them."""
        rest, first = list(parts), 0
        while first < len(rest):
            written = os.writev(fd, rest[first : first + _IOV_MAX])
            while first < len(rest) and written >= rest[first].nbytes:
                written -= rest[first].nbytes
                first += 1
            if written:
                rest[first] = rest[first][written:]

    def lock(self, fd: int, *, shared: bool = False) -> bool | None:
        """True if the file is locked for this descriptor now, until it is closed; None where there are no locks.

        A lock of the open file, not of the process: other threads count as others, and a server sees those of its
        clients.
        """
        try:
            _lock(fd, shared=shared)
        except OSError as error:
            return False if error.errno in {errno.EAGAIN, errno.EACCES} else None
        return True

    def flush(self, fd: int) -> None:
        """Hands what was written to the file system's server, which is done where files are closed."""
        os.close(os.dup(fd))

    def chmod(self, path: str, mode: int) -> None:
        """Sets a mode whatever the umask says."""
        os.chmod(path, mode)

    def sync_file(self, fd: int) -> None:
        """Returns when the file's content is on the disk itself."""
        if sys.platform == "darwin":
            _full_sync(fd)
        else:
            os.fdatasync(fd)

    def sync_folder(self, path: str) -> None:
        """Returns when the folder's entries (not what they lead to) are on the disk itself."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if sys.platform == "darwin":
                _full_sync(fd)
            else:
                os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """Gives a descriptor back."""
        os.close(fd)

    def mkdir(self, path: str, mode: int) -> None:
        """One folder."""
        os.mkdir(path, mode)

    def link(self, source: str, target: str) -> None:
        """A second name for a file; ``FileExistsError`` if it is taken."""
        os.link(source, target)

    def rename_new(self, source: str, target: str) -> None:
        """Moves a file; ``FileExistsError`` if the name is taken, ``ENOSYS`` where the system has no such call."""
        _rename_new(source, target)

    def rename(self, source: str, target: str) -> None:
        """Moves a file over another one, in one step."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """Removes a name."""
        os.unlink(path)


def _lock(fd: int, *, shared: bool) -> None:
    number = getattr(fcntl, "F_OFD_SETLK", None)
    if number is None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    fcntl.fcntl(fd, number, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))  # struct flock; all of the file


def _full_sync(fd: int) -> None:
    """macOS: fsync alone stops at the drive's cache. File servers don't know the stronger call."""
    try:
        fcntl.fcntl(fd, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009 - only there
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
            raise
        os.fsync(fd)


def _rename_new(source: str, target: str) -> None:
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    names = os.fsencode(source), os.fsencode(target)
    if sys.platform == "darwin":
        call, arguments = getattr(libc, "renamex_np", None), (*names, ctypes.c_uint(_RENAME_EXCL))
    else:
        here = ctypes.c_int(_AT_FDCWD)
        call = getattr(libc, "renameat2", None)
        arguments = (here, names[0], here, names[1], ctypes.c_uint(_RENAME_NOREPLACE))
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    if call(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)
