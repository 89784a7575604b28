"""Compare a local folder with a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sheaf.engine.manifest.comparison.tree_diff import Difference
from sheaf.engine.manifest.tree import Tree, entries
from sheaf.fork import Threads
from sheaf.format.node_v1 import hashes_array, kinds
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import order_key
from sheaf.transfer.local.align import Side, windows
from sheaf.transfer.local.hashes import LocalHashes
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.scan import OWN_NAMES, PARTIAL_SUFFIX, OnError, ScanBatch, checked_root, scan
from sheaf.transfer.local.statcache import Hashes, StatCache
from sheaf.transfer.progress import Meter

__all__ = ["changes", "guess_base", "is_equal", "learn", "local_kinds", "unlike"]

_WORKERS: Final = 2
Mask = npt.NDArray[np.bool_]


def changes(
    tree: Tree | None,
    folder: Path,
    cache: StatCache | None = None,
    *,
    scanned: Iterator[ScanBatch] | None = None,
    on_error: OnError | None = None,
    meter: Meter | None = None,
    workers: int = _WORKERS,
) -> Iterator[Difference]:
    """Yield the "added", "modified" and "deleted" entries of a folder compared with a bundle, in order of paths.

    ``tree``: None means an empty bundle. ``scanned``: a scan of the folder; without one, ignored files are neither
    added nor modified. ``on_error``: called with paths that can't be compared; without it they raise an error, as in
    :func:`sheaf.transfer.local.scan.scan`. The caller saves the cache.
    """
    root = checked_root(folder)
    scanned = scanned or scan(folder, ignore=Ignore(), on_error=on_error, leave_out=frozenset((PARTIAL_SUFFIX,)))
    with Threads(workers, thread_name_prefix="sheaf-hash") as pool:
        hashes = LocalHashes(root.rstrip("/"), cache, pool, meter or Meter(), on_error)
        for window in windows(scanned, [tree] if tree else []):
            side = window.sides[0] if tree else Side.empty(len(window.local or ()))
            found: list[Difference] = []
            if window.local is not None:
                contents = hashes.of(window.local, np.ones(len(window.local), np.bool_))
                found += _changed(window.local, contents, side)
            found += [Difference("deleted", entry, None) for entry in entries(side.rows.filter(pa.array(side.alone)))]
            yield from sorted(found, key=_order)


def learn(tree: Tree, folder: Path, cache: StatCache) -> None:
    """Add the hashes of files that a download or update has just written to the cache, without reading the files.

    A file counts as unchanged since then if it has the size and the time of its row, to the nanosecond. The caller
    saves the cache.
    """
    for window in windows(scan(folder, on_error=lambda _: None, leave_out=frozenset((PARTIAL_SUFFIX,))), [tree]):
        local, side = window.local, window.sides[0]
        if local is None:
            return
        both = np.flatnonzero((side.at >= 0) & (local.kind == Kind.FILE))
        at = side.at[both]
        same = side.rows["kind"].to_numpy()[at] == Kind.FILE
        for name, column in (("size", local.size), ("mtime", local.mtime)):
            same &= side.rows[name].to_numpy()[at] == column[both]
        contents, known = np.zeros((len(local), 32), np.uint8), np.zeros(len(local), np.bool_)
        contents[both], known[both] = hashes_array(side.rows["content"])[at], same
        cache.add(local, contents, known)


def guess_base(candidates: Iterable[Tree], folder: Path, cache: StatCache | None = None) -> Tree | None:
    """Return the first bundle whose files are all in the folder, unchanged."""
    for tree in candidates:
        if all(change.how == "added" for change in changes(tree, folder, cache, on_error=lambda _: None)):
            return tree
    return None


def is_equal(tree: Tree, folder: Path, cache: StatCache | None = None) -> bool:
    """True if a folder has exactly the files of a bundle, except ignored ones.

    Paths, kinds and sizes are compared first, so that of most other folders no file is read.
    """
    scanned = scan(folder, ignore=Ignore(), on_error=lambda _: None, leave_out=frozenset((PARTIAL_SUFFIX,)))
    seems_equal = all(_seems_equal(window.local, window.sides[0]) for window in windows(scanned, [tree]))
    return seems_equal and not any(True for _ in changes(tree, folder, cache, on_error=lambda _: None))


def _seems_equal(local: ScanBatch | None, side: Side) -> bool:
    """True if paths, kinds and sizes are equal in a window. Names that uploads never store are left out."""
    if local is None or side.alone.any():
        return local is None and not side.rows.num_rows
    own = np.array([local.path(row).split("/")[0] in OWN_NAMES for row in range(len(local))], np.bool_)
    both = np.flatnonzero(side.at >= 0)
    if (side.at[~own] < 0).any():
        return False
    at = side.at[both]
    sizes = side.rows["size"].to_numpy()[at] == local.size[both]
    return bool(
        (kinds(side.rows)[at] == local_kinds(local)[both]).all() and (sizes | (local.kind[both] != Kind.FILE)).all()
    )


def _order(change: Difference) -> bytes:
    entry: Any = change.new or change.old
    return order_key(entry.folder, entry.name)


def _changed(local: ScanBatch, contents: Hashes, side: Side) -> Iterator[Difference]:
    odd = np.flatnonzero(unlike(local, contents, side)).tolist()
    olds = iter(list(entries(side.rows.take(pa.array(side.at[odd][side.at[odd] >= 0])))))
    for row in odd:
        new = _entry(local, contents, row)
        if side.at[row] >= 0:
            yield Difference("modified", next(olds), new)
        elif new.path.split("/")[0] not in OWN_NAMES:
            yield Difference("added", None, new)


def unlike(local: ScanBatch, contents: Hashes, side: Side) -> Mask:
    """Return a mask of the rows of a scan that are missing in the tree, or differ in what a version covers."""
    odd: Mask = side.at < 0
    both = np.flatnonzero(~odd)
    at = side.at[both]
    differs = kinds(side.rows)[at] != local_kinds(local)[both]
    differs |= (hashes_array(side.rows["content"])[at] != contents[both]).any(axis=1)
    odd[both] = differs
    return odd


def local_kinds(local: ScanBatch) -> npt.NDArray[np.uint8]:
    """Return a number for each row like :func:`sheaf.format.node_v1.kinds`: kind, plus 16 for an executable file."""
    runs = (local.kind == Kind.FILE) & (local.mode & 0o100 != 0)
    return (local.kind | np.where(runs, 16, 0)).astype(np.uint8)


def _entry(local: ScanBatch, contents: Hashes, row: int) -> ManifestEntry:
    return ManifestEntry(
        local.folder[row],
        local.name[row],
        Kind(int(local.kind[row])),
        int(local.mode[row]),
        int(local.mtime[row]),
        int(local.size[row]),
        contents[row].tobytes(),
        local.target[row],
    )
