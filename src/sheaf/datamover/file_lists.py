"""The three lists of a run of the datamover: files to upload, files uploaded, files that may be deleted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sheaf.errors import InvalidInput, Refused
from sheaf.local_errors import printable, translated

__all__ = ["FileLists"]

_UPLOAD: Final = "upload.list"
_UPLOADED: Final = "uploaded.list"
_REMOVABLE: Final = "removable.list"
_ALL: Final = (_UPLOAD, _UPLOADED, _REMOVABLE)


class FileLists:
    """Lists of absolute paths, one per line, in a folder that has none of an earlier run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, moved: Path) -> None:
        """Raise Refused if there are lists of another run, InvalidInput if they would be among the files to move."""
        target = self.folder.resolve()
        if target == moved or moved in target.parents:
            raise InvalidInput(
                f"{printable(str(self.folder))} is inside the folder to move",
                "name another folder for the lists with -f",
            )
        for name in _ALL:
            if os.path.lexists(self.folder / name):
                raise self._used(name)

    def write_upload(self, paths: Iterable[str]) -> None:
        """Write the list of files that the upload will try. Raises Refused if it exists."""
        self._write(_UPLOAD, paths)

    def write_uploaded(self, paths: Iterable[str]) -> None:
        """Write the list of files that are in the bundle. Raises Refused if it exists."""
        self._write(_UPLOADED, paths)

    def _write(self, name: str, paths: Iterable[str]) -> None:
        with translated(f"write {name}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = self._create(name)
            with os.fdopen(fd, "wb") as stream:
                stream.writelines(os.fsencode(path) + b"\n" for path in paths)
                stream.flush()
                os.fsync(stream.fileno())

    @contextmanager
    def removable(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that adds a path to the list of files that may be deleted; the first one creates the list.

        A line is in the file before the file is deleted, also if this process is killed in between.
        """
        opened: list[int] = []

        def add(path: str) -> None:
            with translated(f"write {_REMOVABLE}"):
                if not opened:
                    opened.append(self._create(_REMOVABLE))
                data = memoryview(os.fsencode(path) + b"\n")
                while data:
                    data = data[os.write(opened[0], data) :]

        try:
            yield add
            if not opened:
                self._write(_REMOVABLE, ())
        finally:
            for fd in opened:
                os.close(fd)

    def _create(self, name: str) -> int:
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            return os.open(self.folder / name, flags, 0o644)
        except FileExistsError:
            raise self._used(name) from None

    def _used(self, name: str) -> Refused:
        return Refused(
            f"{printable(str(self.folder / name))} already exists",
            "it belongs to another run: name a new folder with -f, or move the three lists away",
        )
