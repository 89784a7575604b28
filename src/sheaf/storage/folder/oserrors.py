"""Translate the system's error numbers into Sheaf's errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sheaf.errors import Corrupt, Denied, InvalidInput, NoSpace, NotFound, Refused, SheafError, Unavailable

__all__ = ["from_oserror", "translated"]

_CATEGORIES: dict[int, tuple[type[SheafError], str]] = {
    errno.ENOENT: (NotFound, ""),
    errno.ENOTDIR: (NotFound, ""),
    errno.EISDIR: (NotFound, ""),
    errno.ENOSPC: (NoSpace, "free space on that disk, then run the same command again"),
    errno.EDQUOT: (NoSpace, "the quota is used up: free space, then run the same command again"),
    errno.EFBIG: (NoSpace, "the file system or a limit does not allow files of this size"),
    errno.EACCES: (Denied, "check the owner and the mode of that path"),
    errno.EPERM: (Denied, "check the owner, the mode and the attributes of that path"),
    errno.EROFS: (Denied, "the file system is mounted read-only"),
    errno.ENAMETOOLONG: (InvalidInput, "choose a shorter path for the store"),
    errno.ELOOP: (InvalidInput, "there is a loop of symbolic links"),
    errno.EIO: (Corrupt, "the disk reports a read error: run `sheaf store check --read-data`"),
    errno.ESTALE: (Unavailable, "the file handle is stale: try again"),
    errno.EMFILE: (Unavailable, "too many open files: raise the limit with ulimit -n"),
    errno.ENFILE: (Unavailable, "the system has too many open files"),
}


#: What differs when we write: a missing folder existed a moment ago, and a file in the way means a bad name.
_WRITING: dict[int, tuple[type[SheafError], str]] = {
    errno.ENOENT: (Unavailable, "a folder or an unfinished file of the store was removed: try again"),
    errno.ENOTDIR: (InvalidInput, "a file is in the way of a folder"),
    errno.EISDIR: (InvalidInput, "a folder is in the way of a file"),
    errno.EXDEV: (Refused, "the store's tmp/ folder must be on the same file system as the store"),
    errno.EIO: (Unavailable, "the disk reports a write error: check it, then try again"),
}


def from_oserror(error: OSError, what: str, *, writing: bool = False) -> SheafError:
    """Return the error to raise for ``error``. ``what``: what was being done, such as "read packs/ab/x"."""
    number = error.errno or 0
    category, hint = _CATEGORIES.get(number, (Unavailable, "try again"))
    if writing:
        category, hint = _WRITING.get(number, (category, hint))
    reason = os.strerror(number) if number else str(error)
    return category(f"can't {what}: {reason}", hint)


@contextmanager
def translated(what: str, *, writing: bool = False) -> Iterator[None]:
    """Translate an ``OSError`` raised inside into an error of ``sheaf.errors``. ``what``: as in "can't <what>"."""
    try:
        yield
    except OSError as error:
        raise from_oserror(error, what, writing=writing) from error
