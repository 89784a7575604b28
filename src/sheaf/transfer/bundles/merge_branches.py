"""Merge branches, and revert bundles: new bundles that combine the trees of others, by reference.

Both compare two sides with a base: a merge those of two branches with their nearest common ancestor, a revert the head
of the branch and the parent of the reverted bundle with this bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import pyarrow as pa

from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.context import Context
from sheaf.engine.log.ancestry import common_ancestors, lineage
from sheaf.engine.log.resolve import MAIN, alive
from sheaf.engine.log.update_refs import RefUpdates, no_branch
from sheaf.engine.manifest.combine_trees import Combination, combine_trees
from sheaf.engine.manifest.comparison.diff_entries import Difference
from sheaf.engine.manifest.comparison.three_way import Preference, three_way
from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Conflict, InvalidInput, NotFound, Refused
from sheaf.model.path_conflicts import MergeConflict, PathConflict
from sheaf.model.records import BundleRecord

__all__ = ["MergeOptions", "MergeResult", "merge_branch", "revert_bundle"]

_TRIES: Final = 20  # commits by other writers that may come first, one after another

How = Literal["nothing", "fast-forward", "committed", "conflicts"]


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How to merge or revert. ``prefer``: the side that wins in conflicts, or "both". ``dry_run``: write nothing."""

    message: str | None = None
    prefer: Preference | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The result of a merge or a revert.

    ``how``: "nothing" if there was nothing to do, "fast-forward" if the branch was only moved, "committed" if there is
    a new bundle; "conflicts" only after a dry run. ``bundle``: the id to which the branch points, "" after a dry run
    that would commit. ``conflicts``: all, also those that a preference settled. ``added``, ``modified``, ``deleted``:
    numbers of files of the branch that changed.
    """

    how: How
    branch: str
    bundle: str = ""
    bases: tuple[str, ...] = ()
    conflicts: tuple[PathConflict, ...] = ()
    added: int = 0
    modified: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class _Sides:
    """Bundles to combine, and the names of our and their side. ``theirs``: None for an empty tree; no base: likewise."""

    bases: tuple[BundleRecord, ...]
    ours: BundleRecord
    theirs: BundleRecord | None
    names: tuple[str, str]


def merge_branch(
    context: Context,
    source: str,
    target: str,
    options: MergeOptions,
    *,
    fast_forward: bool = True,
    allow_unrelated: bool = False,
) -> MergeResult:
    """Merge the bundle of a ref into a branch.

    Args:
        fast_forward: only move the branch if it has no bundle that the source lacks.
        allow_unrelated: merge bundles without a common ancestor, as if it were empty.

    Raises:
        NotFound: the ref or the branch does not exist, or the common ancestor was deleted.
        Refused: there is no common ancestor, without ``allow_unrelated``.
        MergeConflict: both sides changed the same paths, and no preference is given.
        Conflict: other writers committed to the branch first, again and again.
    """

    def attempt() -> MergeResult:
        theirs, ours = context.refs.resolve(source), _head_of(context, target)
        known = context.refs.ever()
        if theirs.id in lineage(known, ours.id):
            return MergeResult("nothing", target, ours.id)
        if fast_forward and ours.id in lineage(known, theirs.id):
            return _fast_forward(context, target, ours, theirs, options)
        bases = common_ancestors(known, ours.id, theirs.id)
        if not bases and not allow_unrelated:
            raise Refused(
                f"'{source}' and branch '{target}' have no common ancestor",
                "pass --allow-unrelated-histories to merge them as if it were empty",
            )
        sides = _Sides(tuple(_ancestor(context, known, id) for id in bases), ours, theirs, (target, _name_of(source)))
        draft = Draft(options.message or f"Merge {source} into {target}", target, expect=ours.id, parents=(theirs.id,))
        return _combined(context, sides, draft, options, f"merge of '{source}' into '{target}'")

    return _retried(context, target, attempt)


def revert_bundle(
    context: Context, ref: str, branch: str, options: MergeOptions, *, mainline: int | None = None
) -> MergeResult:
    """Commit a bundle to a branch that undoes the changes of one bundle, compared with its parent.

    Args:
        mainline: for a bundle with several parents, the number of the parent to compare with, from 1.

    Raises:
        NotFound: the ref, the branch or the parent does not exist.
        InvalidInput: the bundle has several parents and ``mainline`` is missing, or there is no such parent.
        MergeConflict: later bundles changed the same paths, and no preference is given.
        Conflict: other writers committed to the branch first, again and again.
    """
    # Resolved once: if the branch moves, the ref may lead to another bundle, which nobody asked to undo.
    wanted = context.refs.resolve(ref).id

    def attempt() -> MergeResult:
        base, ours = context.refs.get(wanted), _head_of(context, branch)
        parent = _parent(base, mainline)
        theirs = _ancestor(context, context.refs.ever(), parent) if parent else None
        title = base.message.partition("\n")[0]
        message = options.message or f'Revert "{title}"\n\nThis reverts bundle {base.id}.'
        sides = _Sides((base,), ours, theirs, (branch, f"before-{base.id[:8]}"))
        return _combined(context, sides, Draft(message, branch, expect=ours.id), options, f"revert of '{ref}'")

    return _retried(context, branch, attempt)


def _retried(context: Context, branch: str, attempt: Callable[[], MergeResult]) -> MergeResult:
    """Return the result of an attempt; repeat it if the branch moved in the meantime."""
    for left in reversed(range(_TRIES)):
        before = _position(context, branch)
        try:
            return attempt()
        except Conflict:
            if not left or _position(context, branch) == before:
                raise
    raise AssertionError


def _position(context: Context, branch: str) -> str:
    at = context.log.head().state.branches.get(branch)
    return at.bundle if at else ""


# -- bundles -----------------------------------------------------------------------------------------------------------


def _head_of(context: Context, branch: str) -> BundleRecord:
    head = context.log.head()
    if branch not in head.state.branches:
        raise no_branch(context.entry.name, branch)
    found = context.refs.get(head.state.branches[branch].bundle, head)
    context.refs.ensure_not_quarantined(found, f"branch '{branch}'")
    return found


def _ancestor(context: Context, known: Mapping[str, BundleRecord], id: str) -> BundleRecord:
    """Return a bundle to compare with. An older one in its place would bring back what this one had changed."""
    if id not in known:
        raise NotFound(f"bundle {id} is not in this repo", f"copy it with `sheaf repo pull URL {context.entry.name}`")
    try:
        found = context.refs.get(id)
    except NotFound:
        hint = f"restore it with `sheaf bundle undelete --repo {context.entry.name} --bundle {id}`"
        raise NotFound(f"bundle {id}, with which the changes must be compared, was deleted", hint) from None
    context.refs.ensure_not_quarantined(found, f"bundle:{id}")
    return found


def _parent(bundle: BundleRecord, mainline: int | None) -> str | None:
    """Return the id of the parent with which a revert compares, None if there is none."""
    parents = bundle.parents
    if mainline is None and len(parents) > 1:
        raise InvalidInput(f"bundle {bundle.id} has {len(parents)} parents", "choose one with --mainline 1")
    if mainline is not None and not 1 <= mainline <= len(parents):
        raise InvalidInput(f"bundle {bundle.id} has no parent {mainline}", f"it has {len(parents)}")
    return parents[(mainline or 1) - 1] if parents else None


def _name_of(ref: str) -> str:
    """Return a ref in a form that a file name can contain."""
    return ref.rpartition(":")[2].replace("/", "-")


def _fast_forward(
    context: Context, branch: str, ours: BundleRecord, theirs: BundleRecord, options: MergeOptions
) -> MergeResult:
    if not options.dry_run:
        context.ensure_writable()
        RefUpdates(context.log, context.refs, context.entry.name).set_branch(branch, theirs, expect=ours.id)
    return MergeResult("fast-forward", branch, theirs.id, (ours.id,))


# -- trees -------------------------------------------------------------------------------------------------------------


def _combined(context: Context, sides: _Sides, draft: Draft, options: MergeOptions, what: str) -> MergeResult:
    if options.dry_run:
        found = _compare(context, sides, options.prefer, lambda row: None)
        how: How = "conflicts" if found.is_open else "committed" if _commits(found, draft) else "nothing"
        return _result(how, "" if how == "committed" else sides.ours.id, sides, found, draft)
    c = context
    with Writer(c.core, c.nodes, c.log, c.entry.id, "edit") as writer:
        sides = _alive(c, sides)
        tree = c.tree(sides.ours)
        writer.store.ensure_not_condemned(tree)
        found = _compare(c, sides, options.prefer, writer.store.ensure_rows_not_condemned)
        if found.is_open:
            raise _conflict(what, found)
        if not _commits(found, draft):
            return _result("nothing", sides.ours.id, sides, found, draft)
        root = writer.store.edit(tree.root, found.changes)
        may_write = partial(c.ensure_writable, is_prepared=True)
        made = writer.commit(root, sides.ours.files + found.files, draft, concurrently=may_write)
        writer.tidy()
    return _result("committed", made.id, sides, found, draft)


def _commits(found: Combination, draft: Draft) -> bool:
    """True if there is something to commit: a change, or a merge, which records that there was nothing to change."""
    return bool(found.changes or draft.parents)


def _alive(context: Context, sides: _Sides) -> _Sides:
    """Return the bundles as they are after the session was registered, so that gc leaves them alone. Raises NotFound."""
    now = partial(alive, context.core, context.entry.id)
    theirs = now(sides.theirs.id) if sides.theirs else None
    return _Sides(tuple(now(base.id) for base in sides.bases), now(sides.ours.id), theirs, sides.names)


def _compare(
    context: Context, sides: _Sides, prefer: Preference | None, check: Callable[[pa.RecordBatch], None]
) -> Combination:
    ours, theirs = context.tree(sides.ours), context.tree(sides.theirs) if sides.theirs else None
    bases = [context.tree(base) for base in sides.bases]
    base = bases[-1] if bases else None
    outcomes = three_way(
        _changes(base, ours), _changes(base, theirs), prefer=prefer, doubtful=_doubtful(bases) if base else frozenset()
    )
    return combine_trees(outcomes, ours, theirs, sides.names, check)


def _changes(base: Tree | None, side: Tree | None) -> Iterator[Difference]:
    if base is not None and side is not None:
        return diff_trees(base, side, renames=False)
    if side is not None:
        return (Difference("added", None, entry) for entry in side.entries())
    return (Difference("deleted", entry, None) for entry in base.entries()) if base else iter(())


def _doubtful(bases: list[Tree]) -> frozenset[str]:
    """Return the paths in which several common ancestors differ: none of them says what either side has changed."""
    others = (diff_trees(bases[-1], other, renames=False) for other in bases[:-1])
    return frozenset(change.path for changes in others for change in changes)


def _result(how: How, bundle: str, sides: _Sides, found: Combination, draft: Draft) -> MergeResult:
    bases, conflicts = tuple(base.id for base in sides.bases), tuple(found.conflicts)
    counts = (0, 0, 0) if found.is_open else (found.added, found.modified, found.deleted)
    return MergeResult(how, draft.branch or MAIN, bundle, bases, conflicts, *counts)


def _conflict(what: str, found: Combination) -> MergeConflict:
    count = len(found.conflicts)
    paths = f"'{found.conflicts[0].path}' is" if count == 1 else f"{count} paths are"
    hint = "choose a side with --ours or --theirs, keep both with --keep-both, or change one side first"
    return MergeConflict(f"{what}: {paths} in conflict; nothing was committed", hint, tuple(found.conflicts))
