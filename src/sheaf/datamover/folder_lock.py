"""One run for each folder at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sheaf.errors import Refused
from sheaf.local_errors import printable, translated

__all__ = ["locked_folder"]


@contextmanager
def locked_folder(folder: Path) -> Iterator[int]:
    """Open a folder and lock it; yield its descriptor. Raises Refused if another run has it.

    The system releases the lock with the process. Where folders can't be locked, such as on NFS, there is none: two runs
    are then slower, and still delete only what each of them has proved.
    """
    shown = printable(str(folder))
    with translated(f"read {shown}"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another run is moving {shown}", "wait until it has ended") from None
        except OSError:
            pass
        yield fd
    finally:
        os.close(fd)
