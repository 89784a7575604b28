"""Make a bundle from another one by listing changes: without a download, at a cost proportional to the changes."""

from __future__ import annotations

import pyarrow as pa

from sheaf.engine.manifest.rows import folder_entry, row_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Change
from sheaf.errors import InvalidInput, NotFound
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import ancestors, check_path, join, order_key, split

__all__ = ["Changes"]


class Changes:
    """Rows to set and to remove on top of a tree. Keeps the tree valid: every folder has its row."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._rows: dict[str, pa.RecordBatch | None] = {}
        self._kinds: dict[str, Kind | None] = {}
        self.files = 0  #: change in the number of files

    def put(self, entry: ManifestEntry, packs: list[tuple[bytes, int]] | None = None) -> None:
        """Set an entry, and create missing folders above it.

        Raises:
            InvalidInput: something above it is not a folder, or a folder would be replaced by an entry that is not one.
        """
        self._place(entry.path, entry.kind, row_of(entry, packs), entry.mtime)

    def put_row(self, row: pa.RecordBatch) -> None:
        """Set a row as it is in another tree, with its location and packs. Raises as :meth:`put`."""
        folder, name, kind = (row[column][0].as_py() for column in ("folder", "name", "kind"))
        self._place(join(folder, name), Kind(kind), row, 0)

    def remove(self, path: str) -> None:
        """Remove an entry; for a folder, also everything below it. Raises NotFound."""
        kind = self._kind(path)
        if kind is None:
            raise NotFound(f"'{path}' not found in this bundle")
        if kind == Kind.FOLDER:
            for entry in self._base.entries(path):
                if self._kind(entry.path) is not None:
                    self._set(entry.path, None, None)
            for below in [p for p, row in self._rows.items() if p.startswith(path + "/") and row is not None]:
                self._set(below, None, None)
        self._set(path, None, None)

    def changes(self) -> list[Change]:
        """Return all changes, in the order of the tree."""
        return sorted(
            ((order_key(*split(path)), row) for path, row in self._rows.items()), key=lambda change: change[0]
        )

    def _place(self, path: str, kind: Kind, row: pa.RecordBatch, mtime: int) -> None:
        for folder in ancestors(check_path(path)):
            if (above := self._kind(folder)) is None:
                self._set(folder, Kind.FOLDER, row_of(folder_entry(folder, mtime=mtime)))
            elif above != Kind.FOLDER:
                raise InvalidInput(f"'{path}' can't be written: '{folder}' is a file", "remove it first")
        if (self._kind(path) == Kind.FOLDER) != (kind == Kind.FOLDER) and self._kind(path) is not None:
            raise InvalidInput(f"'{path}' can't be written: a file and a folder can't replace each other")
        self._set(path, kind, row)

    def _kind(self, path: str) -> Kind | None:
        if path not in self._kinds:
            entry = self._base.find(path)
            self._kinds[path] = entry.kind if entry else None
        return self._kinds[path]

    def _set(self, path: str, kind: Kind | None, row: pa.RecordBatch | None) -> None:
        before = self._kind(path)
        self.files += int(kind not in (None, Kind.FOLDER)) - int(before not in (None, Kind.FOLDER))
        self._rows[path] = row
        self._kinds[path] = kind
