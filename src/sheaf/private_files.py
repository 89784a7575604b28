"""Folders and files of this machine that only their owner can access, whatever the umask is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["ASIDE", "make_private_folder", "write_private"]

ASIDE: Final = ".new-"  #: beginning of the names of files that are being written


def make_private_folder(folder: Path) -> None:
    """Create a folder, and those missing above it, for its owner only; an existing one stays as it is.

    Path.mkdir would give the mode to the last folder only. Raises OSError.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Replace the contents of a file in one step; only its owner can read and write it.

    Raises OSError; then the old contents are unchanged and no other file is left.
    """
    import tempfile  # only for writing, which few commands do

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=ASIDE)  # mkstemp creates it with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
