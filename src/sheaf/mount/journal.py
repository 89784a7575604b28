"""The spill of a writable mount: a folder with all changes and written data, enough to continue after any crash.

``files/<n>`` hold contents. ``journal`` has a first line about the mount, and one line for each change of names and
attributes. Contents are not journaled: a file contains what was written into it. After its last line the journal has
zeros. They reserve room that only removals and notes of commits may use, so that users can free space on a full disk
through the mount.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from sheaf.errors import Conflict, InvalidInput, NotFound, Refused
from sheaf.private_files import make_private_folder

__all__ = ["About", "Commit", "Drop", "Fill", "Link", "Make", "Move", "Op", "Set", "Spill", "is_spill"]


class About(msgspec.Struct, frozen=True):
    """The settings of a mount. ``store``: the store's id; ``base``: the id of the bundle that it began with.

    ``head``: the id of the bundle that the branch pointed to then, "" for none. None: an older Sheaf, which didn't
    record it.
    """

    store: str
    repo: str
    repo_id: str
    base: str | None
    branch: str | None
    message: str
    label: str | None
    format: int = 1
    move_label: bool = False
    head: str | None = None


class Make(msgspec.Struct, frozen=True, tag="make", array_like=True):
    """Create a node under a name; a file's content is in spill ``fill``."""

    parent: int
    name: str
    ino: int
    kind: int
    mode: int
    time: int
    target: str | None = None
    fill: int | None = None


class Link(msgspec.Struct, frozen=True, tag="link", array_like=True):
    """Add another name for a file."""

    parent: int
    name: str
    ino: int
    time: int


class Drop(msgspec.Struct, frozen=True, tag="drop", array_like=True):
    """Remove a name."""

    parent: int
    name: str
    time: int


class Move(msgspec.Struct, frozen=True, tag="move", array_like=True):
    """Rename a node, and replace what had the new name before."""

    parent: int
    name: str
    to_parent: int
    to_name: str
    time: int


class Set(msgspec.Struct, frozen=True, tag="set", array_like=True):
    """Set mode or modification time; None leaves one as it is."""

    ino: int
    mode: int | None = None
    mtime: int | None = None


class Fill(msgspec.Struct, frozen=True, tag="fill", array_like=True):
    """Move the content of a file to another spill file."""

    ino: int
    fill: int


class Commit(msgspec.Struct, frozen=True, tag="commit", array_like=True):
    """Announce a bundle that the mount is about to commit to its branch. If the bundle exists, the commit succeeded."""

    bundle: str


Op = Make | Link | Drop | Move | Set | Fill
Line = Op | Commit
_RESERVED: Final = 64 << 10  # bytes that only removals may use: room for about a thousand of them
_STEP: Final = 64 << 10  # bytes by which the journal grows at a time
_DECODE: Final = msgspec.json.Decoder(Line)
_ENCODE: Final = msgspec.json.Encoder()


def is_spill(folder: Path) -> bool:
    """Return True if a folder is the spill of a writable mount."""
    return (folder / "journal").is_file()


class Spill:
    """A spill folder, locked by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._end = 0  # the offset of the next line
        self._room = 0  # the file's length in bytes, with zeros

    # -- beginning and end ---------------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, folder: Path, about: About) -> Spill:
        """Create a spill in an empty or new folder. Raises Refused if the folder isn't empty."""
        make_private_folder(folder)
        if any(folder.iterdir()):
            raise Refused(f"{folder} is not empty", "name an empty or new folder")
        spill = cls(folder)
        spill._hold()
        try:
            (folder / "files").mkdir(mode=0o700)
            spill._open()
            spill._append(_ENCODE.encode(about), may_use_reserve=False)
            _sync_folder(folder)
            _sync_folder(folder.parent)
        except OSError:
            spill.remove()
            raise
        return spill

    @classmethod
    def reopen(cls, folder: Path) -> Spill:
        """Open a spill that an earlier mount left. Raises NotFound for other folders, Conflict if a mount still uses it."""
        if not is_spill(folder):
            raise NotFound(
                f"{folder} is neither a writable mount nor a folder left by one",
                "name the mounted folder, or the folder in ~/.local/share/sheaf/mounts",
            )
        spill = cls(folder)
        spill._hold()
        spill._open()
        return spill

    def _hold(self) -> None:
        self._lock = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"{self.folder} is in use by a mount", "commit through the mounted folder, or unmount it"
            ) from None

    def _open(self) -> None:
        fd = os.open(self.folder / "journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._journal = open(fd, "r+b", buffering=0)  # noqa: SIM115 - closed by close()
        self._end = sum(map(len, self._lines()))
        self._room = os.fstat(fd).st_size

    def close(self) -> None:
        """Unlock the folder and keep it."""
        for file in (self._journal, self._lock):
            if file is not None:
                file.close()

    def remove(self) -> None:
        """Unlock the folder and delete it."""
        # Delete the journal first. If the rest is interrupted, the folder isn't taken for a spill with changes.
        (self.folder / "journal").unlink(missing_ok=True)
        if (self.folder / "files").is_dir():
            shutil.rmtree(self.folder / "files")
        self.close()
        (self.folder / "lock").unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:
            # The user may have put other files into a folder that the user named.
            return

    # -- the journal ---------------------------------------------------------------------------------------------------

    def note(self, op: Line) -> None:
        """Append a change. Raises OSError; the change is not recorded then."""
        self._append(_ENCODE.encode(op), may_use_reserve=isinstance(op, Drop | Commit))

    def _append(self, line: bytes, *, may_use_reserve: bool) -> None:
        """Write a line after the last one. On a full disk, only removals and notes may use the reserved room."""
        data = line + b"\n"
        if self._end + len(data) + _RESERVED > self._room:
            try:
                self._grow(self._end + len(data) + _RESERVED + _STEP)
            except OSError:
                if not may_use_reserve:
                    raise
        # A line that was only partly written has no newline: the next line overwrites it, and a replay ignores it.
        _write_all(self._file().fileno(), data, self._end)
        self._end += len(data)
        self._room = max(self._room, self._end)

    def _grow(self, room: int) -> None:
        """Extend the journal with zeros to a length in bytes. Raises OSError; the file is unchanged then."""
        fd = self._file().fileno()
        try:
            _write_all(fd, bytes(room - self._room), self._room)
        except OSError:
            os.ftruncate(fd, self._room)
            raise
        self._room = room

    def _file(self) -> IO[bytes]:
        if self._journal is None:
            raise ValueError("the spill is closed")
        return self._journal

    def sync(self) -> None:
        """Make the journal, and the names of all contents, survive a power cut. Raises OSError."""
        if self._journal is not None:
            _sync_folder(self.folder / "files")
            os.fsync(self._journal.fileno())

    def about(self) -> About:
        """Return the settings of the mount, from the first line. Raises InvalidInput."""
        with (self.folder / "journal").open("rb") as file:
            try:
                return msgspec.json.decode(file.readline(), type=About)
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{self.folder}/journal has an invalid first line: {error}") from error

    def ops(self) -> Iterator[Line]:
        """Yield all changes in order, without a last line that a crash cut off. Raises InvalidInput."""
        lines = self._lines()
        next(lines, None)
        for number, line in enumerate(lines, 2):
            try:
                yield _DECODE.decode(line)
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{self.folder}/journal: line {number} is damaged: {error}") from error

    def _lines(self) -> Iterator[bytes]:
        """Yield all complete lines, up to the zeros or an incomplete line."""
        with (self.folder / "journal").open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield line

    # -- contents ------------------------------------------------------------------------------------------------------

    def path(self, fill: int) -> str:
        """Return the path of a content's file."""
        return f"{self.folder}/files/{fill}"

    def stat(self, fill: int) -> os.stat_result:
        """Return size and times of a content."""
        return os.stat(self.path(fill))  # noqa: PTH116 - called for each file that is compared

    def fills(self) -> list[int]:
        """Return the numbers of all contents."""
        return [int(place.name) for place in (self.folder / "files").iterdir()]

    def drop(self, fill: int) -> None:
        """Delete a content's file."""
        (self.folder / "files" / str(fill)).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all bytes at an offset. A disk that becomes full may accept only a part of one write. Raises OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)
