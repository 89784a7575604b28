"""Translate errors of the operating system about local files into Sheaf's errors with hints."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from sheaf.errors import Denied, InvalidInput, NoSpace, NotFound, Refused, SheafError, Unavailable, Unsupported

__all__ = ["Categories", "ensure_utf8_names", "error_of", "local_error", "printable", "translated", "translating"]

Categories = Mapping[int, tuple[type[SheafError], str]]  #: by the system's number: the error to raise, and its hint

_ROOM: Final = "free space on that disk, then run the same command again: it resumes"
_CATEGORIES: Final[Categories] = {
    errno.ENOENT: (NotFound, "check whether it was removed or renamed in the meantime"),
    errno.ENOTDIR: (Refused, "a file or symlink is in the way of a folder"),
    errno.ELOOP: (Refused, "a symlink is in the way of a file or folder"),
    errno.EISDIR: (Refused, "a folder is in the way of a file"),
    errno.EEXIST: (Refused, "move away the file or folder that exists there"),
    errno.ENOTEMPTY: (Refused, "the folder contains files that aren't part of the bundle"),
    errno.ENOSPC: (NoSpace, _ROOM),
    errno.EDQUOT: (NoSpace, _ROOM),
    errno.EFBIG: (NoSpace, "the file system or a limit does not allow files of this size"),
    errno.EACCES: (Denied, "check the owner and the mode of that path"),
    errno.EPERM: (Denied, "check the owner, the mode and the attributes of that path"),
    errno.EROFS: (Denied, "the file system is mounted read-only"),
    errno.ENAMETOOLONG: (InvalidInput, "choose a shorter path for the folder, or shorten the name"),
    errno.EILSEQ: (InvalidInput, "this file system does not allow that name"),
    errno.EINVAL: (InvalidInput, "this file system does not allow that name or time"),
    errno.EMFILE: (Unavailable, "too many open files: raise the limit with ulimit -n"),
    errno.EIO: (Unavailable, "the disk reports an error: check it, then try again"),
}


def printable(path: str) -> str:
    """Return a local path as printable text: bytes that are not UTF-8 as ``\\xNN``."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # The text can't be a name on this machine.
        return path.encode("utf-8", "backslashreplace").decode()


def ensure_utf8_names() -> None:
    """Raise Unsupported if Python decodes file names with another encoding than UTF-8."""
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8"):
        raise Unsupported(
            f"Python decodes file names as {encoding}, but bundles require UTF-8",
            "set PYTHONUTF8=1 or a locale such as C.UTF-8 before Python starts",
        )


def error_of(error: OSError, what: str, categories: Categories) -> SheafError:
    """Return the error to raise for an ``OSError`` during ``what``, by its number in ``categories``."""
    number = error.errno or 0
    category, hint = categories.get(number, (Unavailable, "try again"))
    reason = os.strerror(number) if number else str(error)
    return category(f"can't {what}: {reason}", hint)


@contextmanager
def translating(what: str, categories: Categories) -> Iterator[None]:
    """Translate an ``OSError`` in the block into the error that ``categories`` has for its number."""
    try:
        yield
    except OSError as error:
        raise error_of(error, what, categories) from error


def local_error(error: OSError, what: str) -> SheafError:
    """Return the error to raise for an ``OSError`` during ``what`` (such as "read train/1.jpg")."""
    return error_of(error, what, _CATEGORIES)


def translated(what: str) -> AbstractContextManager[None]:
    """Translate an ``OSError`` in the block into an error of Sheaf. ``what``: as in "can't <what>"."""
    return translating(what, _CATEGORIES)
