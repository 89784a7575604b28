"""Back up several folders: each becomes a bundle with a label of its own, and loses its old files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from sheaf.datamover.deletion_limits import DeletionBudget
from sheaf.datamover.folder_move import FolderMove, MovedFolder, MoveRequest, Watcher
from sheaf.errors import AlreadyExists, Conflict, Denied, InvalidInput, NotFound, Refused, SheafError
from sheaf.local_errors import printable, translated
from sheaf.repo.repo import Repo

T = TypeVar("T")

__all__ = ["BackupRequest", "BackupRun", "FailedFolder", "folders_in", "listed_folders"]

#: Errors of one folder, after which the others are still backed up. Others are of the store or of this machine.
_OF_A_FOLDER: Final = (NotFound, InvalidInput, Denied, Conflict, AlreadyExists, Refused)
_NOT_IN_LABELS: Final = re.compile(r"[^A-Za-z0-9._+-]")
_NAME_IN_LABEL: Final = 90  #: characters; a label has at most 128


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What to back up. ``date``: the beginning of the labels. Other fields are those of a move."""

    repo: Repo
    proof_repo: Callable[[], Repo]
    folders: tuple[Path, ...]
    date: str
    before: int
    budget: DeletionBudget
    unlink: bool = True
    ignores_unknown_writers: bool = False
    concurrency: int | None = None
    opened_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedFolder:
    """A folder that was not backed up, or whose files were not deleted, and why. ``moved``: what was done before."""

    folder: Path
    error: SheafError
    moved: MovedFolder | None = None


@dataclass(slots=True)
class BackupRun:
    """One run over all folders."""

    request: BackupRequest
    watcher: Callable[[Path, str], Watcher]  #: given folder and label

    def run(self) -> Iterator[MovedFolder | FailedFolder]:
        """Back up each folder and yield its result. Raises errors of the store."""
        yield from self._each(FolderMove.run)

    def plan(self) -> Iterator[tuple[MovedFolder, list[str]] | FailedFolder]:
        """Yield for each folder what :meth:`run` would do, and what it would delete. Changes nothing."""
        yield from self._each(FolderMove.plan)

    def _each(self, act: Callable[[FolderMove], T]) -> Iterator[T | FailedFolder]:
        used: set[str] = set()
        for folder in self.request.folders:
            move = None
            try:
                move = self._move(folder, used)
                yield act(move)
            except _OF_A_FOLDER as error:
                yield FailedFolder(folder, error, move.done if move else None)

    def _move(self, folder: Path, used: set[str]) -> FolderMove:
        request = self.request
        if not os.path.isdir(folder):  # noqa: PTH112 - is_dir raises where a folder above may not be read
            raise InvalidInput(f"{printable(str(folder))} is not a folder", "list folders only")
        label = self._label(folder.name, used)
        used.add(label)
        wanted = MoveRequest(
            request.repo,
            request.proof_repo,
            folder.resolve(),
            label,
            f"backup of {printable(str(folder))}",
            request.before,
            request.budget,
            unlink=request.unlink,
            needs_all=True,
            concurrency=request.concurrency,
            ignores_unknown_writers=request.ignores_unknown_writers,
            opened_with=request.opened_with,
        )
        return FolderMove(wanted, self.watcher(folder, label))

    def _label(self, name: str, used: Iterable[str]) -> str:
        """Return the first label that is free, in the store and in this run."""
        start = f"{self.request.date}-{_NOT_IN_LABELS.sub('_', name)[:_NAME_IN_LABEL]}-"
        taken = {label.name for label in self.request.repo.labels(start)} | {*used}
        number = 0
        while f"{start}{number}" in taken:
            number += 1
        return f"{start}{number}"


def folders_in(folder: Path, *, exclude: Path) -> tuple[Path, ...]:
    """Return the folders in a folder, sorted, without following symlinks. ``exclude``: one that is left out."""
    out = exclude.resolve()
    with translated(f"read {printable(str(folder))}"), os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return tuple(sorted(path for path in found if path.resolve() != out))


def listed_folders(lines: bytes) -> tuple[Path, ...]:
    """Return the folders of a list: one per line, or with a NUL after each. Empty lines are ignored."""
    names = lines.split(b"\0" if b"\0" in lines else b"\n")
    return tuple(Path(os.fsdecode(name)) for name in names if name)
