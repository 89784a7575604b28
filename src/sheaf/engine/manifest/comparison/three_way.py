"""Combine the changes of two sides since a common base, path by path.

Either side may be a bundle (:func:`sheaf.engine.manifest.comparison.tree_diff.diff_trees` with ``renames=False``) or a
local folder (:func:`sheaf.transfer.local.compare.changes`): a side is what it changed since the base, in the order of
paths. So paths that neither side changed are never read, and the costs are those of the two comparisons.

Files and folders are compared separately. A folder has no content, so two sides never disagree about one: it exists if
one side created it, and is gone if one side removed it and the other has nothing new in it. A file and a folder of the
same path are a conflict.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Literal, TypeAlias

from msgspec import structs

from sheaf.engine.manifest.comparison.diff_entries import Difference, same
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.path_conflicts import ConflictKind
from sheaf.model.paths import ancestors, order_key, path_of, split

__all__ = ["ConflictKind", "Outcome", "Preference", "is_alike", "three_way"]

How = Literal["ours", "theirs", "same", "combined", "both", "conflict"]
Preference = Literal["ours", "theirs", "both"]
MaybeEntry: TypeAlias = ManifestEntry | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a path that at least one side changed. None stands for a path that does not exist.

    ``base``, ``ours``, ``theirs``: the entry on each side; ``result``: the entry to have on both sides afterwards. Its
    bytes are those of the side that has its ``content``. Entries may lack the locations of their bytes.

    ``how``: the side that ``result`` is from; "same" if both made the same change; "combined" if it has the content of
    one side and the execute bit of the other; "both" if both files are kept: ``copy`` is to be stored next to
    ``result``, under a name that the caller chooses; "conflict" if no preference settles the conflict: ``result`` is
    without meaning then.

    ``conflict``: its kind, also if a preference settled it.
    """

    path: str
    how: How
    base: MaybeEntry
    ours: MaybeEntry
    theirs: MaybeEntry
    result: MaybeEntry
    conflict: ConflictKind | None = None
    copy: MaybeEntry = None

    @property
    def changes_ours(self) -> bool:
        """True if our side must be changed to have the result."""
        return not is_alike(self.result, self.ours)

    @property
    def changes_theirs(self) -> bool:
        """True if their side must be changed to have the result."""
        return not is_alike(self.result, self.theirs)


def three_way(
    ours: Iterable[Difference],
    theirs: Iterable[Difference],
    *,
    prefer: Preference | None = None,
    doubtful: Container[str] = frozenset(),
) -> Iterator[Outcome]:
    """Yield the result for each path that one of the sides changed, in the order of paths.

    A folder that one side removed, or replaced by a file, comes after everything below it: as ``rmdir`` needs it, and
    because it stays if something new is in it. Where a file wins over a folder, all paths below have no result.

    Memory: only such folders are remembered.

    Args:
        ours, theirs: what each side changed since the base, in the order of paths, without renames.
        prefer: how conflicts are settled. "ours", "theirs": by the version of that side. "both": a changed file wins
            over its deletion, a folder over a file; of two files ours keeps the path, and the other one is the copy.
        doubtful: paths whose base is not known. They are a conflict unless both sides are equal.
    """
    walk = _Walk(prefer, doubtful)
    for key, mine, yours in _paired(ours, theirs):
        yield from walk.leave(key)
        yield from walk.visit(path_of(key), mine, yours)
    yield from walk.leave(None)


def is_alike(one: MaybeEntry, other: MaybeEntry) -> bool:
    """True if two entries are equal in what a version covers, or both are missing."""
    return one is other if one is None or other is None else same(one, other)


def _paired(
    ours: Iterable[Difference], theirs: Iterable[Difference]
) -> Iterator[tuple[bytes, Difference | None, Difference | None]]:
    """Yield the changes of both sides by path, with their order key."""
    lefts, rights = iter(ours), iter(theirs)
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        a, b = _key(left), _key(right)
        if b is None or (a is not None and a < b):
            assert a is not None
            yield a, left, None
            left = next(lefts, None)
        elif a is None or b < a:
            yield b, None, right
            right = next(rights, None)
        else:
            yield a, left, right
            left, right = next(lefts, None), next(rights, None)


def _key(change: Difference | None) -> bytes | None:
    return None if change is None else order_key(*split(change.path))


def _end(folder: str) -> bytes:
    """Return the end of the order keys below a folder."""
    return folder.replace("/", "\0").encode() + b"\1"


@dataclass(slots=True)
class _Removal:
    """A folder that one side removed or replaced by a file. ``is_needed``: something below it is in the result."""

    outcome: Outcome
    is_needed: bool = False


class _Walk:
    """One comparison, path after path."""

    def __init__(self, prefer: Preference | None, doubtful: Container[str]) -> None:
        self._prefer = prefer
        self._doubtful = doubtful
        self._removals: dict[str, _Removal] = {}
        self._ends: list[tuple[bytes, str]] = []  # a heap: the ends of these folders, those of inner ones first
        self._files: dict[str, How] = {}  # files that win over a folder, with the side that has them

    def visit(self, path: str, mine: Difference | None, yours: Difference | None) -> Iterator[Outcome]:
        """Yield the outcome for a path, unless it depends on what is below."""
        found = _compare(path, mine, yours, is_doubtful=path in self._doubtful)
        winner = next((self._files[above] for above in ancestors(path) if above in self._files), None)
        if winner is not None:
            yield _below_file(found, winner)
            return
        if (removed_by := _remover(found)) is not None and self._may_stay(found, removed_by):
            self._removals[path] = _Removal(found)
            heappush(self._ends, (_end(path), path))
            return
        settled = settle(found, self._prefer)
        if settled.result is not None and settled.result.kind != Kind.FOLDER and _has_folder(found):
            self._files[path] = settled.how
        self._note(settled)
        yield settled

    def _may_stay(self, found: Outcome, removed_by: How) -> bool:
        """True if a removed folder stays if something below it does: always, except where a file is preferred to it."""
        return found.result is None or self._prefer != removed_by

    def leave(self, key: bytes | None) -> Iterator[Outcome]:
        """Yield the outcomes of removed folders that end before a key (None: of all)."""
        while self._ends and (key is None or self._ends[0][0] <= key):
            removal = self._removals.pop(heappop(self._ends)[1])
            found = removal.outcome
            if removal.is_needed:
                found = settle(_needed(found), self._prefer)
            self._note(found)
            yield found

    def _note(self, outcome: Outcome) -> None:
        """Keep the folders above something that exists in the result, or may exist."""
        if self._removals and (outcome.result is not None or outcome.how == "conflict"):
            for above in ancestors(outcome.path):
                if above in self._removals:
                    self._removals[above].is_needed = True


# -- one path ----------------------------------------------------------------------------------------------------------


def _compare(path: str, mine: Difference | None, yours: Difference | None, *, is_doubtful: bool) -> Outcome:
    """Return the outcome for a path by itself: without a preference, and whatever is below it."""
    change = mine or yours
    assert change is not None
    base = change.old
    ours, theirs = mine.new if mine else base, yours.new if yours else base
    if is_alike(ours, theirs):
        return Outcome(path, "same", base, ours, theirs, ours)
    is_folder = _is_folder(ours) if _is_folder(theirs) == _is_folder(base) else _is_folder(theirs)
    file = _file(path, *map(_as_file, (base, ours, theirs)), is_doubtful=is_doubtful)
    if file.how == "conflict" or (is_folder and file.result is not None):
        kind: ConflictKind | None = "file-folder" if _is_folder(ours) or _is_folder(theirs) else file.conflict
        return Outcome(path, "conflict", base, ours, theirs, None, kind)
    result = file.result
    if result is None and (is_folder or is_doubtful):
        result = next((side for side in (ours, theirs) if _is_folder(side)), None)
    how = file.how if file.how == "combined" else "ours" if result is ours else "theirs"
    return Outcome(path, how, base, ours, theirs, result)


def _file(path: str, base: MaybeEntry, ours: MaybeEntry, theirs: MaybeEntry, *, is_doubtful: bool) -> Outcome:
    """Return the outcome for a path as a file, None where it is a folder."""
    if is_alike(ours, theirs):
        return Outcome(path, "same", base, ours, theirs, ours)
    if is_doubtful:
        base = None
    elif is_alike(base, ours):
        return Outcome(path, "theirs", base, ours, theirs, theirs)
    elif is_alike(base, theirs):
        return Outcome(path, "ours", base, ours, theirs, ours)
    if (combined := _combined(base, ours, theirs)) is not None:
        return Outcome(path, "combined", base, ours, theirs, combined)
    return Outcome(path, "conflict", base, ours, theirs, None, _kind(base, ours, theirs))


def _combined(base: MaybeEntry, ours: MaybeEntry, theirs: MaybeEntry) -> MaybeEntry:
    """Return the content that one side changed with the execute bit that the other changed, None if that is impossible."""
    if base is None or ours is None or theirs is None or not base.kind == ours.kind == theirs.kind:
        return None
    if base.content not in (ours.content, theirs.content) and ours.content != theirs.content:
        return None
    source = ours if ours.content != base.content else theirs
    mode = ours if ours.executable != base.executable else theirs
    return structs.replace(source, mode=mode.mode) if mode.executable != source.executable else source


def _kind(base: MaybeEntry, ours: MaybeEntry, theirs: MaybeEntry) -> ConflictKind:
    if ours is None:
        return "deleted-by-us"
    if theirs is None:
        return "deleted-by-them"
    return "both-modified" if base is not None else "both-added"


def _as_file(entry: MaybeEntry) -> MaybeEntry:
    return None if _is_folder(entry) else entry


def _is_folder(entry: MaybeEntry) -> bool:
    return entry is not None and entry.kind == Kind.FOLDER


# -- folders that depend on what is below ------------------------------------------------------------------------------


def _has_folder(found: Outcome) -> bool:
    return _is_folder(found.ours) or _is_folder(found.theirs)


def _remover(found: Outcome) -> How | None:
    """Return the side that removed or replaced a folder which the other side still has."""
    if not _is_folder(found.base) or found.how not in ("ours", "theirs") or _is_folder(found.result):
        return None
    return found.how if _has_folder(found) else None


def _needed(found: Outcome) -> Outcome:
    """Return the outcome for a removed folder if something below it stays: the folder stays, unless a file is there."""
    if found.result is not None:
        return replace(found, how="conflict", result=None, conflict="file-folder")
    how: How = "ours" if _is_folder(found.ours) else "theirs"
    return replace(found, how=how, result=found.ours or found.theirs)


def _below_file(found: Outcome, winner: How) -> Outcome:
    """Return the outcome below a file that wins over a folder: nothing. A conflict if the other side changed this path."""
    loser, changed = (found.ours, found.how != "theirs") if winner == "theirs" else (found.theirs, found.how != "ours")
    is_lost = loser is not None and loser.kind != Kind.FOLDER and changed and not is_alike(loser, found.base)
    return replace(found, how=winner, result=None, conflict="file-folder" if is_lost else None)


# -- preferences -------------------------------------------------------------------------------------------------------


def settle(found: Outcome, prefer: Preference | None) -> Outcome:
    """Return the outcome with its conflict, if it is one, settled by a preference."""
    if found.how != "conflict" or prefer is None:
        return found
    if prefer != "both":
        return replace(found, how=prefer, result=found.ours if prefer == "ours" else found.theirs)
    if found.ours is None or found.theirs is None:
        return replace(found, how="ours" if found.ours else "theirs", result=found.ours or found.theirs)
    kept, copy = found.ours, found.theirs
    if not _is_folder(kept) and _is_folder(copy):
        kept, copy = copy, kept
    return replace(found, how="both", result=kept, copy=copy)
