"""Open files: one of a bundle, and one that is being written."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from sheaf.engine.contents import Contents
from sheaf.fsspec.errors import os_errors
from sheaf.fsspec.leaving import remember
from sheaf.model.entries import Entry
from sheaf.vfs import BundleFile

__all__ = ["IN_MEMORY", "Content", "ReadingFile", "WritingFile"]

IN_MEMORY = 1 << 20  #: bytes of a file that is being written that are kept in memory; more goes to the disk
_AHEAD = 16 << 20  # bytes fetched at once for who reads a file from end to end
Content = bytes | Path  #: what was written: in memory, or in a file of its own


class ReadingFile(BundleFile):
    """A file of a bundle whose errors are OSErrors. Who reads on is given more at a time: requests take long."""

    def __init__(self, contents: Contents, entry: Entry) -> None:
        super().__init__(contents, entry)
        self.size = entry.size
        self._window = b""
        self._window_at = 0
        remember(self)

    @os_errors
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view, at = memoryview(buffer).cast("B"), self.tell()
        if not self._window_at <= at < self._window_at + len(self._window):
            reads_on = bool(self._window) and at == self._window_at + len(self._window)
            size = max(len(view), min(2 * len(self._window), _AHEAD) if reads_on else 0)
            self._window, self._window_at = self._contents.read(self.entry, at, size), at
        data = self._window[at - self._window_at :][: len(view)]
        view[: len(data)] = data
        self.seek(at + len(data))
        return len(data)

    @os_errors
    def readall(self) -> bytes:
        return super().readall()


class WritingFile(io.RawIOBase):
    """A file that is being written; what is in it when it is closed goes to ``done``.

    ``done`` is called by :meth:`close`, or by :meth:`commit` if ``autocommit`` is off. An exception inside a ``with``
    discards it. ``scratch`` gives paths for what does not fit into memory.
    """

    def __init__(
        self, scratch: Callable[[], Path], done: Callable[[Content], None], *, autocommit: bool = True
    ) -> None:
        super().__init__()
        self._scratch = scratch
        self._done = done
        self._autocommit = autocommit
        self._path: Path | None = None
        self._file: IO[bytes] = io.BytesIO()
        self._content: Content | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        size = memoryview(data).nbytes
        if self._path is None and self._file.tell() + size > IN_MEMORY:
            self._spill()
        self._file.write(data)
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

    def flush(self) -> None:
        """Nothing: what is written can be seen when the file is closed."""

    def close(self) -> None:
        """Hand over what was written. Raises what the commit raises."""
        if self.closed:
            return
        if self._path is None:
            self._file.seek(0)
            self._content = self._file.read()
        else:
            self._content = self._path
        self._file.close()
        super().close()
        if self._autocommit:
            self.commit()

    def commit(self) -> None:
        """Hand over what was written, once; for files that were opened without ``autocommit``."""
        content, self._content = self._content, None
        if content is not None:
            self._done(content)

    def discard(self) -> None:
        """Forget what was written."""
        self._autocommit = False
        self.close()
        self._content = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def _spill(self) -> None:
        at = self._file.tell()
        self._file.seek(0)
        path = self._scratch()
        spilled = path.open("w+b")
        spilled.write(self._file.read())
        spilled.seek(at)
        self._file, self._path = spilled, path
