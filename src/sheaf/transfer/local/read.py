"""Read local files consistently: a file that changes while it is read is read again, or reported."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sheaf.engine.core_limits import DEFAULT
from sheaf.errors import Conflict, Denied, NotFound, SheafError, Unavailable
from sheaf.model.entries import clamp_time

__all__ = ["BLOCK", "WHOLE", "FileState", "read_blocks", "read_whole", "state_of"]

BLOCK = 2 << 20  #: bytes per block of a big file; more would be allocated again for each block, which is slow
WHOLE: Final = DEFAULT.whole_bytes  #: bytes of the largest file that is read in one piece
_TRIES = 3
#: Without O_NONBLOCK, opening a named pipe that replaced a file after the scan would wait for a writer.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NOT_A_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ESPIPE})  # a link, a socket, a folder, a pipe


class FileState(Struct, frozen=True):
    """The state of a file that shows changes; times in nanoseconds since 1970."""

    size: int
    mtime: int
    ctime: int
    mode: int = 0

    @property
    def changed_at(self) -> tuple[int, int]:
        """The two times that a write changes."""
        return self.mtime, self.ctime


def state_of(fd: int) -> FileState:
    """Return the state of an open file. Raises OSError, also for anything but a regular file."""
    st = os.fstat(fd)
    if not stat.S_ISREG(st.st_mode):
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
    return FileState(st.st_size, clamp_time(st.st_mtime_ns), clamp_time(st.st_ctime_ns), st.st_mode & 0o777)


def read_whole(path: str, size: int, mtime: int, ctime: int) -> tuple[bytes, FileState | None] | None:
    """Read a whole file consistently, and return its bytes; also its state if it has changed since the scan.

    The state's size is the number of bytes read. Returns None if the file has more than ``WHOLE`` bytes: use
    :func:`read_blocks`.

    Raises:
        NotFound, Denied, Unavailable: errors of the file system.
        Conflict: it changed during every attempt.
    """
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        raise _translated(error, path) from error
    try:
        data, now = os.pread(fd, size + 1, 0), os.fstat(fd)
        if len(data) == size == now.st_size and now.st_mtime_ns == mtime and now.st_ctime_ns == ctime:
            return data, None
        before = state_of(fd)
        for _ in range(_TRIES):
            data = _read_to_end(fd)
            if len(data) > WHOLE:
                return None
            after = state_of(fd)
            if after == before:
                return data, replace(after, size=len(data))
            before = after
    except OSError as error:
        raise _translated(error, path) from error
    finally:
        os.close(fd)
    raise _changing(path)


def _read_to_end(fd: int) -> bytes:
    """Return all bytes that can be read, whatever size the file system reports; at most one byte more than ``WHOLE``."""
    data = bytearray()
    while len(data) <= WHOLE and (block := os.pread(fd, WHOLE + 1 - len(data), len(data))):
        data += block
    return bytes(data)


class Blocks:
    """The blocks of a big file. After they were read, ``state`` is the file's state, None if it changed in the meantime.

    The size in ``state`` is the number of bytes read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.state: FileState | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            fd = os.open(self._path, _FLAGS)
        except OSError as error:
            raise _translated(error, self._path) from error
        try:
            before, size = state_of(fd), 0
            while block := os.read(fd, BLOCK):
                yield block
                size += len(block)
            # Some file systems report another size than can be read: what is recorded must be what was stored.
            self.state = replace(before, size=size) if state_of(fd) == before else None
        except OSError as error:
            raise _translated(error, self._path) from error
        finally:
            os.close(fd)


def read_blocks(path: str) -> Iterator[Blocks]:
    """Yield attempts to read a big file; use the next one if the last has no ``state`` at its end. Raises Conflict."""
    for _ in range(_TRIES):
        yield Blocks(path)
    raise _changing(path)


def _changing(path: str) -> Conflict:
    return Conflict(
        f"{path} changed while it was read", "stop the program that writes it, or exclude it in .sheafignore"
    )


def _translated(error: OSError, path: str) -> SheafError:
    if error.errno in _NOT_A_FILE:
        return Conflict(f"{path} is no longer a file", "run the same command again")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{path} was deleted before it was read", "run the same command again")
    if isinstance(error, PermissionError):
        return Denied(f"can't read {path}: {error.strerror}", "get permission to read it, or pass --skip-on-error")
    return Unavailable(f"can't read {path}: {error.strerror}")
