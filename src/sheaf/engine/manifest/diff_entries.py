"""What can differ between two manifests, and two ordered runs of entries compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sheaf.model.entries import Entry
from sheaf.model.paths import order_key

__all__ = ["Difference", "diff_entries", "same"]

How = Literal["added", "modified", "deleted", "renamed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs; ``old`` is None if it was added, ``new`` if it was deleted."""

    how: How
    old: Entry | None
    new: Entry | None

    @property
    def path(self) -> str:
        """Where it is now, or was."""
        entry = self.new or self.old
        assert entry is not None
        return entry.path


def same(old: Entry, new: Entry) -> bool:
    """True if two entries are alike in what a version is made of."""
    return (old.kind, old.executable, old.content) == (new.kind, new.executable, new.content)


def diff_entries(old: Iterable[Entry], new: Iterable[Entry]) -> Iterator[Difference]:
    """Merge two ordered runs of entries into what differs."""
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
