"""What a download or update has written."""

from __future__ import annotations

from dataclasses import dataclass, field

from sheaf.transfer.download.damaged import Damaged
from sheaf.transfer.local.statcache import FileStates

__all__ = ["Filled"]


@dataclass(slots=True)
class Filled:
    """The result: the number of files written (including symlinks), their bytes, and files of an earlier attempt.

    ``erased``: the paths of files not written because their bytes were erased from the store; ``damaged``: those whose
    bytes are missing or damaged. ``states``: of the files that exist now.
    """

    files: int = 0
    bytes: int = 0
    resumed: int = 0
    erased: list[str] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    states: list[FileStates] = field(default_factory=list)

    def add(self, other: Filled) -> None:
        """Add the counts and lists of another task."""
        self.files += other.files
        self.bytes += other.bytes
        self.resumed += other.resumed
        self.erased += other.erased
        self.damaged += other.damaged
        self.states += other.states
