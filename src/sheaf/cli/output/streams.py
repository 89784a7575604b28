"""The three standard streams: UTF-8, open even if the caller closed them, with errors that are reported."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from io import TextIOWrapper
from typing import Final, NoReturn

__all__ = ["OutputError", "drop_output", "ensure_utf8", "finish_output", "prepare_streams"]

_DESCRIPTORS: Final = (0, 1, 2)
_CODES: Final = {errno.EPIPE: 141, errno.ENOSPC: 10, errno.EDQUOT: 10, errno.EFBIG: 10}
_OTHER_CODE: Final = 8


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Escape what can't be encoded as UTF-8; a byte of a name that is not UTF-8 as ``\\xNN``. An error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = [ord(char) for char in error.object[error.start : error.end]]
    shown = (f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}" for code in codes)
    return "".join(shown), error.end


_ESCAPE: Final = "sheaf.escape"
codecs.register_error(_ESCAPE, _escaped)


class OutputError(Exception):
    """Standard output can't be written. ``lost``: the first line that was not written."""

    def __init__(self, error: OSError, lost: str) -> None:
        super().__init__(error.strerror)
        self.reason = error.strerror or str(error)
        self.lost = lost.strip().partition("\n")[0]
        self.is_unread = error.errno == errno.EPIPE
        self.exit = _CODES.get(error.errno or 0, _OTHER_CODE)


class _Output(TextIOWrapper):
    """Standard output, whose errors are distinct from those of a store or a folder."""

    _waiting = ""  # the first text since the last flush

    def write(self, text: str) -> int:
        self._waiting = self._waiting or text
        try:
            return super().write(text)
        except OSError as error:
            raise OutputError(error, self._waiting) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(error, self._waiting) from error
        self._waiting = ""


class _Messages(TextIOWrapper):
    """Standard error. A message that can't be written must not end the command."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return


def ensure_utf8() -> None:
    """Restart the process in UTF-8 mode if the locale has another encoding for names and arguments.

    Names of files are bytes, and UTF-8 names that were decoded as Latin-1 would be stored as other names.
    """
    if sys.getfilesystemencoding().lower() in ("utf-8", "utf8") or sys.flags.utf8_mode:
        return
    _start_again()


def _start_again() -> NoReturn:
    command = [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]]
    os.execv(sys.executable, [os.fsencode(word) for word in command])


def prepare_streams() -> None:
    """Set up the streams. Call this before any file is opened, or a file gets the number of a closed stream."""
    for number in _DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:
            # Reading from it then fails, and output to it is lost.
            os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None or type(sys.stdout) is TextIOWrapper:
        sys.stdout = _opened(1, _Output, by_line=sys.stdout is not None and sys.stdout.isatty())
    if sys.stderr is None or type(sys.stderr) is TextIOWrapper:
        sys.stderr = _opened(2, _Messages, by_line=True)


def _opened(number: int, kind: type[TextIOWrapper], *, by_line: bool) -> TextIOWrapper:
    binary = os.fdopen(number, "wb", closefd=False)
    return kind(binary, encoding="utf-8", errors=_ESCAPE, line_buffering=by_line)


def finish_output(code: int) -> int:
    """Flush standard output, and return ``code``, or another exit code if that fails.

    After a failure the output is discarded, so that the interpreter doesn't retry at exit.
    """
    try:
        sys.stdout.flush()
    except OutputError as error:
        code = code or error.exit
        if not error.is_unread:
            print(f"error: can't write to standard output: {error.reason}", file=sys.stderr)
        drop_output()
    return code


def drop_output() -> None:
    """Discard buffered output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
