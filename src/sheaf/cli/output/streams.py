"""The three standard streams: UTF-8, open even if they were closed, with errors that are reported."""

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
    """What can't be UTF-8, as escapes; a byte of a name that is not UTF-8 as ``\\xNN``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = [ord(char) for char in error.object[error.start : error.end]]
    shown = (f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}" for code in codes)
    return "".join(shown), error.end


_ESCAPE: Final = "sheaf.escape"
codecs.register_error(_ESCAPE, _escaped)


class OutputError(Exception):
    """Standard output can't be written; ``lost`` is the first line that was not written."""

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
    """Standard error: a message that can't be written must not end the command."""

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
    """Restart the process with UTF-8 for names and arguments if the locale has another encoding.

    Names of files are bytes, and those that are UTF-8 would be stored as other names if they were read as Latin-1.
    """
    if sys.getfilesystemencoding().lower() in ("utf-8", "utf8") or sys.flags.utf8_mode:
        return
    _start_again()


def _start_again() -> NoReturn:
    command = [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]]
    os.execv(sys.executable, [os.fsencode(word) for word in command])


def prepare_streams() -> None:
    """Set up the streams. Call it before any file is opened, or a file gets the number of a closed stream."""
    for number in _DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:  # stdin can't be read then, and what is written to the others is lost
            os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None or type(sys.stdout) is TextIOWrapper:
        sys.stdout = _opened(1, _Output, by_line=sys.stdout is not None and sys.stdout.isatty())
    if sys.stderr is None or type(sys.stderr) is TextIOWrapper:
        sys.stderr = _opened(2, _Messages, by_line=True)


def _opened(number: int, kind: type[TextIOWrapper], *, by_line: bool) -> TextIOWrapper:
    binary = os.fdopen(number, "wb", closefd=False)
    return kind(binary, encoding="utf-8", errors=_ESCAPE, line_buffering=by_line)


def finish_output(code: int) -> int:
    """Flush standard output. Returns ``code``, or another one if that fails; then the interpreter must not retry."""
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
