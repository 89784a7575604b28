"""Names that collide on case-insensitive or Unicode-normalising file systems."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from sheaf.errors import Refused
from sheaf.model.paths import join

__all__ = [
    "ANYWHERE",
    "PROBES",
    "Clashes",
    "Folding",
    "NameClashes",
    "clash_text",
    "collision_error",
    "ensure_portable",
    "probe_folding",
]

#: The names that :func:`probe_folding` creates for a moment.
PROBES: Final = ("probe-a", "probe-\u00e9")


class Folding(Struct, frozen=True):
    """The differences between names that a file system ignores."""

    case: bool
    form: bool

    def __bool__(self) -> bool:
        return self.case or self.form

    def key(self, name: str) -> str:
        """Return a key that is equal for colliding names."""
        folded = name.casefold() if self.case else name
        return unicodedata.normalize("NFC", folded) if self.form else folded


#: The differences that a bundle must not depend on, to be downloaded on any file system.
ANYWHERE: Final = Folding(case=True, form=True)


class Clashes(Struct):
    """Finds colliding names in rows in manifest order. Keeps the names of one folder at a time."""

    folding: Folding
    _folder: str = ""
    _seen: dict[str, str] = field(default_factory=dict)

    def find(self, folders: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield the paths of each pair that collides, in the order of the rows. State carries over to the next call."""
        for folder, name in zip(folders, names, strict=True):
            if folder != self._folder:
                self._folder = folder
                self._seen.clear()
            other = self._seen.setdefault(self.folding.key(name), name)
            if other != name:
                yield join(folder, other), join(folder, name)


class NameClashes(Struct):
    """Finds colliding names in many rows in manifest order. Keeps the names of one folder at a time, as few objects."""

    folding: Folding
    _found: list[tuple[str, str]] = field(default_factory=list)
    _folder: str = ""
    _names: list[str] = field(default_factory=list)  #: of the last folder; each text has many names

    def add(self, folder: str, names: Sequence[str]) -> None:
        """Add names in a folder, which is the last one or a new one."""
        if folder != self._folder:
            self._end()
            self._folder = folder
        self._names.append("/".join(names))

    def all(self) -> list[tuple[str, str]]:
        """Return the paths of each pair that collides, in the order of the rows, after the last row."""
        self._end()
        return self._found

    def _end(self) -> None:
        text, self._names = "/".join(self._names), []
        lower = text.lower()
        # Names of one folder differ, so they collide only if they have capitals or characters beyond ASCII.
        if text.isascii() and (lower == text or len(set(lower.split("/"))) == lower.count("/") + 1):
            return
        names = text.split("/")
        self._found += Clashes(self.folding).find([self._folder] * len(names), names)


def clash_text(one: str, other: str) -> str:
    """Return the message for two colliding paths."""
    return f"'{one}' and '{other}' collide on case-insensitive or Unicode-normalising file systems"


def ensure_portable(clashes: Iterable[tuple[str, str]]) -> None:
    """Raise Refused if paths collide on other file systems."""
    for clash in clashes:
        raise Refused(clash_text(*clash), "rename one of them")


def probe_folding(folder: int) -> Folding:
    """Return the differences between names that the file system of an open, writable folder ignores. Raises OSError."""
    case, form = PROBES
    return Folding(case=_are_one(folder, case, "probe-A"), form=_are_one(folder, form, "probe-e\u0301"))


def collision_error(first: str, second: str) -> Refused:
    """Return the error for two paths that collide at the destination."""
    return Refused(
        f"'{first}' and '{second}' would be the same file at the destination",
        "choose a destination on a case-sensitive file system, or download one of them with --name-filter",
    )


def _are_one(folder: int, name: str, twin: str) -> bool:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder))
    try:
        os.stat(twin, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    else:
        return True
    finally:
        os.unlink(name, dir_fd=folder)
