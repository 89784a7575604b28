"""Folders below a root, opened without ever following a symlink.

Whoever writes into a folder that others, or an older bundle, may have filled goes through here: each component is
opened from the one before it, so neither ``..`` nor a link planted on the way leads out.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Final, Self

from sheaf.errors import Corrupt

__all__ = ["FOLDER_FLAGS", "Anchor"]

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEAR: Final = 32  # the uppermost folders on the way, each of which stays open
_FAR: Final = 64  # below them one in so many does, so that any folder is so many steps away, and 64 descriptors suffice


class Anchor:
    """Open folders below ``root``, a descriptor owned by the caller. Not thread-safe: use one per task.

    Folders on the way to the last one stay open, since neighbours are mostly asked for one after the other.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._parts: list[str] = []  # the way to the last folder that is open
        self._open: list[tuple[int, int]] = []  # of folders on this way: their depth, ascending, and descriptor
        self._last: str | None = None

    def folder(self, path: str, *, make: bool = False) -> int:
        """A descriptor of the folder, good until the next call; ``make`` makes what is missing, mode 0700.

        Raises OSError as the system does (a symlink on the way is ENOTDIR or ELOOP), Corrupt for a path with ``..``.
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
        """The depth and the descriptor of the last open folder on the way to another one; those beside it are closed."""
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
            pass  # another thread was faster
        return os.open(name, FOLDER_FLAGS, dir_fd=parent)
