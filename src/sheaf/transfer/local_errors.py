"""Translate errors of the operating system about local files into Sheaf's errors with hints."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import AbstractContextManager
from typing import Final

from sheaf.errors import Denied, InvalidInput, NoSpace, NotFound, Refused, SheafError, Unavailable, Unsupported
from sheaf.storage.folder import oserrors

__all__ = ["ensure_utf8_names", "local_error", "printable", "translated"]

_ROOM: Final = "make room and run the same command again: it goes on where it stopped"
_CATEGORIES: Final[oserrors.Categories] = {
    errno.ENOENT: (NotFound, "was it removed or renamed meanwhile?"),
    errno.ENOTDIR: (Refused, "a file or symlink stands where a folder is needed"),
    errno.ELOOP: (Refused, "a symlink stands where a file or folder is needed"),
    errno.EISDIR: (Refused, "a folder stands where a file is needed"),
    errno.EEXIST: (Refused, "something stands there already"),
    errno.ENOTEMPTY: (Refused, "there is something in it that isn't part of the bundle"),
    errno.ENOSPC: (NoSpace, _ROOM),
    errno.EDQUOT: (NoSpace, _ROOM),
    errno.EFBIG: (NoSpace, "the file system or a limit allows no file of this size"),
    errno.EACCES: (Denied, "check the owner and the mode of that path"),
    errno.EPERM: (Denied, "check the owner, the mode and the attributes of that path"),
    errno.EROFS: (Denied, "the file system is mounted read-only"),
    errno.ENAMETOOLONG: (InvalidInput, "choose a shorter path for the folder, or shorten the name"),
    errno.EILSEQ: (InvalidInput, "this file system can't hold that name"),
    errno.EINVAL: (InvalidInput, "this file system can't hold that name or time"),
    errno.EMFILE: (Unavailable, "too many open files: raise the limit with ulimit -n"),
    errno.EIO: (Unavailable, "the disk reports an error: check it, then try again"),
}


def printable(path: str) -> str:
    """Return a local path as printable text: bytes that are not UTF-8 as ``\\xNN``."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # text that names nothing on this machine
        return path.encode("utf-8", "backslashreplace").decode()


def ensure_utf8_names() -> None:
    """Raise Unsupported if Python decodes file names with another encoding than UTF-8."""
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8"):
        raise Unsupported(
            f"Python decodes file names as {encoding}, but bundles require UTF-8",
            "set PYTHONUTF8=1 or a locale such as C.UTF-8 before Python starts",
        )


def local_error(error: OSError, what: str) -> SheafError:
    """Return the error to raise for an ``OSError`` during ``what`` (such as "read train/1.jpg")."""
    return oserrors.from_oserror(error, what, _CATEGORIES)


def translated(what: str) -> AbstractContextManager[None]:
    """Translate an ``OSError`` in the block into its category."""
    return oserrors.translated(what, _CATEGORIES)
