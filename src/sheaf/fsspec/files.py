"""Open files: one of a bundle, and one that is being written."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from sheaf.engine.contents import Contents
from sheaf.fork import Origin
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
        self._window = 0, b""  # where it begins, and its bytes: one value, since a process may fork at any moment
        remember(self)

    @os_errors
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view, at = memoryview(buffer).cast("B"), self.tell()
        start, window = self._window
        if not start <= at < start + len(window):
            reads_on = bool(window) and at == start + len(window)
            size = max(len(view), min(2 * len(window), _AHEAD) if reads_on else 0)
            start, window = self._window = at, self._contents.read(self.entry, at, size)
        data = window[at - start :][: len(view)]
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
        self._origin = Origin("a file that is being written")

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
        self._origin.ensure_here()
        size = memoryview(data).nbytes
        if self._path is None and self._file.tell() + size > IN_MEMORY:
            self._spill()
        _write_all(self._file, data)
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
        if not self._origin.is_here:  # the parent hands it over; here it would go to the branch a second time
            super().close()
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
        if self._path is not None and self._origin.is_here:
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
        spilled = path.open("w+b", buffering=0)  # a forked process would flush a buffer a second time
        _write_all(spilled, self._file.read())
        spilled.seek(at)
        self._file, self._path = spilled, path


def _write_all(file: IO[bytes], data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view) :]
