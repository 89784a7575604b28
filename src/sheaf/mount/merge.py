"""Merge a mount's changes with what others have committed to its branch since, path by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sheaf.engine.manifest.comparison.diff_entries import same
from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.tree import Tree, entry_at
from sheaf.engine.manifest.tree_writer import Change
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import ancestors, order_key, path_of, split
from sheaf.mount.overlay_diff import Row

__all__ = ["Merge", "merge"]


@dataclass(slots=True)
class Merge:
    """The result of a merge. ``changes``: to make on the branch's newest tree; ``files``: by how many files it grows.

    ``overlaps``: paths that both sides have changed, in order. If there are any, the other fields are meaningless.
    """

    changes: list[Change] = field(default_factory=list)
    files: int = 0
    overlaps: list[str] = field(default_factory=list)


def merge(own: Mapping[bytes, Row], published: Mapping[bytes, Row], base: Tree | None, head: Tree) -> Merge:
    """Merge a mount's changes into the newest tree of its branch.

    A mount keeps showing its base with its own changes, whatever its commits were merged with. So a change of others
    counts as seen only if it equals what the mount committed to the branch itself.

    ``own``: rows that differ from the mount's ``base``; ``published``: rows that the mount's commits have set so far.
    ``head``: the branch's newest tree.
    """
    before = _Before(published, base)
    rows: dict[bytes, Row] = {key: base.row(path_of(key)) if base else None for key in published if key not in own}
    rows.update(own)
    mine = {key: row for key, row in sorted(rows.items()) if not _is_like(_entry(row), before.at(key))}
    theirs = _changed_by_others(published, base, head)
    found = Merge(overlaps=sorted(set(_overlaps({key: _entry(row) for key, row in mine.items()}, theirs))))
    found.changes = list(mine.items())
    for key, row in mine.items():
        found.files += _counts(_entry(row)) - _counts(head.find(path_of(key)))
    return found


@dataclass(frozen=True, slots=True)
class _Before:
    """Entries by order key as the mount's last commit left them: those that it committed, else those of its base."""

    published: Mapping[bytes, Row]
    base: Tree | None

    def at(self, key: bytes) -> ManifestEntry | None:
        if key in self.published:
            return _entry(self.published[key])
        return self.base.find(path_of(key)) if self.base else None


def _changed_by_others(
    published: Mapping[bytes, Row], base: Tree | None, head: Tree
) -> dict[bytes, ManifestEntry | None]:
    """Return the branch's entries that differ from the base and from the mount's own commits, None for removed ones."""
    changed = {key: entry for key, entry in _changed(base, head).items() if key not in published}
    for key, row in published.items():
        entry = head.find(path_of(key))
        if not _agree(entry, _entry(row)):
            changed[key] = entry
    return changed


def _changed(base: Tree | None, head: Tree) -> dict[bytes, ManifestEntry | None]:
    if base is None:
        return {_key(entry.path): entry for entry in head.entries()}
    return {_key(each.path): each.new for each in diff_trees(base, head, renames=False)}


def _overlaps(
    mine: Mapping[bytes, ManifestEntry | None], theirs: Mapping[bytes, ManifestEntry | None]
) -> Iterator[str]:
    """Yield paths that both sides changed differently, and paths below a folder that the other side removed or replaced."""
    for one, other in ((mine, theirs), (theirs, mine)):
        for key, entry in one.items():
            path = path_of(key)
            if key in other and not _agree(entry, other[key]):
                yield path
            if entry is not None and any(_is_no_folder(other, above) for above in ancestors(path)):
                yield path


def _is_no_folder(changed: Mapping[bytes, ManifestEntry | None], path: str) -> bool:
    key = _key(path)
    if key not in changed:
        return False
    entry = changed[key]
    return entry is None or entry.kind != Kind.FOLDER


def _agree(one: ManifestEntry | None, other: ManifestEntry | None) -> bool:
    """True if both sides made the same change to a path."""
    return one is other if one is None or other is None else same(one, other)


def _is_like(one: ManifestEntry | None, other: ManifestEntry | None) -> bool:
    """True if two entries are equal in all that a mount can change."""
    if one is None or other is None:
        return one is other
    return same(one, other) and (one.mode, one.mtime, one.target) == (other.mode, other.mtime, other.target)


def _entry(row: Row) -> ManifestEntry | None:
    return None if row is None else entry_at(row, 0)


def _counts(entry: ManifestEntry | None) -> int:
    return int(entry is not None and entry.kind != Kind.FOLDER)


def _key(path: str) -> bytes:
    return order_key(*split(path))
