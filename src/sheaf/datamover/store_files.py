"""What must not be moved into a store: stores themselves, and the files that open them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sheaf.errors import Refused
from sheaf.format.keys import CONFIG
from sheaf.local_errors import printable
from sheaf.model.paths import split

__all__ = ["ensure_in_no_store", "ensure_no_store", "opening_files"]

_BEGIN: Final = b'{"sheaf":'  #: of the first object of each store


def ensure_in_no_store(folder: Path) -> None:
    """Raise Refused if a folder is a store, this one, a replica or another one, or is inside of one."""
    for above in (folder, *folder.parents):
        if _is_store(os.fspath(above)):
            raise Refused(
                f"{printable(str(folder))} is in the store at {printable(str(above))}",
                "choose a folder outside of stores",
            )


def ensure_no_store(folder: Path, paths: Iterable[str]) -> None:
    """Raise Refused if one of the paths below a folder is the first object of a store, such as a replica."""
    for path in paths:
        above, name = split(path)
        place = os.path.join(folder, above)  # noqa: PTH118 - names may not be UTF-8
        if name == CONFIG and _is_store(place):
            raise Refused(
                f"{printable(place)} is a store: files of stores are not moved",
                "move it out of this folder, or name another one",
            )


def opening_files(files: Iterable[str | None]) -> Iterator[tuple[int, int]]:
    """Yield device and inode of the files that exist, such as keys and credentials."""
    for file in files:
        try:
            found = Path(file).expanduser().stat() if file else None
        except OSError:
            continue
        if found is not None:
            yield found.st_dev, found.st_ino


def _is_store(place: str) -> bool:
    try:
        with open(os.path.join(place, CONFIG), "rb") as file:  # noqa: PTH118
            return file.read(len(_BEGIN)) == _BEGIN
    except OSError:
        return False
