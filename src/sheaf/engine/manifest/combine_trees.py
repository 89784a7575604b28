"""Turn the outcomes of a three-way comparison into changes of our tree. Contents are only referred to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from sheaf.engine.manifest.comparison.three_way import Outcome
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Change
from sheaf.format.node_v1 import ROWS
from sheaf.model.conflict_names import conflict_path
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.path_conflicts import PathConflict
from sheaf.model.paths import check_path, order_key, split

__all__ = ["Combination", "combine_trees"]


@dataclass(slots=True)
class Combination:
    """Changes that give our tree the result. ``files``: by how many files it grows.

    ``conflicts``: also those that a preference settled; with ``is_open`` one of them is not settled, and the other
    fields are meaningless. ``added``, ``modified``, ``deleted``: numbers of entries that are not folders.
    """

    changes: list[Change] = field(default_factory=list)
    conflicts: list[PathConflict] = field(default_factory=list)
    is_open: bool = False
    added: int = 0
    modified: int = 0
    deleted: int = 0

    @property
    def files(self) -> int:
        """By how many files our tree grows."""
        return self.added - self.deleted


def combine_trees(
    outcomes: Iterable[Outcome],
    ours: Tree,
    theirs: Tree | None,
    sides: tuple[str, str],
    check: Callable[[pa.RecordBatch], None],
) -> Combination:
    """Return the changes that give our tree the results.

    ``theirs``: None if it is empty. ``sides``: names of our and their side, for names of copies. ``check``: raises an
    error for a row that must not be reused.
    """
    return _Combiner(_Rows(ours), _Rows(theirs) if theirs else None, sides, check).combined(outcomes)


class _Combiner:
    def __init__(
        self, ours: _Rows, theirs: _Rows | None, sides: tuple[str, str], check: Callable[[pa.RecordBatch], None]
    ) -> None:
        self._ours, self._theirs = ours, theirs
        self._sides = sides
        self._check = check
        self._rows: dict[str, pa.RecordBatch | None] = {}
        self._found = Combination()

    def combined(self, outcomes: Iterable[Outcome]) -> Combination:
        for outcome in outcomes:
            self._found.is_open |= outcome.how == "conflict"
            copy = self._copy(outcome) if outcome.copy is not None and not self._found.is_open else ""
            if outcome.conflict:
                self._found.conflicts.append(PathConflict(outcome.path, outcome.conflict, copy))
            if outcome.changes_ours and not self._found.is_open:
                self._set(outcome.path, outcome.ours, self._row(outcome))
        keyed = ((order_key(*split(path)), row) for path, row in self._rows.items())
        self._found.changes = sorted(keyed, key=lambda change: change[0])
        return self._found

    def _set(self, path: str, before: ManifestEntry | None, row: pa.RecordBatch | None) -> None:
        is_file = row is not None and row["kind"][0].as_py() != Kind.FOLDER
        was_file = before is not None and before.kind != Kind.FOLDER
        self._found.added += is_file and not was_file
        self._found.modified += is_file and was_file
        self._found.deleted += was_file and not is_file
        self._rows[path] = row

    def _row(self, outcome: Outcome) -> pa.RecordBatch | None:
        """Return the row of a result, from the side that has its content."""
        result = outcome.result
        if result is None:
            return None
        is_ours = outcome.how == "combined" and outcome.ours is not None and outcome.ours.content == result.content
        row = self._fetch(outcome.path, is_ours=is_ours)
        if outcome.how == "combined":
            row = row.set_column(*_column("mode", result.mode))
        return row

    def _copy(self, outcome: Outcome) -> str:
        """Set the second file of a conflict, and return its path."""
        is_ours = outcome.copy is outcome.ours
        path = check_path(conflict_path(outcome.path, self._sides[0 if is_ours else 1], self._is_taken))
        folder, name = split(path)
        row = self._fetch(outcome.path, is_ours=is_ours)
        self._set(path, None, row.set_column(*_column("folder", folder)).set_column(*_column("name", name)))
        return path

    def _is_taken(self, path: str) -> bool:
        return path in self._rows or any(side is not None and side.has(path) for side in (self._ours, self._theirs))

    def _fetch(self, path: str, *, is_ours: bool) -> pa.RecordBatch:
        side = self._ours if is_ours else self._theirs
        assert side is not None
        row = side.at(path)
        self._check(row)
        return row


class _Rows:
    """Rows of a tree by path. Quick if the paths are in order: the leaf of the last one is remembered."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._leaf: pa.RecordBatch | None = None
        self._places: dict[tuple[str, str], int] = {}

    def at(self, path: str) -> pa.RecordBatch:
        """Return the row of a path that exists, as a batch of one."""
        key = split(path)
        if key not in self._places:
            self._leaf = self._tree.leaf(path)
            names = zip(self._leaf["folder"].to_pylist(), self._leaf["name"].to_pylist(), strict=True)
            self._places = {name: row for row, name in enumerate(names)}
        assert self._leaf is not None
        return self._leaf.slice(self._places[key], 1)

    def has(self, path: str) -> bool:
        """True if the tree has this path."""
        return self._tree.row(path) is not None


def _column(name: str, value: object) -> tuple[int, pa.Field, pa.Array]:
    """Return the arguments of ``set_column`` that give a batch of one row this value."""
    field = ROWS.field(name)
    return ROWS.get_field_index(name), field, pa.array([value], field.type)
