"""Limits of what one run may delete, so that a wrong time or a wrong folder does not empty a share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sheaf.errors import Refused

__all__ = ["DeletionBudget"]

_ROUNDING: Final = 1e-6  #: of a file: 0.29 * 100 is less than 29


@dataclass(slots=True)
class DeletionBudget:
    """How much one run may delete. ``share``: of the files of a folder, between 0 and 1. None: no limit."""

    files: int | None = None
    bytes: int | None = None
    share: float | None = None

    def take(self, files: int, size: int, files_in_folder: int) -> None:
        """Reserve what is about to be deleted in a folder. Raises Refused, and reserves nothing, if it is too much."""
        nothing = "nothing was deleted in this folder"
        if self.files is not None and files > self.files:
            raise Refused(
                f"{files} files could be deleted, but at most {self.files} may be: {nothing}",
                "raise --max-files, or pass --yes to lift all limits",
            )
        if self.bytes is not None and size > self.bytes:
            raise Refused(
                f"{size} bytes could be deleted, but at most {self.bytes} may be: {nothing}",
                "raise --max-bytes, or pass --yes to lift all limits",
            )
        if self.share is not None and files > self.share * files_in_folder + _ROUNDING:
            raise Refused(
                f"{files} of {files_in_folder} files could be deleted, but at most {self.share:.0%} may be: {nothing}",
                "raise --max-share, or pass --yes to lift all limits",
            )
        self.files = None if self.files is None else self.files - files
        self.bytes = None if self.bytes is None else self.bytes - size
