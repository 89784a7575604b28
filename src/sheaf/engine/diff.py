"""What differs between two manifests: nodes that are equal are never opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.tree import Tree, entries
from sheaf.format.node_v1 import kinds
from sheaf.model.entries import Entry, Kind
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key

__all__ = ["Difference", "diff_entries", "diff_trees", "same"]

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
    """Whether two entries are alike in what a version is made of."""
    return (old.kind, old.executable, old.content) == (new.kind, new.executable, new.content)


def diff_trees(old: Tree, new: Tree, *, renames: bool = True) -> Iterator[Difference]:
    """What happened between two trees, in order of paths; moved files are one "renamed" each unless told not to."""
    left, right = _apart(old, new)
    before, after = [old.nodes.rows(leaf) for leaf in left], [new.nodes.rows(leaf) for leaf in right]
    old_keys, new_keys = (pa.chunked_array(map(_keys, side), pa.binary()) for side in (before, after))
    found = diff_entries(_unlike(before, new_keys), _unlike(after, old_keys))
    return _with_renames(list(found)) if renames else found


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


def _apart(old: Tree, new: Tree) -> tuple[list[Pointer], list[Pointer]]:
    """The leaves that only one of the trees has, in order."""
    left, right = [old.root], [new.root]
    while True:
        level = max((p.level for p in left + right), default=0)
        mine = {(p.level, p.prefix, p.logical) for p in left}
        common = mine & {(p.level, p.prefix, p.logical) for p in right}
        left = [p for p in left if (p.level, p.prefix, p.logical) not in common]
        right = [p for p in right if (p.level, p.prefix, p.logical) not in common]
        if not level:
            return left, right
        left = [child for p in left for child in (old.nodes.children(p) if p.level == level else [p])]
        right = [child for p in right for child in (new.nodes.children(p) if p.level == level else [p])]


def _unlike(batches: list[pa.RecordBatch], others: pa.ChunkedArray) -> Iterator[Entry]:
    """The entries of one side that the other side doesn't have exactly so; found column-wise, since most are alike."""
    for batch in batches:
        yield from entries(batch.filter(pc.invert(pc.is_in(_keys(batch), value_set=others))))


def _keys(batch: pa.RecordBatch) -> pa.Array:
    columns = [batch[name].cast(pa.binary()) for name in ("folder", "name", "content")]
    kind = pa.array(kinds(batch)).cast(pa.string()).cast(pa.binary())
    return pc.binary_join_element_wise(*columns, kind, b"\0")


def _with_renames(found: list[Difference]) -> Iterator[Difference]:
    """Join a deleted and an added file of equal content into one rename, the first of each."""
    gone: dict[tuple[Kind, bytes], list[Difference]] = {}
    for difference in found:
        if (
            difference.how == "deleted"
            and difference.old
            and difference.old.kind != Kind.FOLDER
            and difference.old.size
        ):
            gone.setdefault((difference.old.kind, difference.old.content), []).append(difference)
    moved: dict[int, Difference] = {}
    for difference in found:
        if difference.how == "added" and difference.new is not None:
            sources = gone.get((difference.new.kind, difference.new.content))
            if sources:
                moved[id(difference)] = sources.pop(0)
    used = {id(source) for source in moved.values()}
    for difference in found:
        if id(difference) in moved:
            yield Difference("renamed", moved[id(difference)].old, difference.new)
        elif id(difference) not in used:
            yield difference
