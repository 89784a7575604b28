"""Write files with holes: blocks of zeros that use no disk space, as ``cp --sparse=always`` writes them."""

from __future__ import annotations

import os
from typing import Final

from sheaf.storage.port import Buffer

__all__ = ["SPARSE_BLOCK", "end_sparse", "write_sparse"]

SPARSE_BLOCK: Final = 64 << 10  #: bytes; smaller holes would cost more calls than the space is worth


def write_sparse(fd: int, data: Buffer) -> None:
    """Write at the position of a file, which must end there. Blocks of zeros are skipped.

    :func:`end_sparse` must follow the last block. A file system without holes fills them with zeros itself.
    """
    view = memoryview(data).cast("B")
    start = 0  # of the bytes that are not written yet
    for at in range(0, len(view), SPARSE_BLOCK):
        block = view[at : at + SPARSE_BLOCK]
        if block[0] or block[-1] or len(block) < SPARSE_BLOCK or bytes(block).strip(b"\0"):
            continue
        _write_all(fd, view[start:at])
        start = at + SPARSE_BLOCK
        os.lseek(fd, SPARSE_BLOCK, os.SEEK_CUR)
    _write_all(fd, view[start:])


def end_sparse(fd: int) -> None:
    """Set the length of the file to its position, because a skipped block at the end doesn't count."""
    os.truncate(fd, os.lseek(fd, 0, os.SEEK_CUR))


def _write_all(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]
