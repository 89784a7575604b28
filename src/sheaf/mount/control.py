"""The control file of a running mount, hidden in its root: write a request to it and read the answer.

It works wherever the mount is visible: for other programs, for other users with permission, in other containers.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sheaf.errors import NotFound, Refused, SheafError, Unavailable
from sheaf.mount.fuse.port import Attr, WaitPolicy, failed

__all__ = ["CONTROL_INO", "CONTROL_NAME", "Control", "ControlSession", "is_mount", "request"]

CONTROL_NAME: Final = ".sheaf-mount"
CONTROL_INO: Final = (1 << 48) - 1
_MOST: Final = 1 << 20

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Control:
    """Answers requests with ``answer``; ``attr`` has the attributes of the control file."""

    def __init__(self, answer: Answer, mtime: int) -> None:
        self.answer = answer
        self.attr = Attr(CONTROL_INO, stat.S_IFREG | 0o600, 0, mtime)


class ControlSession:
    """One opening of the control file: a request is written, then its answer is read."""

    def __init__(self, control: Control, patience: WaitPolicy) -> None:
        self._control = control
        self._patience = patience
        self._request = b""
        self._answer: bytes | None = None

    def write(self, data: bytes) -> int:
        """Add a part of the request, and return its length. Raises OSError (EFBIG)."""
        if len(self._request) + len(data) > _MOST:
            raise failed(errno.EFBIG)
        self._request += data
        self._answer = None
        return len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the answer. The first read executes the request and waits until it is done."""
        if self._answer is None:
            self._patience.ask()
            self._answer = json.dumps(self._answered()).encode()
            self._request = b""
        return self._answer[offset : offset + size]

    def _answered(self) -> Mapping[str, Any]:
        try:
            asked = json.loads(self._request or b"{}")
        except ValueError:
            raise failed(errno.EINVAL) from None
        try:
            return self._control.answer(asked)
        except SheafError as error:
            return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def is_mount(folder: Path) -> bool:
    """Return True if a folder is the root of a writable mount. Raises Refused if the process of the mount has ended."""
    try:
        return (folder / CONTROL_NAME).is_file()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        raise Refused(
            f"{folder}: the process of this mount has ended",
            f"run 'fusermount3 -u {folder}', then 'sheaf bundle commit' with its folder in ~/.local/share/sheaf/mounts",
        ) from None


def request(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send a request to a writable mount. Raises NotFound, Unavailable, or the error of the mount."""
    from sheaf import errors

    try:
        fd = os.open(folder / CONTROL_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"{folder} is not a writable mount", "see `sheaf bundle mount new`") from None
    try:
        os.write(fd, json.dumps(asked).encode())
        answer: dict[str, Any] = json.loads(_all(fd))
    except OSError as error:
        raise Unavailable(
            f"the mount on {folder} does not respond: {error.strerror}", "check that it is still mounted"
        ) from error
    finally:
        os.close(fd)
    if "error" in answer:
        raise getattr(errors, answer["error"], SheafError)(answer["message"], answer["hint"])
    return answer


def _all(fd: int) -> bytes:
    data = b""
    while piece := os.pread(fd, 1 << 16, len(data)):
        data += piece
    return data
