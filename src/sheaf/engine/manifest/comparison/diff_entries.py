"""Differences between two manifests, and the comparison of two ordered runs of entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from sheaf.model.entries import ManifestEntry
from sheaf.model.paths import order_key

__all__ = ["Difference", "diff_entries", "same"]

How = Literal["added", "modified", "deleted", "renamed"]


class Difference(Struct, frozen=True):
    """One path that differs; ``old`` is None if it was added, ``new`` if it was deleted."""

    how: How
    old: ManifestEntry | None
    new: ManifestEntry | None

    @property
    def path(self) -> str:
        """The path of the new entry, or of the deleted one."""
        entry = self.new or self.old
        assert entry is not None
        return entry.path


def same(old: ManifestEntry, new: ManifestEntry) -> bool:
    """True if two entries are equal in what a version covers."""
    return (old.kind, old.executable, old.content) == (new.kind, new.executable, new.content)


def diff_entries(old: Iterable[ManifestEntry], new: Iterable[ManifestEntry]) -> Iterator[Difference]:
    """Merge two ordered runs of entries, and yield their differences in order."""
    lefts, rights = iter(old), iter(new)
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        a = order_key(left.folder, left.name) if left is not None else None
        b = order_key(right.folder, right.name) if right is not None else None
        if b is None or (a is not None and a < b):
            yield Difference("deleted", left, None)
            left = next(lefts, None)
        elif a is None or b < a:
            yield Difference("added", None, right)
            right = next(rights, None)
        else:
            assert left is not None and right is not None
            if not same(left, right):
                yield Difference("modified", left, right)
            left, right = next(lefts, None), next(rights, None)
