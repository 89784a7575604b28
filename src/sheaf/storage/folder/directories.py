"""Folders below a store's root: created when first needed, and made durable before anything in them counts."""

# Plain strings: creating a Path for each object costs more than the call itself.
# ruff: noqa: PTH120

from __future__ import annotations

import os
from collections.abc import Callable
from stat import S_IMODE, S_IWGRP
from typing import TypeVar

from msgspec import Struct

from sheaf.errors import Denied
from sheaf.storage.folder.syscalls import Syscalls

__all__ = ["Folders", "Modes"]

T = TypeVar("T")
_ABOVE = 0o755  # mode of folders above the root: users who may write there could replace the store by another one


class Modes(Struct, frozen=True):
    """The modes of new files and folders; ``exact`` sets them regardless of the umask.

    ``inherited``: the modes were taken over from an existing store rather than requested.
    """

    file: int
    folder: int
    exact: bool
    inherited: bool = False

    @classmethod
    def of(cls, shared: str, made: str) -> Modes:
        """Choose modes: private to the owner, or open to the group if ``shared`` says so or the existing folder ``made`` is."""
        if shared == "group":
            return cls(0o660, 0o2770, True)
        mode = _mode(made)
        if mode & S_IWGRP:
            return cls(mode & 0o666, mode, True, inherited=True)
        return cls(0o600, 0o700, False)


def _mode(path: str) -> int:
    try:
        return S_IMODE(os.lstat(path).st_mode)
    except OSError:
        return 0


class Folders:
    """Creates and syncs folders. Thread-safe: all state is a set that only grows, and every step may happen twice."""

    def __init__(self, root: str, calls: Syscalls, modes: Modes, *, durable: bool) -> None:
        self._root = root
        self._calls = calls
        self._modes = modes
        self._durable = durable
        self._known: set[str] = set()  #: folders whose own entry is known to be on the disk

    def making(self, path: str, action: Callable[[], T]) -> T:
        """Run ``action`` and return its result; if the folder of ``path`` is missing, create it and run ``action`` again."""
        try:
            return action()
        except FileNotFoundError:
            self._make(os.path.dirname(path))
            return action()

    def _make(self, folder: str) -> None:
        if folder == os.path.dirname(folder):
            return
        mode = self._modes.folder if self._is_ours(folder) else _ABOVE
        try:
            try:
                self._calls.mkdir(folder, mode)
            except FileNotFoundError:
                self._make(os.path.dirname(folder))
                self._make_below(folder, mode)
        except FileExistsError:
            return
        if self._modes.exact and self._is_ours(folder):
            self._calls.chmod(folder, self._modes.folder)
        if self._durable and not self._is_ours(folder):
            self._calls.sync_folder(os.path.dirname(folder))

    def _make_below(self, folder: str, mode: int) -> None:
        """Create a folder whose parent exists. Some file systems, such as /proc, don't allow that: raises Denied."""
        try:
            self._calls.mkdir(folder, mode)
        except FileNotFoundError:
            if self._is_ours(folder) and folder != self._root:
                raise
            raise Denied(
                f"can't create the folder {folder}", "choose a location where folders can be created"
            ) from None

    def sync(self, folder: str) -> None:
        """Make the entries of ``folder`` durable, and the entries of all folders from the root's parent down to it.

        The upper folders are synced even if they existed already: another process may have created them a moment ago and not
        yet synced them. Once for each folder is enough, since the store never removes one.
        """
        if not self._durable:
            return
        self._calls.sync_folder(folder)
        while folder not in self._known and self._is_ours(folder):
            parent = os.path.dirname(folder)
            self._sync_parent(parent)
            self._known.add(folder)
            folder = parent

    def _sync_parent(self, parent: str) -> None:
        try:
            self._calls.sync_folder(parent)
        except PermissionError:
            if self._is_ours(parent):
                raise
            # Above the root, a folder that we may not read was not created by us.

    def _is_ours(self, folder: str) -> bool:
        return folder == self._root or folder.startswith(self._root + "/")
