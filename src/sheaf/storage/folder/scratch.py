"""A temporary file without a name, to which is appended whole or not at all, also on a disk that is full."""

from __future__ import annotations

import os
import tempfile

from sheaf.storage.port import Buffer

__all__ = ["Scratch"]


class Scratch:
    """The file is unbuffered: bytes that a buffer keeps after a failed write would follow later, in the middle of others."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        self.size = 0

    def append(self, *parts: Buffer) -> int:
        """Add bytes at the end; returns where they begin. Raises OSError, and then the file is as it was before."""
        start = self.size
        try:
            for part in parts:
                self._write(memoryview(part).cast("B"))
        except OSError:
            self.size = start
            os.ftruncate(self.file.fileno(), start)
            raise
        return start

    def _write(self, view: memoryview) -> None:
        while view:
            done = os.pwrite(self.file.fileno(), view, self.size)
            self.size += done
            view = view[done:]

    def read(self, start: int, end: int) -> bytes:
        """The bytes between two places. Raises OSError."""
        found = bytearray()
        while start + len(found) < end:
            part = os.pread(self.file.fileno(), end - start - len(found), start + len(found))
            if not part:
                raise OSError("a temporary file was truncated")
            found += part
        return bytes(found)

    def close(self) -> None:
        """Forget the bytes."""
        self.file.close()
