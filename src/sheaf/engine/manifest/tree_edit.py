"""Make a bundle's tree from another one by listing changes: without a download, at a cost proportional to the changes.

A folder that is moved or copied is a *graft*: a reference to a folder of a tree. Its rows are never listed, and its
nodes are reused (:mod:`sheaf.engine.manifest.tree_splice`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.rows import folder_entry, moved_rows, row_of, row_with_path
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_splice import FileCounts, Patch, Piece, moved_subtree, spliced
from sheaf.errors import InvalidInput, NotFound
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import ancestors, check_path, is_below, join, key_range, order_key, relative, split

__all__ = ["BundleTree", "Changes"]

_ROOT = ""


@dataclass(frozen=True, slots=True)
class BundleTree:
    """The tree of a bundle. ``files``: its number of files."""

    tree: Tree
    files: int


@dataclass(frozen=True, slots=True)
class _Graft:
    """The rows below a folder of a tree."""

    source: BundleTree
    folder: str

    def row(self, path: str) -> pa.RecordBatch | None:
        return self.source.tree.row(join(self.folder, path))

    def below(self, path: str) -> _Graft:
        return _Graft(self.source, join(self.folder, path))


class Changes:
    """Changes of rows and whole folders on top of a tree. Keeps the tree valid: every folder has its row.

    ``touched``: paths that were set or removed; ``touched_folders``: folders that were moved, copied to or removed whole.
    """

    def __init__(self, nodes: Nodes, base: BundleTree | None) -> None:
        """``base``: the tree to change, None for an empty one."""
        self._nodes = nodes
        # What is below each of these folders comes from another one, or is gone (None). The base is below the root.
        self._grafts: dict[str, _Graft | None] = {_ROOT: _Graft(base, _ROOT) if base else None}
        self._rows: dict[str, pa.RecordBatch | None] = {}
        self._source_kinds: dict[str, Kind | None] = {}  # of paths whose rows were looked up, without changed rows
        self.touched: set[str] = set()
        self.touched_folders: set[str] = set()

    # -- changes -------------------------------------------------------------------------------------------------------

    def put(self, entry: ManifestEntry, packs: list[tuple[bytes, int]] | None = None) -> None:
        """Set an entry, and create missing folders above it.

        Raises:
            InvalidInput: something above it is not a folder, or a folder would be replaced by an entry that is not one.
        """
        self.put_row(row_of(entry, packs))

    def put_row(self, row: pa.RecordBatch, *, folder_mtime: int | None = None) -> None:
        """Set a row as it is in another tree, with its location and packs. Raises as :meth:`put`.

        ``folder_mtime``: that of missing folders above it; None: that of the row.
        """
        path = self._checked(row)
        mtime = row["mtime"][0].as_py() if folder_mtime is None else folder_mtime
        for above in ancestors(path):
            if self.kind(above) is None:
                self._rows[above] = row_of(folder_entry(above, mtime=mtime))
        self.touched.add(path)
        self._rows[path] = row

    def _checked(self, row: pa.RecordBatch) -> str:
        """Return the path of a row that can be set now. Raises as :meth:`put`."""
        folder, name, kind = (row[column][0].as_py() for column in ("folder", "name", "kind"))
        path = check_path(join(folder, name))
        for above in ancestors(path):
            if self.kind(above) not in (None, Kind.FOLDER):
                raise InvalidInput(f"'{path}' can't be written: '{above}' is a file", "remove it first")
        if (found := self.kind(path)) is not None and (found == Kind.FOLDER) != (kind == Kind.FOLDER):
            raise InvalidInput(
                f"'{path}' can't be written: a file and a folder can't replace each other", "remove it first"
            )
        return path

    def remove(self, path: str) -> None:
        """Remove an entry; for a folder, also everything below it. Raises NotFound."""
        if self._existing(path) == Kind.FOLDER:
            self._drop(path)
            self._grafts[path] = None
            self.touched_folders.add(path)
        self.touched.add(path)
        self._rows[path] = None

    def move(self, source: str, target: str) -> None:
        """Move an entry, a folder with everything below it. A file replaces another file.

        Raises:
            NotFound: ``source`` does not exist.
            InvalidInput: ``target`` is ``source`` or below it, is a folder, or is below something that is not one.
        """
        check_path(target)
        kind = self._existing(source)
        if is_below(target, source):
            raise InvalidInput(f"'{source}' can't be moved to '{target}': that is {_relation(source, target)}")
        if (kind == Kind.FOLDER and self.kind(target) is not None) or self.kind(target) == Kind.FOLDER:
            raise InvalidInput(
                f"'{source}' can't be moved to '{target}': it already exists", "name another path, or remove it first"
            )
        for above in ancestors(target):
            if self.kind(above) not in (None, Kind.FOLDER):
                raise InvalidInput(f"'{target}' can't be written: '{above}' is a file", "remove it first")
        copied = self._copied(source, kind)
        for below in copied[2]:
            check_path(join(target, below))
        self.remove(source)
        self._insert(target, *copied)

    def copy(self, source: str, target: str) -> None:
        """Copy an entry, a folder with everything below it, as it is after the changes so far. Raises as :meth:`graft`."""
        self._insert(check_path(target), *self._copied(source, self._existing(source)))

    def graft(self, source: BundleTree, path: str, target: str) -> None:
        """Copy an entry of another tree, a folder with everything below it. Into an existing folder it is merged.

        Raises:
            NotFound: the entry does not exist.
            InvalidInput: a file and a folder would replace each other, or something above ``target`` is not a folder.
        """
        other = Changes(self._nodes, source)
        self._insert(check_path(target), *other._copied(path, other._existing(path)))

    # -- the tree with the changes -------------------------------------------------------------------------------------

    def kind(self, path: str) -> Kind | None:
        """Return the kind of an entry after the changes so far, None if there is none."""
        return _kind(self._rows[path]) if path in self._rows else self._source_kind(path)

    def row(self, path: str) -> pa.RecordBatch | None:
        """Return the row of an entry after the changes so far, None if there is none."""
        if path in self._rows:
            return self._rows[path]
        row = self._source_row(path)
        return None if row is None else row_with_path(row, path)

    def pieces(self, folder: str = _ROOT) -> Iterator[Piece]:
        """Yield the rows below a folder, by default all of them, in order; unchanged parts as pointers to nodes."""
        return self._below(folder, self._patches())

    def files(self) -> int:
        """Return the number of files. This may read the leaves of folders that were removed or copied."""
        counts = FileCounts(self._nodes)
        for folder, graft in self._grafts.items():
            if folder and (hidden := self._source(folder)) is not None:
                counts.add(hidden.source.tree.root, hidden.source.files, hidden.folder, -1)
            if graft is not None:
                counts.add(graft.source.tree.root, graft.source.files, graft.folder, 1)
        total = counts.total()
        for path, row in self._rows.items():
            total += _is_file(_kind(row)) - _is_file(self._source_kind(path))
        return total

    # -- grafts --------------------------------------------------------------------------------------------------------

    def _source(self, path: str) -> _Graft | None:
        """Return what the graft in which a path is has at that path, None if nothing is there."""
        for above in reversed([_ROOT, *ancestors(path)]):
            if above in self._grafts:
                graft = self._grafts[above]
                return None if graft is None else graft.below(relative(path, above))
        raise AssertionError("there is a graft at the root")

    def _source_row(self, path: str) -> pa.RecordBatch | None:
        """Return the row of a path without changes of single rows; it may have another path in its source."""
        found = self._source(path)
        return None if found is None else found.source.tree.row(found.folder)

    def _source_kind(self, path: str) -> Kind | None:
        if path not in self._source_kinds:
            self._source_kinds[path] = _kind(self._source_row(path))
        return self._source_kinds[path]

    def _forget(self, folder: str) -> None:
        """Forget the kinds of entries below a folder, which gets another source."""
        self._source_kinds = {
            p: kind for p, kind in self._source_kinds.items() if p == folder or not is_below(p, folder)
        }

    def _drop(self, folder: str) -> None:
        """Drop the grafts and rows at and below a folder."""
        self._grafts = {path: graft for path, graft in self._grafts.items() if not is_below(path, folder)}
        self._rows = {path: row for path, row in self._rows.items() if not is_below(path, folder)}
        self._forget(folder)

    def _copied(
        self, path: str, kind: Kind
    ) -> tuple[pa.RecordBatch, dict[str, _Graft | None], dict[str, pa.RecordBatch | None]]:
        """Return an entry's row, and for a folder what is below it: grafts and rows by path relative to it."""
        row = self.row(path)
        if kind != Kind.FOLDER:
            return row, {}, {}
        grafts = {relative(at, path): graft for at, graft in self._grafts.items() if is_below(at, path)}
        grafts.setdefault(_ROOT, self._source(path))
        changed = {relative(at, path): each for at, each in self._rows.items() if at != path and is_below(at, path)}
        rows = {at: None if each is None else row_with_path(each, at) for at, each in changed.items()}
        return row, grafts, rows

    def _insert(
        self,
        path: str,
        row: pa.RecordBatch,
        grafts: dict[str, _Graft | None],
        rows: dict[str, pa.RecordBatch | None],
    ) -> None:
        """Set an entry and what is below it. What is in an existing folder stays, unless it has the same path."""
        is_new = self.kind(path) is None
        merged = [] if is_new or not grafts else list(self._listed(grafts, rows))
        placed = [row_with_path(row, path), *(moved_rows(each, _ROOT, path) for each in merged)]
        for at in rows:
            check_path(join(path, at))
        # Everything is checked before anything is set: after an error the edit is as before.
        for each in placed:
            self._checked(each)
        for each in placed:
            self.put_row(each)
        if is_new and grafts:
            self.touched_folders.add(path)
            self._grafts |= {join(path, at): graft for at, graft in grafts.items()}
            for at, changed in rows.items():
                self._rows[join(path, at)] = None if changed is None else row_with_path(changed, join(path, at))
            self._forget(path)

    def _listed(
        self, grafts: dict[str, _Graft | None], rows: dict[str, pa.RecordBatch | None]
    ) -> Iterator[pa.RecordBatch]:
        """Yield single rows of a folder that is inserted, with paths relative to it."""
        inserted = Changes(self._nodes, None)
        inserted._grafts, inserted._rows = dict(grafts), dict(rows)
        return inserted._single_rows()

    # -- pieces --------------------------------------------------------------------------------------------------------

    def _single_rows(self) -> Iterator[pa.RecordBatch]:
        for piece in self.pieces():
            batches = [piece] if isinstance(piece, pa.RecordBatch) else Tree(self._nodes, piece).batches()
            for batch in batches:
                yield from (batch.slice(i, 1) for i in range(batch.num_rows))

    def _patches(self) -> dict[str, list[Patch]]:
        """Return the patches of each graft, in order."""
        patches: dict[str, list[Patch]] = {folder: [] for folder in self._grafts}
        for folder in self._grafts:
            if folder:
                low, high = key_range(folder)
                patches[self._domain(folder)].append(Patch(low, high, partial(self._below, folder, patches)))
        for path, row in self._rows.items():
            patches[self._domain(path)].append(Patch.of_row(order_key(*split(path)), row))
        for each in patches.values():
            each.sort(key=lambda patch: patch.low)
        return patches

    def _domain(self, path: str) -> str:
        return next(above for above in reversed([_ROOT, *ancestors(path)]) if above in self._grafts)

    def _below(self, folder: str, patches: dict[str, list[Patch]]) -> Iterator[Piece]:
        graft = self._grafts[folder]
        pieces: Iterator[Piece] = iter(())
        if graft is not None and (folder or graft.folder):
            pieces = moved_subtree(self._nodes, graft.source.tree.root, graft.folder, folder)
        elif graft is not None:
            pieces = iter((graft.source.tree.root,))
        return spliced(self._nodes, pieces, patches[folder])

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _existing(self, path: str) -> Kind:
        kind = self.kind(check_path(path))
        if kind is None:
            raise NotFound(f"'{path}' not found in this bundle")
        return kind


def _kind(row: pa.RecordBatch | None) -> Kind | None:
    return None if row is None else Kind(row["kind"][0].as_py())


def _is_file(kind: Kind | None) -> bool:
    return kind not in (None, Kind.FOLDER)


def _relation(source: str, target: str) -> str:
    return "the same path" if source == target else "inside it"
