"""Plan an update: the changes that make a folder equal to a bundle, and local changes that would be lost. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sheaf.engine.manifest.tree import Tree
from sheaf.format.node_v1 import kinds
from sheaf.model.entries import Kind
from sheaf.model.paths import ancestors
from sheaf.transfer.download.concurrent_edits import EntryState, scanned_state
from sheaf.transfer.download.write_files import paths_of
from sheaf.transfer.local.align import Side, Window, windows
from sheaf.transfer.local.compare import local_kinds, unlike
from sheaf.transfer.local.hashes import LocalHashes
from sheaf.transfer.local.scan import ScanBatch

__all__ = ["DownloadPlan", "make_plan"]

_ALIKE: Final = np.uint8(15)  # the kind in the numbers of kinds(), without the execute bit
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class DownloadPlan:
    """The changes of an update.

    ``fetch``, ``touch``: masks of the rows of the target whose bytes are needed, or whose mode and time only are wrong.
    ``remove``, ``empty``: files to remove, and folders to remove once they are empty, in order. ``edits``: paths with
    local changes, which neither bundle has, that would be lost. ``modes``: permissions to keep, since the user has
    changed them. ``states``: the scanned state of entries that will be changed or removed, and of folders whose path the
    target has a file at. ``added``, ``modified``, ``deleted``: the changes for users to read.
    """

    fetch: Mask
    touch: Mask
    remove: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)
    states: dict[str, EntryState] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def barring(self, paths: Iterable[str]) -> list[str]:
        """Return the paths below a folder that must be deleted."""
        folders = set(self.empty)
        return [path for path in paths if not folders.isdisjoint(ancestors(path))]

    def rows(self, tree: Tree, mask: Mask) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the target that a mask selects."""
        start = 0
        for batch in tree.batches():
            part = mask[start : start + batch.num_rows]
            start += batch.num_rows
            if part.any():
                yield batch.filter(pa.array(part))


def make_plan(
    target: Tree, base: Tree | None, scanned: Iterator[ScanBatch], hashes: LocalHashes, *, keep_modes: bool = True
) -> DownloadPlan:
    """Compare a folder with a bundle, and return the changes that make it equal.

    ``base``: the bundle that the folder was made equal to before; without it every difference counts as an edit.
    ``keep_modes``: permissions that differ from those of the base are the user's, and stay.
    """
    rows = target.root.rows
    plan = DownloadPlan(np.zeros(rows, np.bool_), np.zeros(rows, np.bool_))
    planning = _Planning(plan, hashes, has_base=base is not None, keep_modes=keep_modes)
    for window in windows(scanned, [target] if base is None else [target, base]):
        planning.add(window)
    return plan


@dataclass(slots=True)
class _Planning:
    plan: DownloadPlan
    hashes: LocalHashes
    has_base: bool
    keep_modes: bool
    barred: set[str] = field(default_factory=set)  #: local folders at whose path the target has a file

    def add(self, window: Window) -> None:
        side = window.sides[0]
        self._missing(side)
        if window.local is not None:
            self._present(window.local, side, window.sides[1] if self.has_base else None)

    def _missing(self, side: Side) -> None:
        """Fetch what only the target has, also files and folders that the user has removed."""
        alone = side.alone
        self.plan.fetch[side.start : side.start + side.rows.num_rows] |= alone
        files = alone & (side.rows["kind"].to_numpy() != Kind.FOLDER)
        self.plan.added += paths_of(side.rows.filter(pa.array(files)))

    def _present(self, local: ScanBatch, side: Side, base: Side | None) -> None:
        """Plan what to do with local entries: kept modes, contents to replace, entries that the target lacks."""
        contents = self.hashes.of(local, self._undecided(local, side, base))
        odd = unlike(local, contents, side)
        here = side.at >= 0
        kept = self._kept(local, side, base) if self.keep_modes else np.zeros(len(local), np.bool_)
        self.plan.modes |= {local.path(row): int(local.mode[row]) for row in np.flatnonzero(kept).tolist()}
        self._touch(local, side, here & ~odd, kept)
        edited = odd.copy() if base is None else odd & unlike(local, contents, base)
        edited |= kept & odd & here & _executes_otherwise(local, side)
        was_ours = np.zeros(len(local), np.bool_) if base is None else base.at >= 0
        for row in np.flatnonzero(odd).tolist():
            if here[row]:
                self._replace(local, side, row, is_edit=bool(edited[row]))
            else:
                self._leave(local, row, was_ours=bool(was_ours[row]), is_edit=bool(edited[row]))

    @staticmethod
    def _undecided(local: ScanBatch, side: Side, base: Side | None) -> Mask:
        """Return the files with the size of one of the bundles: only their contents must be compared."""
        wanted = np.zeros(len(local), np.bool_)
        for each in (side, base):
            if each is not None:
                both = np.flatnonzero(each.at >= 0)
                wanted[both] |= each.rows["size"].to_numpy()[each.at[both]] == local.size[both]
        return wanted

    @staticmethod
    def _kept(local: ScanBatch, side: Side, base: Side | None) -> Mask:
        """Return the files and folders that existed before and whose permissions the user has changed."""
        if base is None:
            return _other_mode(local, side)
        return _other_mode(local, base) & (side.at >= 0)

    def _touch(self, local: ScanBatch, side: Side, alike: Mask, kept: Mask) -> None:
        rows = np.flatnonzero(alike & (local.kind == Kind.FILE))
        at = side.at[rows]
        wrong = side.rows["mtime"].to_numpy()[at] != local.mtime[rows]
        wrong |= (side.rows["mode"].to_numpy()[at] & 0o777 != local.mode[rows]) & ~kept[rows]
        self.plan.touch[side.start + at[wrong]] = True
        self.plan.states |= {local.path(row): scanned_state(local, row) for row in rows[wrong].tolist()}

    def _replace(self, local: ScanBatch, side: Side, row: int, *, is_edit: bool) -> None:
        """Plan the replacement of an entry: the target has another one at this path."""
        path, at = local.path(row), int(side.at[row])
        old, new = local_kinds(local)[row] & _ALIKE, kinds(side.rows)[at] & _ALIKE
        self.plan.fetch[side.start + at] = True
        self.plan.modified.append(path)
        self.plan.states[path] = scanned_state(local, row)
        if is_edit:
            self.plan.edits.append(path)
        if old == Kind.FOLDER:
            self.barred.add(path)
            self.plan.empty.append(path)
        elif new == Kind.FOLDER:
            self.plan.remove.append(path)

    def _leave(self, local: ScanBatch, row: int, *, was_ours: bool, is_edit: bool) -> None:
        """Plan for a path that the target lacks: what came with the old bundle is removed, what is the user's stays."""
        path = local.path(row)
        in_the_way = bool(self.barred) and not self.barred.isdisjoint(ancestors(path))
        if not (was_ours or in_the_way):
            return
        if is_edit:
            self.plan.edits.append(path)
        if in_the_way or local.kind[row] != Kind.FOLDER:  # other folders stay if the user adds a file to them
            self.plan.states[path] = scanned_state(local, row)
        if local.kind[row] == Kind.FOLDER:
            self.plan.empty.append(path)
        else:
            self.plan.remove.append(path)
            self.plan.deleted.append(path)


def _other_mode(local: ScanBatch, side: Side) -> Mask:
    """Return the rows of a scan that are a file or folder in the bundle, too, but with other permissions."""
    other = np.zeros(len(local), np.bool_)
    both = np.flatnonzero((side.at >= 0) & (local.kind != Kind.SYMLINK))
    at = side.at[both]
    same = (kinds(side.rows)[at] & _ALIKE) == (local_kinds(local)[both] & _ALIKE)
    other[both] = same & (side.rows["mode"].to_numpy()[at] & 0o777 != local.mode[both])
    return other


def _executes_otherwise(local: ScanBatch, side: Side) -> Mask:
    """Return the files of a scan that are files of a bundle, too, but executable in only one of them."""
    other = np.zeros(len(local), np.bool_)
    both = np.flatnonzero((side.at >= 0) & (local.kind == Kind.FILE))
    there, here = kinds(side.rows)[side.at[both]], local_kinds(local)[both]
    other[both] = ((there & _ALIKE) == (here & _ALIKE)) & (there != here)
    return other
