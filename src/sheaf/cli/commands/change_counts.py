"""Changes as users count them: a folder is listed only if it is empty; otherwise its files are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sheaf.cli.app import App
from sheaf.cli.output.text import quote

if TYPE_CHECKING:
    from sheaf.api import Skipped
    from sheaf.repo.bundle import Bundle
    from sheaf.repo.values import Change

__all__ = ["HasContent", "in_bundle", "in_folder", "skipper", "without_full_folders"]

#: Whether something is in the folder at a path.
HasContent = Callable[[str], bool]


def in_bundle(bundle: Bundle) -> HasContent:
    """Return a predicate: True if a folder of the bundle has entries."""
    return lambda path: next(iter(bundle.ls(path)), None) is not None


def in_folder(folder: Path) -> HasContent:
    """Return a predicate: True if a folder below this local folder has entries."""

    def has_content(path: str) -> bool:
        try:
            with os.scandir(folder / path) as found:
                return any(found)
        except PermissionError:
            return False

    return has_content


def skipper(app: App, skipped: list[str], *, is_wanted: bool) -> Callable[[Skipped], object] | None:
    """Callback for ``on_skipped=``, if wanted: prints each path that can't be compared, and collects it."""

    def skip(item: Skipped) -> None:
        skipped.append(item.path)
        app.warn(f"skipped {quote(item.path)}: {item.reason}")

    return skip if is_wanted else None


def without_full_folders(changes: Iterable[Change], old: HasContent, new: HasContent) -> Iterator[Change]:
    """The changes, without folders that were added or deleted together with their contents."""
    for change in changes:
        if change.kind == "added" and change.new and change.new.kind == "folder" and new(change.path):
            continue
        if change.kind == "deleted" and change.old and change.old.kind == "folder" and old(change.path):
            continue
        yield change
