"""The logs of a backup in its working folder: those of the last run get the next free number."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self, TextIO

from sheaf.errors import InvalidInput, NotFound
from sheaf.local_errors import printable, translated

__all__ = ["RunLogs"]

_ALL: Final = ("processing", "datamon", "datamon_err")


class RunLogs:
    """Logs ``NAME.log`` by name. Files of earlier runs are renamed to ``NAME-1.log`` and so on, never overwritten.

    ``processing`` says what is done with which folder, ``datamon`` has bundles and labels, and ``datamon_err`` what could
    not be saved or deleted. ``more``: names of further logs.
    """

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder = folder
        self._names = (*_ALL, *more)
        self._open: dict[str, TextIO] = {}
        self._stack = ExitStack()

    @staticmethod
    def check_name(name: str) -> None:
        """Raise InvalidInput unless a name can be that of a further log."""
        if not name or "/" in name or "\0" in name or name in _ALL:
            raise InvalidInput(f"invalid name of a list: '{name}'", "choose a name without a slash, such as removable")

    def __enter__(self) -> Self:
        shown = printable(str(self._folder))
        if not self._folder.is_dir():
            raise NotFound(f"working folder {shown} does not exist", "create it, or name another one with --work-dir")
        with translated(f"write the logs in {shown}"):
            for name in self._names:
                self._rotate(name)
                path = self._folder / f"{name}.log"
                # Names that are not UTF-8 are written as they are.
                stream = path.open("x", encoding="utf-8", errors="surrogateescape")
                self._open[name] = self._stack.enter_context(stream)
        return self

    def _rotate(self, name: str) -> None:
        path = self._folder / f"{name}.log"
        if not os.path.lexists(path):
            return
        number = 1
        while os.path.lexists(target := self._folder / f"{name}-{number}.log"):
            number += 1
        path.rename(target)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, name: str, line: str) -> None:
        """Append a line; it is in the file when this returns."""
        with translated(f"write {name}.log"):
            self._open[name].write(f"{line}\n")
            self._open[name].flush()
