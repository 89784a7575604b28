"""Compare two manifests, without reading nodes that are equal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from sheaf.engine.manifest.comparison.diff_entries import Difference, diff_entries, same
from sheaf.engine.manifest.light_node import LightLeaf, children_of
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.prefetch import ahead
from sheaf.format.node_columns_v1 import NodeColumns
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key

__all__ = ["Difference", "diff_entries", "diff_trees", "same", "with_renames"]

_AHEAD = 8  # leaves, or pairs of them, that are fetched while others are compared

Step = tuple[Pointer | None, Pointer | None]  #: two leaves with the same first path, or a leaf of one side


def diff_trees(old: Tree, new: Tree, *, renames: bool = True) -> Iterator[Difference]:
    """Yield the differences between two trees, in order of paths. With ``renames``, a moved file is one "renamed".

    The entries may lack the locations of their bytes.
    """
    found = _found(old.nodes, new.nodes, *_apart(old, new))
    return with_renames(list(found)) if renames else found


def _apart(old: Tree, new: Tree) -> tuple[list[Pointer], list[Pointer]]:
    """Return the leaves that only one of the trees has, in order."""
    left, right = [old.root], [new.root]
    while True:
        level = max((p.level for p in left + right), default=0)
        mine = {(p.level, p.prefix, p.logical) for p in left}
        common = mine & {(p.level, p.prefix, p.logical) for p in right}
        left = [p for p in left if (p.level, p.prefix, p.logical) not in common]
        right = [p for p in right if (p.level, p.prefix, p.logical) not in common]
        if not level:
            return left, right
        left, right = _below(old.nodes, left, level), _below(new.nodes, right, level)


def _below(nodes: Nodes, pointers: list[Pointer], level: int) -> list[Pointer]:
    """Return the nodes with those of a level replaced by their children."""
    opened = ahead(nodes.io, lambda p: _children(nodes, p) if p.level == level else [p], pointers, _AHEAD)
    return [child for children in opened for child in children]


def _children(nodes: Nodes, pointer: Pointer) -> Sequence[Pointer]:
    columns = nodes.columns(pointer)
    return nodes.children(pointer) if columns is None else list(children_of(columns, pointer))


# -- leaves ------------------------------------------------------------------------------------------------------------


def _found(old: Nodes, new: Nodes, left: list[Pointer], right: list[Pointer]) -> Iterator[Difference]:
    """Yield the differences between two runs of leaves: in pairs where both are cut alike, else by columns."""
    rest: tuple[list[Pointer], list[Pointer]] = ([], [])
    for step, unlike in _compared(old, new, _steps(left, right)):
        if unlike is None:
            for leaves, leaf in zip(rest, step, strict=True):
                leaves.extend([leaf] if leaf else [])
            continue
        yield from _merged(old, new, rest)
        rest = ([], [])
        yield from unlike
    yield from _merged(old, new, rest)


def _merged(old: Nodes, new: Nodes, leaves: tuple[list[Pointer], list[Pointer]]) -> Iterator[Difference]:
    if not any(leaves):
        return iter(())
    # This import takes 0.1 s, for pyarrow, numpy and pyarrow.compute.
    from sheaf.engine.manifest.comparison.diff_columns import merged

    return merged(*leaves, old, new)


def _steps(left: list[Pointer], right: list[Pointer]) -> Iterator[Step]:
    """Yield both runs in parallel, as steps."""
    lefts, rights = deque(left), deque(right)
    while lefts and rights:
        a, b = ((one.folder, one.name) for one in (lefts[0], rights[0]))
        if a == b:
            yield lefts.popleft(), rights.popleft()
        elif order_key(*a) < order_key(*b):
            yield lefts.popleft(), None
        else:
            yield None, rights.popleft()
    yield from ((leaf, None) for leaf in lefts)
    yield from ((None, leaf) for leaf in rights)


def _compared(old: Nodes, new: Nodes, steps: Iterator[Step]) -> Iterator[tuple[Step, list[Difference] | None]]:
    """Yield each step with its differences; None if its leaves don't have the same paths in the same rows."""
    waiting: deque[tuple[Step, Future[NodeColumns | None] | None, Future[NodeColumns | None] | None]] = deque()
    for step in steps:
        left, right = step
        is_pair = left is not None and right is not None and (left.prefix, left.rows) == (right.prefix, right.rows)
        one = old.io.submit(old.columns, left) if is_pair and left else None
        two = new.io.submit(new.columns, right) if is_pair and right else None
        waiting.append((step, one, two))
        if len(waiting) > _AHEAD:
            yield _compare(*waiting.popleft())
    while waiting:
        yield _compare(*waiting.popleft())


def _compare(
    step: Step, one: Future[NodeColumns | None] | None, two: Future[NodeColumns | None] | None
) -> tuple[Step, list[Difference] | None]:
    before, after = step
    left, right = one.result() if one else None, two.result() if two else None
    if before is None or after is None or left is None or right is None:
        return step, None
    mine, yours = LightLeaf(left, before), LightLeaf(right, after)
    rows = mine.unlike(yours)
    if rows is None:
        return step, None
    return step, [Difference("modified", mine.entry(row), yours.entry(row)) for row in rows]


def with_renames(found: list[Difference]) -> Iterator[Difference]:
    """Replace a deleted and an added file of equal content by one rename, the first of each. Sorted by path."""
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
