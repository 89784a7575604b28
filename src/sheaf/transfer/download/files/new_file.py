"""Write one new file. Imports little, because worker processes of downloads use it, too."""

from __future__ import annotations

import os
from typing import Final

from sheaf.storage.port import Buffer
from sheaf.transfer.download.files.sparse import SPARSE_BLOCK, end_sparse, write_sparse

__all__ = ["NEW", "write_file"]

NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(folder: int, name: str, data: Buffer, mode: int, mtime: int, masked: int) -> os.stat_result:
    """Write a file with its mode and time below a descriptor, and return its state. Raises OSError.

    What was written before an error is removed, unless another file has the name now.
    ``masked``: the permission bits that a new file doesn't get.
    """
    fd = os.open(name, NEW, mode, dir_fd=folder)
    try:
        if len(data) < SPARSE_BLOCK:
            _write_all(fd, data)
        else:
            write_sparse(fd, data)
            end_sparse(fd)
        if mode & masked:
            os.fchmod(fd, mode)
        os.utime(fd, ns=(mtime, mtime))
        return os.fstat(fd)
    except BaseException:
        _remove_own(fd, name, folder)
        raise
    finally:
        os.close(fd)


def _remove_own(fd: int, name: str, folder: int) -> None:
    """Remove the name of an open file, unless it names another file now."""
    try:
        if os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False)):
            os.unlink(name, dir_fd=folder)
    except OSError:
        # The next attempt finds by its hash that the file is not complete.
        return


def _write_all(fd: int, data: Buffer) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])
