"""Open files of the file system: for reading from a bundle, and for writing."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from fsspec.core import OpenFile

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.fork import ProcessOrigin
from sheaf.fsspec.leaving import remember
from sheaf.fsspec.os_errors import os_errors
from sheaf.model.entries import ManifestEntry
from sheaf.vfs import BundleFile

if TYPE_CHECKING:
    from sheaf.fsspec.filesystem import SheafFileSystem
    from sheaf.fsspec.url import SheafUrl

__all__ = ["IN_MEMORY", "Content", "FileReader", "ReadingFile", "Text", "WritingFile", "discarding"]

IN_MEMORY = 1 << 20  #: bytes of a file that are kept in memory while it is written; a larger one goes to disk
_BUFFER = 1 << 20  # size in bytes of the buffer for small reads
_INNER = ("buffer", "raw", "fileobj", "_fp", "fp", "_file", "stream")  # names of the wrapped file in several libraries
_AHEAD = 16 << 20  # bytes fetched at a time for sequential reads
Content = bytes | Path  #: written data: bytes in memory, or the path of a file


class ReadingFile(BundleFile):
    """A file of a bundle that raises OSErrors. Sequential reads fetch larger blocks, to save requests."""

    def __init__(self, contents: Contents, entry: ManifestEntry) -> None:
        super().__init__(contents, entry)
        self.size = entry.size
        # Offset and bytes of the last block. They are one value, because the process may fork at any moment.
        self._window = 0, b""
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
    """A file that is open for writing; ``done`` is called with its content when it is closed.

    ``done`` is called by :meth:`close`, or by :meth:`commit` if ``autocommit`` is off. An exception inside a ``with``
    discards the content. ``scratch`` returns paths for content that doesn't fit into memory.
    """

    def __init__(
        self,
        scratch: Callable[[], Path],
        done: Callable[[Content], None],
        *,
        autocommit: bool = True,
        appends: bool = False,
    ) -> None:
        """Create it empty. ``appends``: each write goes to the end, wherever the position is."""
        super().__init__()
        self._appends = appends
        self._scratch = scratch
        self._done = done
        self._autocommit = autocommit
        self._path: Path | None = None
        self._file: IO[bytes] = io.BytesIO()
        self._content: Content | None = None
        self._origin = ProcessOrigin("a file that is being written")

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
        if self._appends:
            self._file.seek(0, io.SEEK_END)
        if self._path is None and self._file.tell() + size > IN_MEMORY:
            self._spill()
        _write_all(self._file, data)
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, or extend it with zeros, and return its size in bytes. The position doesn't change."""
        at = self._file.tell()
        size = at if size is None else size
        grown = size - self._file.seek(0, io.SEEK_END)
        while grown > 0:
            self.write(bytes(min(grown, IN_MEMORY)))
            grown -= min(grown, IN_MEMORY)
        self._file.truncate(size)
        self._file.seek(at)
        return size

    def flush(self) -> None:
        """Do nothing: written data becomes visible when the file is closed."""

    def close(self) -> None:
        """Commit the content. Raises the errors of the commit."""
        if self.closed:
            return
        # The parent process commits the file; here it would be committed a second time.
        if not self._origin.is_here:
            super().close()
            return
        if _is_left_by_exception():
            self._autocommit = False
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
        """Commit the content once, for files opened without ``autocommit``."""
        content, self._content = self._content, None
        if content is not None:
            self._done(content)

    def discard(self) -> None:
        """Discard the content and close the file."""
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
        # Without a buffer: a forked process would write a buffer a second time.
        spilled = path.open("w+b", buffering=0)
        _write_all(spilled, self._file.read())
        spilled.seek(at)
        self._file, self._path = spilled, path


class FileReader(io.BufferedReader):
    """A file for reading with what fsspec's files have: size and name. It can be pickled."""

    def __init__(self, file: io.RawIOBase, fs: SheafFileSystem, at: SheafUrl, block_size: int | None = None) -> None:
        self.blocksize = block_size or _BUFFER
        super().__init__(file, self.blocksize)
        self.fs, self.path, self.size = fs, str(at), self.seek(0, io.SEEK_END)
        self.seek(0)

    @property
    def closed(self) -> bool:
        """True if the file is closed. fsspec's block caches also assign to this after ``close``."""
        return super().closed

    @closed.setter
    def closed(self, value: bool) -> None:
        pass

    @property
    def full_name(self) -> str:
        """The path with the protocol."""
        return f"sheaf://{self.path}"

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` to ``end``, for fsspec's block caches."""
        return self.fs.cat_file(self.path, start, end)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self.fs, self.path, self.tell())


def _opened_again(fs: SheafFileSystem, path: str, position: int) -> Any:
    file = fs.open(path)
    file.seek(position)
    return file


class Text(io.TextIOWrapper):
    """A text file. An exception inside a ``with`` discards what was written."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            _discard(self)
        super().__exit__(kind, error, trace)


def discarding(file: Any) -> Any:
    """Make a compressed file over a :class:`WritingFile` discard its content after an exception in its ``with``."""
    leave = type(file).__exit__

    # The base class belongs to the library that compresses.
    class Discarding(type(file)):  # type: ignore[misc]
        def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
            if kind is not None:
                _discard(self)
            return leave(self, kind, error, trace)

    # Objects of classes in C don't allow this, and remain unchanged.
    with contextlib.suppress(TypeError):
        file.__class__ = Discarding
    return file


def _discard(file: Any) -> None:
    """Find the file that is being written below others, and make its close discard the content."""
    while file is not None and not isinstance(file, WritingFile):
        file = next((inner for name in _INNER if (inner := getattr(file, name, None)) is not None), None)
    if file is not None:
        file._autocommit = False


def _is_left_by_exception() -> bool:
    """True if an exception is leaving ``with fsspec.open(…)``: fsspec closes its files without passing it on."""
    frame = sys._getframe(1)
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code is OpenFile.__exit__.__code__:
            return any(arg is not None for arg in frame.f_locals.get("args", ()))
    return False


def _write_all(file: IO[bytes], data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view) :]
