"""Translate Sheaf's errors into the errors that programs expect of a file system."""

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
    """Convert an error of Sheaf to an OSError (FileNotFoundError, PermissionError and so on)."""
    hint = f" ({error.hint})" if error.hint else ""
    return OSError(rule_of(error).errno, f"{error.message}{hint}")


def os_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function to raise OSErrors. InvalidInput is a ValueError already and stays unchanged."""

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
    """Return the error for a file or folder that does not exist."""
    return _made(FileNotFoundError, errno.ENOENT, path)


def no_ref(path: object, instead: str) -> FileNotFoundError:
    """Return the error for the path of a file without a ref."""
    return FileNotFoundError(errno.ENOENT, f"the path does not name a bundle: write {instead}", str(path))


def exists(path: object) -> FileExistsError:
    """Return the error for a path that already exists."""
    return _made(FileExistsError, errno.EEXIST, path)


def is_folder(path: object) -> IsADirectoryError:
    """Return the error for a folder where a file is required."""
    return _made(IsADirectoryError, errno.EISDIR, path)


def not_folder(path: object) -> NotADirectoryError:
    """Return the error for a file where a folder is required."""
    return _made(NotADirectoryError, errno.ENOTDIR, path)


def not_empty(path: object) -> OSError:
    """Return the error for a folder that is not empty."""
    return _made(OSError, errno.ENOTEMPTY, path)


def read_only(path: object, hint: str) -> OSError:
    """Return the error for a path that can't be written."""
    return OSError(errno.EROFS, f"{os.strerror(errno.EROFS)} ({hint})", str(path))


def _made(cls: type[T], number: int, path: object) -> T:
    make: Callable[..., T] = cls
    return make(number, os.strerror(number), str(path))
