"""The interface of a mounted file system: a few calls on numbered nodes, synchronous and thread-safe.

Bindings translate the kernel's requests into these calls, and what is raised into error numbers. A call that would have
to wait for a store asks its :class:`Patience` first; on a thread that must not wait that raises :class:`WouldWait`, and
the binding repeats the call on another thread. No call has changed anything when it raises WouldWait.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from sheaf.errors import SheafError, rule_of
from sheaf.model.entries import Kind
from sheaf.model.paths import MAX_NAME
from sheaf.storage.port import Buffer

__all__ = [
    "FOREVER",
    "ROOT_INO",
    "TYPE_BITS",
    "Attr",
    "Change",
    "Filesystem",
    "Listing",
    "Patience",
    "ReadOnly",
    "Space",
    "WouldWait",
    "errno_of",
    "failed",
    "missing",
]

ROOT_INO: Final = 1
FOREVER: Final = 365 * 86400.0  #: seconds that the kernel may remember what never changes
TYPE_BITS: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.EXTERNAL: stat.S_IFREG,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FOLDER: stat.S_IFDIR,
}
_log = logging.getLogger(__name__)


class Attr(NamedTuple):
    """The attributes of a node for the kernel: ``mode`` with type bits, ``size`` in bytes, ``mtime`` in nanoseconds.

    ``keep``: seconds for which name and attributes stay valid unless they are changed through this mount.
    """

    ino: int
    mode: int
    size: int
    mtime: int
    links: int = 1
    keep: float = FOREVER
    ctime: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Attributes to set; None leaves one alone. ``mode``: permission bits, ``mtime``: nanoseconds since 1970.

    ``now``: the time of change is this moment.
    """

    size: int | None = None
    mode: int | None = None
    mtime: int | None = None
    now: bool = False


class Space(NamedTuple):
    """The values for ``df``: blocks of 4,096 bytes, and files."""

    blocks: int
    free: int
    files: int
    free_files: int


class Listing(Protocol):
    """An opened folder."""

    @property
    def is_stable(self) -> bool:
        """True if the listing never changes, so that it may be cached."""
        ...

    def entries(self, start: int) -> Iterator[tuple[str, Attr, int]]:
        """Yield the entries from position ``start`` on, each with the position after it; the first is 0."""
        ...


class Filesystem(Protocol):
    """Nodes by number. Each call may raise OSError, SheafError or WouldWait."""

    @property
    def is_writable(self) -> bool:
        """True if the calls below ``space`` are supported."""
        ...

    def lookup(self, parent: int, name: str) -> Attr: ...
    def getattr(self, ino: int) -> Attr: ...
    def readlink(self, ino: int) -> str: ...
    def list(self, ino: int) -> Listing: ...
    def open(self, ino: int, *, write: bool = False, truncate: bool = False) -> int:
        """A handle for :meth:`read`, :meth:`write` and :meth:`release`."""
        ...

    def is_direct(self, handle: int) -> bool:
        """Return True if the kernel must not cache this file."""
        ...

    def read(self, handle: int, offset: int, size: int) -> Buffer: ...
    def release(self, handle: int) -> None: ...
    def space(self) -> Space: ...

    def create(self, parent: int, name: str, mode: int) -> tuple[Attr, int]: ...
    def write(self, handle: int, offset: int, data: bytes) -> int: ...
    def setattr(self, ino: int, change: Change) -> Attr: ...
    def mkdir(self, parent: int, name: str, mode: int) -> Attr: ...
    def symlink(self, parent: int, name: str, target: str) -> Attr: ...
    def link(self, ino: int, parent: int, name: str) -> Attr: ...
    def unlink(self, parent: int, name: str) -> None: ...
    def rmdir(self, parent: int, name: str) -> None: ...
    def rename(self, parent: int, name: str, to_parent: int, to_name: str, *, replace: bool = True) -> None: ...
    def fsync(self, handle: int) -> None: ...
    def fsync_names(self) -> None:
        """Flush changes of names and attributes to the disk."""
        ...


def failed(number: int) -> OSError:
    """Return the error for an error number."""
    return OSError(number, os.strerror(number))


def missing(name: str) -> OSError:
    """Return the error for a name that is not in a folder, or that is too long."""
    return failed(errno.ENAMETOOLONG if len(name.encode()) > MAX_NAME else errno.ENOENT)


class ReadOnly:
    """The writing half of a file system that can't be written to."""

    is_writable = False

    def create(self, parent: int, name: str, mode: int) -> tuple[Attr, int]:
        raise failed(errno.EROFS)

    def write(self, handle: int, offset: int, data: bytes) -> int:
        raise failed(errno.EROFS)

    def setattr(self, ino: int, change: Change) -> Attr:
        raise failed(errno.EROFS)

    def mkdir(self, parent: int, name: str, mode: int) -> Attr:
        raise failed(errno.EROFS)

    def symlink(self, parent: int, name: str, target: str) -> Attr:
        raise failed(errno.EROFS)

    def link(self, ino: int, parent: int, name: str) -> Attr:
        raise failed(errno.EROFS)

    def unlink(self, parent: int, name: str) -> None:
        raise failed(errno.EROFS)

    def rmdir(self, parent: int, name: str) -> None:
        raise failed(errno.EROFS)

    def rename(self, parent: int, name: str, to_parent: int, to_name: str, *, replace: bool = True) -> None:
        raise failed(errno.EROFS)

    def fsync(self, handle: int) -> None:
        return None

    def fsync_names(self) -> None:
        return None


class WouldWait(Exception):
    """This thread must not wait; repeat the call on one that may, or here when ``coming`` is done."""

    def __init__(self, coming: Future[None] | None = None) -> None:
        super().__init__()
        self.coming = coming


class Patience:
    """Knows which threads must not wait: the one that serves the kernel, if there is only one."""

    def __init__(self) -> None:
        self._hasty: int | None = None

    def serve_here(self) -> None:
        """From now on this thread must not wait."""
        self._hasty = threading.get_ident()

    @property
    def is_hasty(self) -> bool:
        """True if this thread must not wait."""
        return threading.get_ident() == self._hasty

    def ask(self) -> None:
        """Call before waiting. Raises WouldWait."""
        if self.is_hasty:
            raise WouldWait


def errno_of(error: BaseException) -> int:
    """Return the error number for the kernel; unexpected errors are logged and become I/O errors."""
    if isinstance(error, SheafError):
        rule = rule_of(error)
        if rule.errno == errno.EIO:
            _log.error("%s", error)
        return rule.errno
    if isinstance(error, OSError) and error.errno:
        return error.errno
    _log.error("unexpected: %r", error, exc_info=error)
    return errno.EIO
