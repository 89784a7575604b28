"""The history of a path: the bundles that changed it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sheaf.errors import NotFound

if TYPE_CHECKING:
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.values import Entry

__all__ = ["PathChange", "path_history"]


@dataclass(frozen=True, slots=True)
class PathChange:
    """A change of a path by a bundle. ``old_path``: its name before a rename; ``path``: its name after the change."""

    bundle: Bundle
    kind: Literal["added", "modified", "deleted", "renamed"]
    path: str
    old_path: str | None = None


def path_history(bundles: Iterator[Bundle], path: str) -> Iterator[PathChange]:
    """Yield the changes of a file or folder, newest first, across renames. ``bundles``: a history, newest first.

    A folder changes when an entry below it does. Raises NotFound at the end if no bundle has the path.
    """
    path, found = path.strip("/"), False
    after = next(bundles, None)
    while after is not None:
        before = next(bundles, None)
        change = _change(before, after, path)
        if change is not None:
            found = True
            yield change
            path = change.old_path or path
        after = before
    if not found:
        raise NotFound(f"'{path}' not found in any bundle of this history", "see `sheaf find`")


def _change(before: Bundle | None, after: Bundle, path: str) -> PathChange | None:
    old, new = _entry(before, path) if before else None, _entry(after, path)
    if old is None and new is None:
        return None
    if new is None:
        return PathChange(after, "deleted", path)
    if old is None:
        source = _source(before, after, path) if before and new.kind == "file" else None
        return PathChange(after, "renamed" if source else "added", path, source)
    if new.kind == "folder" and old.kind == "folder":
        return PathChange(after, "modified", path) if before and _is_changed_below(before, after, path) else None
    same = (old.kind, old.content, old.executable) == (new.kind, new.content, new.executable)
    return None if same else PathChange(after, "modified", path)


def _entry(bundle: Bundle, path: str) -> Entry | None:
    try:
        return bundle.entry(path)
    except NotFound:
        return None


def _source(before: Bundle, after: Bundle, path: str) -> str | None:
    renames = (change for change in before.diff(after) if change.kind == "renamed" and change.path == path)
    return next((change.old_path for change in renames), None)


def _is_changed_below(before: Bundle, after: Bundle, path: str) -> bool:
    top = f"{path}/"
    return any(change.path.startswith(top) or (change.old_path or "").startswith(top) for change in before.diff(after))
