"""The spill of a writable mount: a folder with all changes and written data, enough to continue after any crash.

``files/<n>`` hold contents, ``journal`` has a first line about the mount and one line for each change of names and
attributes. Contents are not journaled: a file has what was written into it. Behind its last line the journal has zeros:
room that only removals (and notes of commits) may use, so that a full disk can be cleared from inside the mount.
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

    ``head``: the bundle that the branch was at then, "" for none; None: an older Sheaf didn't note it.
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
    """A new node under a name; a file's content is in spill ``fill``."""

    parent: int
    name: str
    ino: int
    kind: int
    mode: int
    time: int
    target: str | None = None
    fill: int | None = None


class Link(msgspec.Struct, frozen=True, tag="link", array_like=True):
    """One more name for a file."""

    parent: int
    name: str
    ino: int
    time: int


class Drop(msgspec.Struct, frozen=True, tag="drop", array_like=True):
    """A name is gone."""

    parent: int
    name: str
    time: int


class Move(msgspec.Struct, frozen=True, tag="move", array_like=True):
    """A node has another name, whatever had it before."""

    parent: int
    name: str
    to_parent: int
    to_name: str
    time: int


class Set(msgspec.Struct, frozen=True, tag="set", array_like=True):
    """Mode or time of change are different; None: as before."""

    ino: int
    mode: int | None = None
    mtime: int | None = None


class Fill(msgspec.Struct, frozen=True, tag="fill", array_like=True):
    """The content of a file is in another spill now."""

    ino: int
    fill: int


class Commit(msgspec.Struct, frozen=True, tag="commit", array_like=True):
    """A bundle that is about to be committed on the mount's branch: if there is such a bundle, it was."""

    bundle: str


Op = Make | Link | Drop | Move | Set | Fill
Line = Op | Commit
_RESERVED: Final = 64 << 10  # bytes that removals alone may use: about a thousand of them
_STEP: Final = 64 << 10  # the journal grows by as much at once
_DECODE: Final = msgspec.json.Decoder(Line)
_ENCODE: Final = msgspec.json.Encoder()


def is_spill(folder: Path) -> bool:
    """Return True if a folder is the spill of a writable mount."""
    return (folder / "journal").is_file()


class Spill:
    """The folder, locked by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._end = 0  # where the next line goes
        self._room = 0  # the length of the file, zeros included

    # -- beginning and end ---------------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, folder: Path, about: About) -> Spill:
        """Create a spill in an empty or new folder. Raises Refused."""
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
        """Open a spill that a mount left behind. Raises NotFound for other folders, Conflict if a mount still uses it."""
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
        (self.folder / "journal").unlink(missing_ok=True)  # first: without it nobody takes the rest for a mount's
        if (self.folder / "files").is_dir():
            shutil.rmtree(self.folder / "files")
        self.close()
        (self.folder / "lock").unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:  # whoever named the folder may have put something there
            return

    # -- the journal ---------------------------------------------------------------------------------------------------

    def note(self, op: Line) -> None:
        """Append a change. Raises OSError; then it is not there."""
        self._append(_ENCODE.encode(op), may_use_reserve=isinstance(op, Drop | Commit))

    def _append(self, line: bytes, *, may_use_reserve: bool) -> None:
        data = line + b"\n"
        if self._end + len(data) + _RESERVED > self._room:
            try:
                self._grow(self._end + len(data) + _RESERVED + _STEP)
            except OSError:
                if not may_use_reserve:
                    raise
        # A line that was written in part has no end: the next one overwrites it, and without a next one it is dropped.
        _write_all(self._file().fileno(), data, self._end)
        self._end += len(data)
        self._room = max(self._room, self._end)

    def _grow(self, room: int) -> None:
        """Have zeros up to there on the disk. Raises OSError; then the file is as it was."""
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
        """Have the journal, and which contents there are, survive a power cut. Raises OSError."""
        if self._journal is not None:
            _sync_folder(self.folder / "files")
            os.fsync(self._journal.fileno())

    def about(self) -> About:
        """The first line. Raises InvalidInput."""
        with (self.folder / "journal").open("rb") as file:
            try:
                return msgspec.json.decode(file.readline(), type=About)
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{self.folder}/journal has an invalid first line: {error}") from error

    def ops(self) -> Iterator[Line]:
        """All changes in order. A last line that was cut off by a crash never happened."""
        lines = self._lines()
        next(lines, None)
        for number, line in enumerate(lines, 2):
            try:
                yield _DECODE.decode(line)
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{self.folder}/journal: line {number} is damaged: {error}") from error

    def _lines(self) -> Iterator[bytes]:
        """All whole lines, up to the zeros or what was cut off."""
        with (self.folder / "journal").open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield line

    # -- contents ------------------------------------------------------------------------------------------------------

    def path(self, fill: int) -> str:
        """Return the path of a content."""
        return f"{self.folder}/files/{fill}"

    def stat(self, fill: int) -> os.stat_result:
        """Size and times of a content."""
        return os.stat(self.path(fill))  # noqa: PTH116 - called for each file that is looked at

    def fills(self) -> list[int]:
        """Return the numbers of all contents."""
        return [int(place.name) for place in (self.folder / "files").iterdir()]

    def drop(self, fill: int) -> None:
        """Delete a content."""
        (self.folder / "files" / str(fill)).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of it: a disk that becomes full takes a part of a write first. Raises OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)
