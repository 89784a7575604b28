"""Open the files of a folder store only if they are regular files.

Otherwise a link could lead out of the store, and reading a named pipe or a device would never end.
"""

# Plain strings: creating a Path for each object costs more than the call itself.

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG, S_ISSOCK

from sheaf.errors import Corrupt
from sheaf.storage.buffers import check_size

__all__ = ["ensure_no_link", "opened", "read_whole"]

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MORE = 1 << 20  # bytes to read beyond the reported size of a file
_KINDS = {
    S_ISLNK: "a symbolic link",
    S_ISFIFO: "a named pipe",
    S_ISSOCK: "a socket",
    S_ISCHR: "a device",
    S_ISBLK: "a device",
}


@contextmanager
def opened(path: str) -> Iterator[tuple[int, int]]:
    """Open a regular file and yield its descriptor and its size in bytes. Raises OSError, Corrupt."""
    try:
        fd = os.open(path, _READ)
    except OSError as error:
        # open() reports a link as ELOOP and a socket as ENXIO.
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            _ensure_regular(path, os.lstat(path).st_mode)
        raise
    try:
        found = os.fstat(fd)
        _ensure_regular(path, found.st_mode)
        yield fd, found.st_size
    finally:
        os.close(fd)


def _ensure_regular(path: str, mode: int) -> None:
    """Raise IsADirectoryError for a folder, Corrupt for anything else that isn't a regular file."""
    if S_ISREG(mode):
        return
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    kind = next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "something else")
    raise Corrupt(
        f"{path} is {kind} instead of a regular file", "remove it from the store, then run `sheaf store check`"
    )


def ensure_no_link(folder: str) -> None:
    """Raise Corrupt if a folder of the store is a symbolic link, OSError if it does not exist."""
    if S_ISLNK(os.lstat(folder).st_mode):
        raise Corrupt(f"{folder} is a symbolic link instead of a folder", "move or mount the folder itself there")


def read_whole(fd: int, key: str, size: int, limit: int) -> bytes:
    """Read all bytes of a file that should have ``size``. Raises Corrupt if it has more than ``limit``."""
    data = os.read(fd, size + 1)
    # A file that grows, or a read that a signal cut short, needs more than one read.
    while len(data) != size and (more := os.read(fd, _MORE)):
        data += more
        check_size(key, len(data), limit)
    return data
