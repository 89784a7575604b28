"""Translate the system's error numbers into Sheaf's errors."""

from __future__ import annotations

import errno
from contextlib import AbstractContextManager

from sheaf.errors import Corrupt, Denied, InvalidInput, NoSpace, NotFound, Refused, SheafError, Unavailable
from sheaf.local_errors import Categories, error_of, translating

__all__ = ["READING", "WRITING", "from_oserror", "translated"]

#: Of reading a store.
READING: Categories = {
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


#: Errors of writing: a missing folder existed a moment ago, and a file in the way means a bad name.
WRITING: Categories = {
    **READING,
    errno.ENOENT: (Unavailable, "a folder or an unfinished file of the store was removed: try again"),
    errno.ENOTDIR: (InvalidInput, "a file is in the way of a folder"),
    errno.EISDIR: (InvalidInput, "a folder is in the way of a file"),
    errno.EXDEV: (Refused, "the store's tmp/ folder must be on the same file system as the store"),
    errno.EIO: (Unavailable, "the disk reports a write error: check it, then try again"),
}


def from_oserror(error: OSError, what: str, categories: Categories = READING) -> SheafError:
    """Return the error to raise for ``error``. ``what``: what was being done, such as "read packs/ab/x"."""
    return error_of(error, what, categories)


def translated(what: str, categories: Categories = READING) -> AbstractContextManager[None]:
    """Translate an ``OSError`` in the block into an error of ``sheaf.errors``. ``what``: as in "can't <what>"."""
    return translating(what, categories)
