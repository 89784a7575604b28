"""Find out whether an edit and the commits of others have changed the same paths."""

from __future__ import annotations

from sheaf.engine.manifest.comparison.tree_diff import Difference, diff_trees
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_edit import Changes
from sheaf.model.entries import Kind
from sheaf.model.paths import ancestors

__all__ = ["first_overlap"]


def first_overlap(changes: Changes, before: Tree, after: Tree) -> str | None:
    """Return the first path that both ``changes`` of tree ``before`` and the way from it to ``after`` touch, or None."""
    above = {folder for path in changes.touched | changes.touched_folders for folder in ancestors(path)}
    for found in diff_trees(before, after, renames=False):
        if found.path in changes.touched or _is_inside(found.path, changes.touched_folders):
            return found.path
        if found.path in above and not _is_folder(found):
            return found.path
    return None


def _is_inside(path: str, folders: set[str]) -> bool:
    return path in folders or any(folder in folders for folder in ancestors(path))


def _is_folder(found: Difference) -> bool:
    return found.new is not None and found.new.kind == Kind.FOLDER
