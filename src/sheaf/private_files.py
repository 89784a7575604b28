"""Folders and files of this machine that are their owner's alone, whatever the umask says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["ASIDE", "make_private_folder", "write_private"]

ASIDE: Final = ".new-"  #: how names of files begin that are being written


def make_private_folder(folder: Path) -> None:
    """A folder, with what is missing above it, that only its owner enters; one that is there stays as it is.

    Path.mkdir gives its mode to the last folder only. Raises OSError.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Replace what a file holds in one step; only its owner reads and writes it.

    Raises OSError, and then what was there is there still, and nothing else.
    """
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=ASIDE)  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
