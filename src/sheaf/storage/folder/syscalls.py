"""The system calls on which the durability of a folder store depends, as one object.

``FolderBackend`` writes only through this object, so that a test can replace it to simulate a power cut.
"""

# ruff: noqa: PTH101, PTH102, PTH105, PTH108

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from collections.abc import Sequence

__all__ = ["Syscalls"]

_IOV_MAX = 1024  # buffers that one writev accepts; POSIX guarantees 16, Linux and macOS allow 1,024
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # linux/fs.h
_RENAME_EXCL = 4  # sys/stdio.h of macOS


class Syscalls:
    """The real calls. Each raises ``OSError`` as the system does."""

    def create(self, path: str, mode: int) -> int:
        """Create a file, open it for writing and return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def write(self, fd: int, parts: Sequence[memoryview]) -> None:
        """Write all parts one after the other, without joining them."""
        rest, first = list(parts), 0
        while first < len(rest):
            written = os.writev(fd, rest[first : first + _IOV_MAX])
            while first < len(rest) and written >= rest[first].nbytes:
                written -= rest[first].nbytes
                first += 1
            if written:
                rest[first] = rest[first][written:]

    def lock(self, fd: int, *, shared: bool = False) -> bool | None:
        """Try to lock the file until the descriptor is closed. True if locked, None where locks are not supported.

        The lock belongs to the open file, not to the process: other threads count as others, and a server sees the locks of
        its clients.
        """
        try:
            _lock(fd, shared=shared)
        except OSError as error:
            return False if error.errno in {errno.EAGAIN, errno.EACCES} else None
        return True

    def flush(self, fd: int) -> None:
        """Send what was written to a file server. Such file systems do that when a descriptor is closed."""
        os.close(os.dup(fd))

    def chmod(self, path: str, mode: int) -> None:
        """Set a mode regardless of the umask."""
        os.chmod(path, mode)

    def sync_file(self, fd: int) -> None:
        """Wait until the file's content is on the disk itself."""
        if sys.platform == "darwin":
            _full_sync(fd)
        else:
            os.fdatasync(fd)

    def sync_folder(self, path: str) -> None:
        """Wait until the folder's entries (not the contents of its files) are on the disk itself."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if sys.platform == "darwin":
                _full_sync(fd)
            else:
                os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def mkdir(self, path: str, mode: int) -> None:
        """Create one folder."""
        os.mkdir(path, mode)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name. Raises ``FileExistsError`` if the name exists."""
        os.link(source, target)

    def rename_new(self, source: str, target: str) -> None:
        """Move a file. Raises ``FileExistsError`` if the name exists, ``ENOSYS`` where the system has no such call."""
        _rename_new(source, target)

    def rename(self, source: str, target: str) -> None:
        """Move a file, replacing an existing one in one step."""
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name of a file."""
        os.unlink(path)


def _lock(fd: int, *, shared: bool) -> None:
    number = getattr(fcntl, "F_OFD_SETLK", None)
    if number is None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    fcntl.fcntl(fd, number, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0))  # struct flock, for the whole file


def _full_sync(fd: int) -> None:
    """Sync a file on macOS, where fsync stops at the drive's cache. File servers don't support the stronger call."""
    try:
        fcntl.fcntl(fd, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009 - only there
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
            raise
        os.fsync(fd)


def _rename_new(source: str, target: str) -> None:
    import ctypes.util

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
