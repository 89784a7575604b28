"""The folder in which ``sheaf.lock`` lies: the root of a git repository, or any other folder."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sheaf.errors import InvalidInput, NotFound, Refused
from sheaf.local_errors import printable, translated
from sheaf.model.paths import split
from sheaf.pins.lock_format import FILE_NAME, Pin, check_folder, parse_pins, render_pins
from sheaf.transfer.local.scan import PARTIAL_SUFFIX

__all__ = ["WorkingTree"]

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_GLOB: Final = re.compile(r"([\\*?\[])")


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """A folder with a lock file, or where one will be. ``has_git``: it is the root of a git repository."""

    root: Path
    has_git: bool

    @classmethod
    def around(cls, folder: Path) -> WorkingTree:
        """The git repository that a folder is in; or else the folder above it, or itself, that has a lock file."""
        here = folder.resolve()
        for each in (here, *here.parents):
            if os.path.lexists(each / ".git"):  # a file, in submodules and linked work trees
                return cls(each, has_git=True)
        for each in (here, *here.parents):
            if os.path.lexists(each / FILE_NAME):
                return cls(each, has_git=False)
        return cls(here, has_git=False)

    @property
    def file(self) -> Path:
        """The path of the lock file."""
        return self.root / FILE_NAME

    def shown(self, path: Path) -> str:
        """Return a path in the tree as messages show it: relative to the current folder, if that is in the tree, too."""
        return printable(os.path.relpath(path) if Path.cwd().is_relative_to(self.root) else str(path))

    def pins(self) -> dict[str, Pin]:
        """Read the lock file. Raises NotFound if there is none; InvalidInput."""
        data = _read(self.file)
        if data is None:
            raise NotFound(
                f"no {FILE_NAME} in {printable(str(self.root))}", "pin a folder with `sheaf add REPO@REF DIR`"
            )
        return self._parsed(data)

    def _parsed(self, data: bytes | None) -> dict[str, Pin]:
        shown = self.shown(self.file)
        try:
            return parse_pins(data.decode("utf-8"), shown) if data is not None else {}
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise InvalidInput(
                f"{shown}: line {line}: not UTF-8 text", "restore the file with `git checkout -- sheaf.lock`"
            ) from None

    def change(self, decide: Callable[[dict[str, Pin]], Pin]) -> None:
        """Replace the lock file in one step by one with the pin that ``decide`` makes of those that are there."""
        with self._alone():
            pins = self._parsed(_read(self.file))
            pin = decide(pins)
            text = render_pins({**pins, pin.folder: pin}.values())
            parse_pins(text, FILE_NAME)  # what can't be read again is not written
            _replace(self.file, text.encode())

    def ignore(self, folder: str) -> None:
        """Let git ignore a folder: adds it to the ``.gitignore`` of its parent folder, unless it is there already."""
        if not self.has_git:
            return
        above, name = split(folder)
        file = self.root / above / ".gitignore"
        with self._alone():
            if file.is_symlink():
                raise Refused(
                    f"{printable(os.path.relpath(file))} is a symlink", "replace it by a file: git ignores it"
                )
            data = _read(file) or b""
            have = {line.rstrip(b"\r\n") for line in data.splitlines()}
            wanted = [_pattern(name), _pattern(f".{name}{PARTIAL_SUFFIX}")]
            lines = [line for line in wanted if not have & {line, line + b"/", line[1:], line[1:] + b"/"}]
            if lines:
                end = b"" if not data or data.endswith(b"\n") else b"\n"
                _replace(file, data + end + b"".join(line + b"\n" for line in lines))

    def folder_of(self, path: Path) -> str:
        """Return a local folder as the lock file names it. Raises InvalidInput, Refused."""
        inner = Path(os.path.normpath(path.parent.resolve() / path.name))
        if path.name in ("", "..") or not inner.is_relative_to(self.root) or inner == self.root:
            raise InvalidInput(
                f"{printable(str(path))} is not a folder below {printable(str(self.root))}", "choose a folder below it"
            )
        folder = check_folder(inner.relative_to(self.root).as_posix())
        self.place_of(folder)
        return folder

    def place_of(self, folder: str) -> Path:
        """Return the local path of a pinned folder. Raises Refused if a symlink leads out of the tree, or to git's files."""
        place = self.root / folder
        with translated(f"enter {printable(str(place))}"):
            try:
                real = place.resolve()
            except RuntimeError:  # a symlink that leads to itself
                real = self.root
        is_inside = real != self.root and real.is_relative_to(self.root)
        if not is_inside or ".git" in real.relative_to(self.root).as_posix().lower().split("/"):
            raise Refused(f"{printable(folder)}: a symlink leads out of the working tree", "remove the symlink")
        return place

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time changes files here."""
        with translated(f"lock {printable(str(self.root))}"):
            fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
            except OSError:
                pass  # a file system without locks: two changes at once are then the user's to avoid
            yield
        finally:
            os.close(fd)


def _pattern(name: str) -> bytes:
    """A name as ``.gitignore`` has it, in its own folder only."""
    text = _GLOB.sub(r"\\\1", name)
    kept = text.rstrip(" ")
    blanks = "\\ " * (len(text) - len(kept))  # git drops those at the end of a line unless they are escaped
    return f"/{kept}{blanks}".encode()


def _read(file: Path) -> bytes | None:
    with translated(f"read {printable(str(file))}"):
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None


def _replace(file: Path, data: bytes) -> None:
    """Replace what a file holds in one step, durably; a kill leaves at most a file NAME.new, which the next call replaces."""
    aside = file.with_name(f"{file.name}.new")
    with translated(f"write {printable(str(file))}"):
        try:
            with open(os.open(aside, _NEW, 0o666), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if file.exists():
                aside.chmod(file.stat().st_mode & 0o777)
            aside.replace(file)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
