"""The interface of a mounted file system: a few calls on numbered nodes, synchronous and thread-safe.

Bindings translate the kernel's requests into these calls, and exceptions into error numbers. A call that would have to
wait for a store asks its :class:`WaitPolicy` first; on a thread that must not wait that raises :class:`WouldWait`, and
the binding repeats the call on another thread. A call that raises WouldWait has changed nothing.
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
    "AttributeChange",
    "Filesystem",
    "Listing",
    "ReadOnly",
    "Space",
    "WaitPolicy",
    "WouldWait",
    "errno_of",
    "failed",
    "missing",
]

ROOT_INO: Final = 1
FOREVER: Final = 365 * 86400.0  #: seconds for which the kernel may cache what never changes
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
class AttributeChange:
    """Attributes to set; None leaves one as it is. ``mode``: permission bits, ``mtime``: nanoseconds since 1970.

    ``now``: True to set the time of change to the current time.
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
    """The entries of an open folder."""

    @property
    def is_stable(self) -> bool:
        """True if the listing never changes, so that it may be cached."""
        ...

    def entries(self, start: int) -> Iterator[tuple[str, Attr, int]]:
        """Yield (name, attributes, next position) of each entry from position ``start`` on; the first position is 0."""
        ...


class Filesystem(Protocol):
    """A file system of numbered nodes. Each call may raise OSError, SheafError or WouldWait."""

    @property
    def is_writable(self) -> bool:
        """True if the calls after ``space`` are supported."""
        ...

    def lookup(self, parent: int, name: str) -> Attr: ...
    def getattr(self, ino: int) -> Attr: ...
    def readlink(self, ino: int) -> str: ...
    def list(self, ino: int) -> Listing: ...
    def open(self, ino: int, *, write: bool = False, truncate: bool = False) -> int:
        """Open a file; return a handle for :meth:`read`, :meth:`write` and :meth:`release`."""
        ...

    def is_direct(self, handle: int) -> bool:
        """Return True if the kernel must not cache this file."""
        ...

    def read(self, handle: int, offset: int, size: int) -> Buffer: ...
    def release(self, handle: int) -> None: ...
    def space(self) -> Space: ...

    def create(self, parent: int, name: str, mode: int) -> tuple[Attr, int]: ...
    def write(self, handle: int, offset: int, data: bytes) -> int: ...
    def setattr(self, ino: int, change: AttributeChange) -> Attr: ...
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
    """Return an OSError for an error number."""
    return OSError(number, os.strerror(number))


def missing(name: str) -> OSError:
    """Return the OSError for a name that does not exist in a folder, or that is too long."""
    return failed(errno.ENAMETOOLONG if len(name.encode()) > MAX_NAME else errno.ENOENT)


class ReadOnly:
    """The calls that write, for a file system that refuses them."""

    is_writable = False

    def create(self, parent: int, name: str, mode: int) -> tuple[Attr, int]:
        raise failed(errno.EROFS)

    def write(self, handle: int, offset: int, data: bytes) -> int:
        raise failed(errno.EROFS)

    def setattr(self, ino: int, change: AttributeChange) -> Attr:
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
    """Raised on a thread that must not wait: repeat the call on another thread, or here when ``coming`` is done."""

    def __init__(self, coming: Future[None] | None = None) -> None:
        super().__init__()
        self.coming = coming


class WaitPolicy:
    """Tells apart threads that may wait from the one that serves the kernel, which must not if it is the only one."""

    def __init__(self) -> None:
        self._hasty: int | None = None

    def serve_here(self) -> None:
        """Mark the calling thread as the one that must not wait."""
        self._hasty = threading.get_ident()

    @property
    def is_hasty(self) -> bool:
        """True if this thread must not wait."""
        return threading.get_ident() == self._hasty

    def ask(self) -> None:
        """Raise WouldWait if this thread must not wait. Call this before waiting."""
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
