"""A temporary file without a name. Each append succeeds completely or changes nothing, even on a full disk."""

from __future__ import annotations

import os
import tempfile

from sheaf.storage.port import Buffer

__all__ = ["Scratch"]


class Scratch:
    """An unbuffered file: a buffer would write what it kept from a failed write later, in the middle of other bytes."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
        self.size = 0

    def append(self, *parts: Buffer) -> int:
        """Append bytes and return the offset where they begin. Raises OSError, after which the file is as it was before."""
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
        """Read the bytes from offset ``start`` to ``end``. Raises OSError."""
        found = bytearray()
        while start + len(found) < end:
            part = os.pread(self.file.fileno(), end - start - len(found), start + len(found))
            if not part:
                raise OSError("a temporary file was truncated")
            found += part
        return bytes(found)

    def close(self) -> None:
        """Close the file, which deletes its bytes."""
        self.file.close()
