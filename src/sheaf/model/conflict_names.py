"""Names for the second copy of a file that two sides changed differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

from sheaf.model.paths import MAX_NAME, join, split

__all__ = ["conflict_path"]

_MAX_ENDING: Final = 40  # bytes; what follows the last dot of a longer name is no file type


def conflict_path(path: str, side: str, is_taken: Callable[[str], bool]) -> str:
    """Return a free path next to ``path`` for the copy of one side: ``a.csv`` → ``a.conflict-SIDE.csv``.

    The ending stays, so that programs still recognise the type of the file.
    """
    folder, name = split(path)
    return next(free for free in (join(folder, each) for each in _names(name, side)) if not is_taken(free))


def _names(name: str, side: str) -> Iterator[str]:
    stem, ending = _divided(name)
    for number in count(1):
        mark = f".conflict-{side}" + (f"-{number}" if number > 1 else "")
        room = MAX_NAME - len((mark + ending).encode())
        yield stem.encode()[:room].decode(errors="ignore") + mark + ending


def _divided(name: str) -> tuple[str, str]:
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if stem.strip(".") and len(ending.encode()) < _MAX_ENDING else (name, "")
