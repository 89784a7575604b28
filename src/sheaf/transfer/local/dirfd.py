"""Open folders below a root without ever following a symlink.

All writes into a folder that other users, or an older bundle, may have filled use this module: each component is opened
from the one above it, so neither ``..`` nor a symlink that another user has created leads out.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Final, Self

from sheaf.errors import Corrupt

__all__ = ["FOLDER_FLAGS", "Anchor"]

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEAR: Final = 32  # depth up to which each folder on the path stays open
_FAR: Final = 64  # below, one in so many stays open: any folder is so many steps away, with 64 descriptors


class Anchor:
    """Open folders below ``root``, a descriptor owned by the caller. Not thread-safe: use one per task.

    Folders on the path to the last one stay open, because callers mostly visit neighbours one after the other.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._parts: list[str] = []  # the components of the path to the last open folder
        self._open: list[tuple[int, int]] = []  # open folders on this path: depth, ascending, and descriptor
        self._last: str | None = None

    def folder(self, path: str, *, make: bool = False) -> int:
        """Return a descriptor of the folder, valid until the next call. ``make``: create missing folders with mode 0700.

        Raises OSError as the system does (a symlink on the path is ENOTDIR or ELOOP), Corrupt for a path with ``..``.
        """
        if path == self._last and self._open:
            return self._open[-1][1]
        self._last = None
        parts = path.split("/") if path else []
        depth, at = self._back_to(parts)
        for part in parts[depth:]:
            inner = _enter(at, part, make)
            if depth and not _stays(depth):
                os.close(self._open.pop()[1])
            depth, at = depth + 1, inner
            self._parts.append(part)
            self._open.append((depth, at))
        self._last = path
        return at

    def _back_to(self, parts: list[str]) -> tuple[int, int]:
        """Return depth and descriptor of the last open folder on the path to another one, and close the others below it."""
        same = 0
        for ours, asked in zip(self._parts, parts, strict=False):
            if ours != asked:
                break
            same += 1
        while self._open and self._open[-1][0] > same:
            os.close(self._open.pop()[1])
        depth, at = self._open[-1] if self._open else (0, self._root)
        del self._parts[depth:]
        return depth, at

    def close(self) -> None:
        """Close all descriptors except the root's."""
        self._back_to([])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _stays(depth: int) -> bool:
    return depth <= _NEAR or depth % _FAR == 0


def _enter(parent: int, name: str, make: bool) -> int:
    """Open a folder below another one, and create it with ``make`` if it doesn't exist. Raises Corrupt for ".."."""
    if name in ("", ".", ".."):
        raise Corrupt(f"the manifest contains a folder named '{name}'", "run `sheaf store check`")
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            # Another thread has created the folder in the meantime.
            pass
        return os.open(name, FOLDER_FLAGS, dir_fd=parent)
