"""What a transaction or one call has written and not committed yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sheaf.fork import Lock, ProcessOrigin, TemporaryFolder
from sheaf.fsspec.uncommitted import UncommittedChanges
from sheaf.repo.bundle import Bundle

__all__ = ["Workspace"]


class Workspace:
    """Changes to branches, and a folder for contents that are too big for memory. Close it after use."""

    def __init__(self) -> None:
        self.branches: dict[tuple[str, str], UncommittedChanges] = {}  # by (repo id, branch)
        self._folder: TemporaryFolder | None = None
        self._origin = ProcessOrigin("what was written through sheaf:// and is not committed")
        self._files = 0
        self._lock = Lock()

    def begin(self, key: tuple[str, str], make: Callable[[], UncommittedChanges]) -> UncommittedChanges:
        """Return the changes to a branch; on first use, those returned by ``make``."""
        with self._lock:
            if key not in self.branches:
                self.branches[key] = make()
            return self.branches[key]

    def scratch(self) -> Path:
        """Return the path of a new file. Raises Refused in a forked process."""
        self._origin.ensure_here()
        with self._lock:
            if self._folder is None:
                self._folder = TemporaryFolder("sheaf-")
            self._files += 1
            return self._folder.path / str(self._files)

    def commit(self, message: str, label: str | None = None, *, move_label: bool = False) -> list[Bundle]:
        """Commit one bundle for each branch that was written to, and return them. The first error ends it.

        Raises Refused in a forked process, because its parent would commit the same changes a second time.
        """
        self._origin.ensure_here()
        changed = [pending for pending in self.branches.values() if pending.is_changed]
        return [pending.commit(message, label, move_label=move_label) for pending in changed]

    def close(self) -> None:
        """Discard all changes and their files."""
        self.branches.clear()
        if self._folder is not None:
            self._folder.close()
            self._folder = None
