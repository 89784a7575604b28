"""Compare and update local folders, and record which bundle they came from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sheaf.engine.context import Connected, Context
from sheaf.engine.log.resolve import alive
from sheaf.engine.manifest.comparison.tree_diff import Difference, with_renames
from sheaf.engine.manifest.node_store import pointer_of
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import NotFound, Refused
from sheaf.local_errors import printable
from sheaf.model.paths import ancestors
from sheaf.model.records import BundleRecord as Descriptor
from sheaf.model.records import RepoEntry
from sheaf.transfer.download.update import Updated, update
from sheaf.transfer.local.compare import changes, guess_base, learn
from sheaf.transfer.local.origins import Origin, recall, remember
from sheaf.transfer.local.scan import Skipped
from sheaf.transfer.local.statcache import StatCache
from sheaf.transfer.progress import Meter, Progress
from sheaf.vfs import FileTree

__all__ = ["bring", "compare", "hashes_of", "note", "origin_of", "repo_entry_of"]

OnSkipped = Callable[[Skipped], object]
_CANDIDATES = 20  # bundles to compare with a folder of unknown origin


def compare(context: Context, tree: Tree, folder: Path, on_skipped: OnSkipped | None = None) -> list[Difference]:
    """Return the changes from a bundle to a folder. ``on_skipped`` is called with paths that can't be compared."""
    stats = hashes_of(context, folder)
    skipped: set[str] = set()

    def skip(item: Skipped) -> None:
        skipped.add(item.path)
        if on_skipped:
            on_skipped(item)

    different = list(changes(tree, folder, stats, on_error=skip if on_skipped else None))
    known = [each for each in different if skipped.isdisjoint((each.path, *ancestors(each.path)))]
    if stats is not None:
        stats.save()
    return list(with_renames(known))


def bring(
    context: Context,
    view: FileTree,
    folder: Path,
    *,
    force: bool,
    switch_repo: bool,
    skip_on_error: bool,
    progress: Progress | None,
) -> Updated:
    """Make a folder equal to a bundle.

    Raises Refused if local changes would be lost (without ``force``), or it came from another repo (without ``switch_repo``).
    """
    if not switch_repo:
        _ensure_same_repo(context, folder)
    stats = hashes_of(context, folder)
    base = _base_of(context, folder, stats) if _holds_anything(folder) else None
    meter = Meter(progress, "update")
    choice = {"force": force, "skip_on_error": skip_on_error}
    return update(view.tree, view.contents, folder, base, **choice, cache=stats, meter=meter)


def origin_of(context: Connected, folder: Path) -> Origin | None:
    """Return the recorded origin of a folder, if it is in this store."""
    origin = recall(context.cache, folder)
    return origin if origin is not None and origin.store == context.core.config.id else None


def repo_entry_of(context: Connected, folder: Path) -> RepoEntry:
    """Return the repo that a folder came from. Raises NotFound without a record of it, or if the repo was deleted."""
    origin = origin_of(context, folder)
    entry = context.log.head().state.repos.get(origin.repo) if origin else None
    if entry is None or entry.deleted:
        shown = printable(str(folder))
        raise NotFound(f"unknown which repo {shown} came from", "name the repo with --repo REPO")
    return entry


def _ensure_same_repo(context: Context, folder: Path) -> None:
    """Raises Refused if there is something in the folder, and it came from another repo of this store."""
    origin = origin_of(context.store, folder)
    if origin is None or origin.repo == context.entry.id or not _holds_anything(folder):
        return
    entry = context.store.log.head().state.repos.get(origin.repo)
    came = f"bundle {origin.bundle} of repo {entry.name}" if entry else f"bundle {origin.bundle} of another repo"
    raise Refused(
        f"{printable(str(folder))} contains {came}, not one of {context.entry.name}",
        "choose another folder, or pass --switch-repo to replace its contents",
    )


def _holds_anything(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False  # what reads it says why


def note(context: Context, tree: Tree, bundle: str, folder: Path, written: StatCache | None = None) -> None:
    """Record that a folder is now equal to a bundle, with the hashes of its files, so that comparisons don't read them.

    ``written``: a cache to which the hashes were added as the files were written; if there are none in it, the folder is
    scanned.
    """
    remember(context.cache, folder, Origin(context.core.config.id, context.entry.id, bundle))
    if written is not None and written.has_written:
        written.save(context.core.clock.now_ns())
        return
    stats = hashes_of(context, folder)
    if stats is not None:
        learn(tree, folder, stats)
        stats.save()


def hashes_of(context: Context, folder: Path) -> StatCache | None:
    """Return the stat cache of a folder."""
    return StatCache.open(context.cache, folder, context.core.clock.now_ns()) if context.cache else None


def _base_of(context: Context, folder: Path, stats: StatCache | None) -> Tree | None:
    """The bundle that a folder came from: as it was noted, or else one of the newest that the folder holds whole."""
    origin = origin_of(context.store, folder)
    if origin is not None:
        try:
            return _tree_of(context, alive(context.core, origin.repo, origin.bundle))
        except NotFound:
            pass  # deleted since
    newest = context.refs.bundles()[: -_CANDIDATES - 1 : -1]
    return guess_base((_tree_of(context, bundle) for bundle in newest), folder, stats)


def _tree_of(context: Context, descriptor: Descriptor) -> Tree:
    return Tree(context.nodes, pointer_of(descriptor.root))
