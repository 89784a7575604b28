"""Convert an exception to one line, a hint and an exit code."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from sheaf.cli.output.text import redact
from sheaf.errors import Denied, InvalidInput, NoSpace, NotFound, Refused, SheafError, rule_of

if TYPE_CHECKING:
    from sheaf.cli.app import Dialect

__all__ = ["Failure", "failure_of", "one_line", "print_failure"]

#: Errors of the operating system about a path that the user named, by error number.
_OF_ERRNO: Final[dict[int, tuple[type[SheafError], str]]] = {
    errno.ENOENT: (NotFound, ""),
    errno.ENOTDIR: (InvalidInput, ""),
    errno.EISDIR: (InvalidInput, ""),
    errno.ENAMETOOLONG: (InvalidInput, ""),
    errno.EEXIST: (Refused, ""),
    errno.ENOTEMPTY: (Refused, ""),
    errno.EACCES: (Denied, "check the owner and the mode of that path"),
    errno.EPERM: (Denied, "check the owner, the mode and the attributes of that path"),
    errno.EROFS: (Denied, "the file system is mounted read-only"),
    errno.ENOSPC: (NoSpace, "free space, then run the same command again"),
    errno.EDQUOT: (NoSpace, "free space, then run the same command again"),
}


#: A word that is longer than any path, and unreadable.
_LONG: Final = re.compile(r"\S{4200,}")


class Failure(Struct, frozen=True):
    """An error as ``--json`` prints it; ``exit`` is its exit code."""

    kind: str
    message: str
    hint: str
    exit: int


def failure_of(error: BaseException) -> Failure:
    """Return the failure for an exception. Exceptions that Sheaf doesn't define are unexpected: exit 12."""
    if isinstance(error, OSError) and error.errno in _OF_ERRNO:
        name = f"{error.filename}: " if error.filename is not None else ""
        category, hint = _OF_ERRNO[error.errno]
        error = category(f"{name}{error.strerror}", hint)
    if isinstance(error, SheafError):
        return Failure(error.kind, one_line(error.message), one_line(error.hint), rule_of(error).exit)
    text = one_line(f"unexpected {type(error).__name__}: {error}")
    return Failure("unexpected", text, "run the command again with --debug for a traceback", rule_of(error).exit)


def print_failure(failure: Failure, error: BaseException, dialect: Dialect, *, as_json: bool, debug: bool) -> None:
    """Print a failure on stderr."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        from sheaf.cli.output.render import to_json

        print(to_json(replace(failure, hint=dialect.words(failure.hint))), file=sys.stderr)
        return
    print(f"{dialect.error_prefix}{failure.message}", file=sys.stderr)
    if failure.hint:
        print(f"{dialect.hint_prefix}{dialect.words(failure.hint)}", file=sys.stderr)


def one_line(text: str) -> str:
    """Return a message without line ends, secrets in URLs and overlong words."""
    return redact(_LONG.sub(lambda word: f"{word[0][:60]}… ({len(word[0])} characters)", " ".join(text.split())))
