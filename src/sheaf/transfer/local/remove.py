"""Removes whole folders of ours, following no symlink, however deep they are."""

from __future__ import annotations

import os
from pathlib import Path

from sheaf.model.paths import join, split
from sheaf.transfer.local.dirfd import FOLDER_FLAGS, Anchor

__all__ = ["empty_folder", "remove_folder"]


def remove_folder(path: Path) -> None:
    """Removes a folder with all that is in it, following no symlink."""
    fd = os.open(path, FOLDER_FLAGS)
    try:
        empty_folder(fd)
    finally:
        os.close(fd)
    path.rmdir()


def empty_folder(fd: int) -> None:
    """Empties an open folder, following no symlink."""
    folders, found = [""], []
    with Anchor(fd) as anchor:
        while folders:
            folder = folders.pop()
            found.append(folder)
            folders += _emptied(anchor.folder(folder), folder)
        for folder in reversed(found[1:]):
            parent, name = split(folder)
            os.rmdir(name, dir_fd=anchor.folder(parent))


def _emptied(fd: int, folder: str) -> list[str]:
    """Removes what is no folder; returns the folders, made passable."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if is_folder:
            os.chmod(name, 0o700, dir_fd=fd)
        else:
            os.unlink(name, dir_fd=fd)
    return [join(folder, name) for name, is_folder in found if is_folder]
