"""Names that an erasure removes: each is replaced by a placeholder, which reveals no more than the row does anyway.

A placeholder is made of the content's hash. So a file has the same one in all bundles, no version seems to have renamed
it, and a run after a crash finds nothing left to do where it was done.
"""

from __future__ import annotations

import pyarrow as pa

from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Change
from sheaf.engine.sessions.sessions import Open
from sheaf.errors import Bug
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import ManifestEntry
from sheaf.model.paths import join, order_key

__all__ = ["Names", "is_placeholder", "placeholder_name"]

_DIGITS = 16


def placeholder_name(content: bytes, number: int = 1) -> str:
    """Return the name that replaces a content's names. ``number`` distinguishes several in one folder."""
    return f"erased-{content.hex()[:_DIGITS]}" + (f"-{number}" if number > 1 else "")


def is_placeholder(name: str, content: bytes) -> bool:
    """True if a name of a file with this content is a placeholder."""
    start = placeholder_name(content)
    rest = name.removeprefix(start)
    return name.startswith(start) and (not rest or (rest[0] == "-" and rest[1:].isdecimal()))


class Names:
    """Replaces names by placeholders, and removes attributes, which may contain the original name or other hashes."""

    def is_done(self, entry: ManifestEntry) -> bool:
        """True if the entry has a placeholder already."""
        return is_placeholder(entry.name, entry.content)

    def prepare(self, opened: Open, entries: list[ManifestEntry]) -> None:
        """Do nothing: a placeholder needs no stored bytes."""

    def rows(self, tree: Tree, entries: list[ManifestEntry]) -> list[Change]:
        """Return changes that remove each entry and set it under its placeholder. Raises Corrupt."""
        used: dict[tuple[str, bytes], int] = {}
        changes: dict[bytes, pa.RecordBatch | None] = {}
        for entry in entries:
            row = tree.row(entry.path)
            if row is None:
                raise Bug(f"'{entry.path}' was found but does not exist")
            number = _free(tree, entry, used.get((entry.folder, entry.content), 0) + 1)
            used[entry.folder, entry.content] = number
            name = placeholder_name(entry.content, number)
            changes[order_key(entry.folder, entry.name)] = None
            changes[order_key(entry.folder, name)] = _renamed(row, name)
        return sorted(changes.items(), key=lambda change: change[0])


def _free(tree: Tree, entry: ManifestEntry, number: int) -> int:
    while tree.find(join(entry.folder, placeholder_name(entry.content, number))) is not None:
        number += 1
    return number


def _renamed(row: pa.RecordBatch, name: str) -> pa.RecordBatch:
    columns = {"name": pa.array([name], pa.string()), "attrs": pa.nulls(1, pa.string())}
    for column, value in columns.items():
        at = ROWS.get_field_index(column)
        row = row.set_column(at, ROWS.field(at), value)
    return row
