"""Transactions: many writes that become one bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec.transaction

from sheaf.fsspec.os_errors import os_errors
from sheaf.repo.bundle import Bundle

if TYPE_CHECKING:
    from sheaf.fsspec.filesystem import SheafFileSystem

__all__ = ["Transaction"]


class Transaction(fsspec.transaction.Transaction):
    """Collects the writes inside ``with fs.transaction as t:`` and commits them as one bundle.

    An exception discards them. Reads inside the block see what was written. Set
    ``t.message`` and ``t.label`` inside the block, and ``t.move_label`` to move an existing label. Afterwards ``t.bundles``
    contains the new bundles: one for each branch that was written to.
    """

    def __init__(self, fs: SheafFileSystem, **kwargs: Any) -> None:
        super().__init__(fs, **kwargs)
        self.message = "transaction"
        self.label: str | None = None
        self.move_label = False
        self.bundles: list[Bundle] = []

    def start(self) -> None:
        super().start()
        self.fs.access.begin()

    @os_errors
    def complete(self, commit: bool = True) -> None:
        """Commit or discard what was written. Raises OSError (EBUSY) if the branch moved in the meantime."""
        fs: SheafFileSystem = self.fs
        try:
            while self.files:  # files that the program has not closed
                file = self.files.popleft()
                file.close() if commit else file.discard()
            if commit:
                self.bundles = fs.access.shared.commit(self.message, self.label, move_label=self.move_label)
        finally:
            fs.access.end()
            fs._intrans = False
            fs._transaction = None
