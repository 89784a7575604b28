"""Folders and files of this machine that are their owner's alone, whatever the umask says."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["make_private_folder", "write_private_text"]


def make_private_folder(folder: Path) -> None:
    """A folder, with what is missing above it, that only its owner enters; one that is there stays as it is.

    Path.mkdir gives its mode to the last folder only. Raises OSError.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_private_text(path: Path, text: str) -> None:
    """Replace what a file holds; if it is new, only its owner reads and writes it. Raises OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
