"""Paths that two sides changed in ways that don't fit, and the error that names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sheaf.errors import Partial

__all__ = ["ConflictKind", "MergeConflict", "PathConflict"]

ConflictKind = Literal["both-modified", "both-added", "deleted-by-us", "deleted-by-them", "file-folder"]


@dataclass(frozen=True, slots=True)
class PathConflict:
    """A path that both sides changed in ways that don't fit. ``copy``: the path of the second file, if both are kept."""

    path: str
    kind: ConflictKind
    copy: str = ""


class MergeConflict(Partial):
    """Both sides changed the same paths in different ways. ``conflicts`` names them. Nothing was committed."""

    kind = "merge-conflict"

    def __init__(self, message: str, hint: str, conflicts: tuple[PathConflict, ...]) -> None:
        super().__init__(message, hint)
        self.conflicts = conflicts
