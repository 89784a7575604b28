"""Sheaf's errors as those that programs expect of a file system."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sheaf.errors import InvalidInput, SheafError, rule_of

__all__ = [
    "as_os_error",
    "exists",
    "is_folder",
    "missing",
    "no_ref",
    "not_empty",
    "not_folder",
    "os_errors",
    "read_only",
]

P = ParamSpec("P")
T = TypeVar("T")


def as_os_error(error: SheafError) -> OSError:
    """An error of Sheaf's as the OSError of its number (FileNotFoundError, PermissionError and so on)."""
    hint = f" ({error.hint})" if error.hint else ""
    return OSError(rule_of(error).errno, f"{error.message}{hint}")


def os_errors(function: Callable[P, T]) -> Callable[P, T]:
    """A function that raises OSErrors. InvalidInput is a ValueError already, and stays what it is."""

    @functools.wraps(function)
    def translating(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except InvalidInput:
            raise
        except SheafError as error:
            raise as_os_error(error) from error

    return translating


def missing(path: object) -> FileNotFoundError:
    """No such file or folder."""
    return _made(FileNotFoundError, errno.ENOENT, path)


def no_ref(path: object, instead: str) -> FileNotFoundError:
    """The path of a file that names no bundle."""
    return FileNotFoundError(errno.ENOENT, f"no bundle is named: write {instead}", str(path))


def exists(path: object) -> FileExistsError:
    """Something is there already."""
    return _made(FileExistsError, errno.EEXIST, path)


def is_folder(path: object) -> IsADirectoryError:
    """A file was wanted."""
    return _made(IsADirectoryError, errno.EISDIR, path)


def not_folder(path: object) -> NotADirectoryError:
    """A folder was wanted."""
    return _made(NotADirectoryError, errno.ENOTDIR, path)


def not_empty(path: object) -> OSError:
    """Only an empty folder can be removed so."""
    return _made(OSError, errno.ENOTEMPTY, path)


def read_only(path: object, hint: str) -> OSError:
    """Nothing can be written there."""
    return OSError(errno.EROFS, f"{os.strerror(errno.EROFS)} ({hint})", str(path))


def _made(cls: type[T], number: int, path: object) -> T:
    make: Callable[..., T] = cls
    return make(number, os.strerror(number), str(path))
