"""Use the files that an earlier attempt, which was killed, has left."""

from __future__ import annotations

import os
import stat
from typing import Final

from blake3 import blake3

__all__ = ["complete", "finish", "hash_rest", "open_old", "remove"]

_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES: Final = 1 << 20


def open_old(name: str, folder: int) -> int | None:
    """Open a file that may exist, None if it must be written from the beginning."""
    try:
        return os.open(name, _OLD, dir_fd=folder)
    except OSError:
        # The file doesn't exist, is a symlink, or can't be read.
        return None


def complete(name: str, folder: int, size: int, content: bytes, mode: int, mtime: int) -> os.stat_result | None:
    """Set mode and time of a file that is complete, and return its state. Otherwise remove it, and return None."""
    fd = open_old(name, folder)
    if fd is None:
        remove(name, folder)
        return None
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size == size:
            hasher = blake3()
            hash_rest(fd, hasher)
            if hasher.digest() == content:
                finish(fd, mode, mtime)
                return os.fstat(fd)
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(fd)
    return None


def remove(name: str, folder: int) -> None:
    """Remove a file that may not exist."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def hash_rest(fd: int, hasher: blake3) -> None:
    """Hash a file from its position to its end."""
    while block := os.read(fd, _READ_BYTES):
        hasher.update(block)


def finish(fd: int, mode: int, mtime: int) -> None:
    """Set the mode and time of a file."""
    os.fchmod(fd, mode & 0o777)
    os.utime(fd, ns=(mtime, mtime))
