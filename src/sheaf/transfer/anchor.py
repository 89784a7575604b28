"""Folders below one root, reached without ever following a symlink.

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
_KEPT: Final = 32  # descriptors at most, whatever the depth


class Anchor:
    """Opens folders below ``root``, a descriptor that stays the caller's. Not thread-safe: one for each task.

    The way to the last folder stays open, since neighbours are mostly asked for one after the other.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._last = ""
        self._parts: list[str] = []
        self._fds: list[int] = []
        self._deep: tuple[str, int] | None = None

    def folder(self, path: str, *, make: bool = False) -> int:
        """A descriptor of the folder, good until the next call; ``make`` makes what is missing, mode 0700.

        Raises OSError as the system does (a symlink on the way is ENOTDIR or ELOOP), Corrupt for a path with ``..``.
        """
        if path == self._last and self._fds:
            return self._fds[-1]
        self._last = ""
        parts = path.split("/") if path else []
        at = self._back_to(parts)
        for part in parts[len(self._parts) : _KEPT]:
            at = _enter(at, part, make)
            self._parts.append(part)
            self._fds.append(at)
        if len(parts) > _KEPT:
            return self._far(at, path, parts[_KEPT:], make)
        self._last = path
        return at

    def _back_to(self, parts: list[str]) -> int:
        same = 0
        for ours, asked in zip(self._parts, parts, strict=False):
            if ours != asked:
                break
            same += 1
        for fd in self._fds[same:]:
            os.close(fd)
        del self._parts[same:], self._fds[same:]
        return self._fds[-1] if self._fds else self._root

    def _far(self, at: int, path: str, parts: list[str], make: bool) -> int:
        if self._deep and self._deep[0] == path:
            return self._deep[1]
        self._leave_deep()
        fd = os.dup(at)
        try:
            for part in parts:
                inner = _enter(fd, part, make)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        self._deep = path, fd
        return fd

    def _leave_deep(self) -> None:
        if self._deep:
            os.close(self._deep[1])
            self._deep = None

    def close(self) -> None:
        """Gives the descriptors back, but for the root's."""
        self._leave_deep()
        self._back_to([])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _enter(parent: int, name: str, make: bool) -> int:
    if name in ("", ".", ".."):
        raise Corrupt(f"the manifest holds a folder named '{name}'", "run `sheaf store check`")
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
