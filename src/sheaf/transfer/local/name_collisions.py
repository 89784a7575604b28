"""Names that become one elsewhere: where case doesn't count, or where Unicode forms are made alike."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sheaf.errors import Refused
from sheaf.model.paths import join

__all__ = ["ANYWHERE", "PROBES", "Clashes", "Folding", "clash_text", "ensure_portable", "probe_folding", "refuse_clash"]

#: The names that :func:`probe_folding` makes for a moment.
PROBES: Final = ("probe-a", "probe-\u00e9")


@dataclass(frozen=True, slots=True)
class Folding:
    """Which differences between names a file system doesn't see."""

    case: bool
    form: bool

    def __bool__(self) -> bool:
        return self.case or self.form

    def key(self, name: str) -> str:
        """Equal for names that are one."""
        folded = name.casefold() if self.case else name
        return unicodedata.normalize("NFC", folded) if self.form else folded


#: What a bundle must stand to be downloaded everywhere.
ANYWHERE: Final = Folding(case=True, form=True)


@dataclass(slots=True)
class Clashes:
    """Finds names that become one in a stream of rows in manifest order; remembers one folder's names at a time."""

    folding: Folding
    _folder: str = ""
    _seen: dict[str, str] = field(default_factory=dict)

    def find(self, folders: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The paths of each two that clash, in the order of the rows; state carries over to the next call."""
        for folder, name in zip(folders, names, strict=True):
            if folder != self._folder:
                self._folder = folder
                self._seen.clear()
            other = self._seen.setdefault(self.folding.key(name), name)
            if other != name:
                yield join(folder, other), join(folder, name)


def clash_text(one: str, other: str) -> str:
    """Two paths that are one where names are folded, in words."""
    return f"'{one}' and '{other}' become one on some systems"


def ensure_portable(clashes: Iterable[tuple[str, str]]) -> None:
    """Raises Refused if there are paths that become one on other systems."""
    for clash in clashes:
        raise Refused(clash_text(*clash), "rename one of them")


def probe_folding(folder: int) -> Folding:
    """What the file system of an open folder, which must be writable, makes of names. Raises OSError."""
    case, form = PROBES
    return Folding(case=_are_one(folder, case, "probe-A"), form=_are_one(folder, form, "probe-e\u0301"))


def refuse_clash(first: str, second: str) -> Refused:
    """The error for two paths that would be one at the destination."""
    return Refused(
        f"'{first}' and '{second}' would be one file at the destination",
        "choose a destination whose file system tells such names apart, or download only one of them (--name-filter)",
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
