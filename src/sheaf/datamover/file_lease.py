"""Leases of Linux on files: whether a program has a file open for writing, and whether one has opened it since.

The kernel grants a read lease only if nobody has the file open for writing. While it is held, a program that opens the
file for writing has to wait, and the lease shows that it does.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

__all__ = ["OpenWriters", "is_leased", "read_lease"]

_CALLS: Final = ("F_SETLEASE", "F_GETLEASE", "F_SETSIG")


class OpenWriters(Enum):
    """Programs that have a file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@contextmanager
def read_lease(fd: int, owner: int) -> Iterator[OpenWriters]:
    """Hold a lease in the block, if the answer is NONE. ``owner``: the user id of the file's owner.

    SOME and UNKNOWN come without a lease: the file system or the permissions don't allow one.
    """
    found = _take(fd, owner)
    try:
        yield found
    finally:
        if found is OpenWriters.NONE:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def is_leased(fd: int) -> bool:
    """True as long as nobody has tried to open the file for writing since the lease was granted."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def _take(fd: int, owner: int) -> OpenWriters:
    if not all(hasattr(fcntl, name) for name in _CALLS):
        return OpenWriters.UNKNOWN
    try:
        # The default signal of a broken lease would end this process; the default action of this one is nothing.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        found = _asked(fd)
        return _asked_as(fd, owner) if found is None else found
    except OSError:
        return OpenWriters.UNKNOWN


def _asked(fd: int) -> OpenWriters | None:
    """Ask for a lease. Returns None if only the owner gets one."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EACCES:
            return None
        return OpenWriters.SOME if error.errno in (errno.EAGAIN, errno.EBUSY) else OpenWriters.UNKNOWN
    return OpenWriters.NONE


def _asked_as(fd: int, owner: int) -> OpenWriters:
    """Ask as the owner of the file: root in a container may become it, but lacks the right to lease others' files."""
    libc: Any = ctypes.CDLL(None)
    before = libc.setfsuid(owner)
    try:
        return _asked(fd) or OpenWriters.UNKNOWN
    finally:
        libc.setfsuid(before)
