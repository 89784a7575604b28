"""Remove whole folders of Sheaf's own, following no symlink, however deep they are."""

from __future__ import annotations

import os
from pathlib import Path

from sheaf.model.paths import join, split
from sheaf.transfer.local.dirfd import FOLDER_FLAGS, Anchor

__all__ = ["empty_folder", "remove_folder"]


def remove_folder(path: Path) -> None:
    """Remove a folder with its contents, following no symlink. Raises OSError."""
    fd = os.open(path, FOLDER_FLAGS)
    try:
        empty_folder(fd)
    finally:
        os.close(fd)
    path.rmdir()


def empty_folder(fd: int) -> None:
    """Remove the contents of an open folder, following no symlink. Raises OSError."""
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
    """Remove everything but folders; return the folders, with modes that allow to enter them."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if is_folder:
            os.chmod(name, 0o700, dir_fd=fd)
        else:
            os.unlink(name, dir_fd=fd)
    return [join(folder, name) for name, is_folder in found if is_folder]
