"""Quarantine bundles that can't be read, by a note in their log. The note deletes nothing and can be withdrawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa

from sheaf.engine.check.report import FAULTS, Problem
from sheaf.engine.chunks.chunk_reader import Contents, Erased
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, Log, repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes, mark_of, pointer_of
from sheaf.engine.manifest.tree import entries
from sheaf.engine.sessions.forwarding import load_forwards
from sheaf.errors import Corrupt, NotFound, Refused
from sheaf.format import keys
from sheaf.format.node_v1 import leaf_packs, object_id
from sheaf.model.entries import ExternalPlace, ManifestEntry
from sheaf.model.nodes import Pointer
from sheaf.model.records import BringBack, BundleRecord, RepoEntry, RepoOp, RepoState, SetAside

__all__ = ["Unreadable", "bring_back", "quarantine_bundles", "unreadable"]

_NEEDS = "restore the objects that are missing or damaged: run `sheaf store repair --from-replica=URL`, or use a backup"
_AT_ONCE = 500  # bundles quarantined by one record


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A bundle of a repo (its id and its name), and the first reason why it can't be read."""

    repo: str
    repo_name: str
    bundle: str
    reason: str


# -- what can't be read ------------------------------------------------------------------------------------------------


def unreadable(core: Core, problems: Iterable[Problem]) -> list[Unreadable]:
    """Return the live bundles that these problems make unreadable, without quarantined ones."""
    known = list(problems)
    reader, said = _Reader(core, _Suspects.of(core, known)), {p.key: p.message for p in known if p.kind == "bundle"}
    found: list[Unreadable] = []
    for repo in store_log(core).head().state.repos.values():
        if repo.deleted:
            continue
        # A repo with a damaged log is skipped, since the log is a problem of its own; the bundles of other repos are
        # checked.
        with suppress(*FAULTS):
            whys = ((bundle, said.get(bundle.id) or reader.fault(bundle)) for bundle in _not_aside(core, repo))
            found += [Unreadable(repo.id, repo.name, bundle.id, why) for bundle, why in whys if why]
    return found


def _not_aside(core: Core, repo: RepoEntry) -> list[BundleRecord]:
    log = repo_log(core, repo.id)
    aside = log.head().state.aside
    return [bundle for bundle in Refs(log, repo.name).bundles() if bundle.id not in aside]


@dataclass(frozen=True, slots=True)
class _Suspects:
    """What to read closely: damaged nodes, packs and objects (by their ids in leaves), and paths."""

    nodes: Mapping[bytes, str]
    packs: frozenset[bytes]
    paths: frozenset[str]

    @classmethod
    def of(cls, core: Core, problems: list[Problem]) -> _Suspects:
        nodes = {keys.ids_of([p.key])[0]: p.message for p in problems if p.kind == "node"}
        packs = set(keys.ids_of(p.key for p in problems if p.kind in ("pack", "size")))
        packs |= set(keys.ids_of(key for p in problems for key in p.suspects))
        try:
            packs |= load_forwards(core).sources(packs)
        except FAULTS:
            # A forwarding address is damaged: the packs that it is about are then among the problems.
            pass
        objects = {object_id(p.key) for p in problems if p.kind == "object"}
        return cls(nodes, frozenset(packs | objects), frozenset(p.key for p in problems if p.kind == "file"))


class _Reader:
    """Reads bundles: all their bytes, or only suspicious ones. What bundles share is read once."""

    def __init__(self, core: Core, suspects: _Suspects | None) -> None:
        self._nodes = Nodes(core)
        self._contents = Contents(core)
        self._suspects = suspects
        self._known: dict[bytes, str] = {}

    def fault(self, bundle: BundleRecord) -> str:
        """Return the first problem of a bundle, "" if there is none."""
        try:
            return self._fault(pointer_of(bundle.root))
        except Corrupt as error:
            # The descriptor itself is invalid.
            return error.message

    def _fault(self, pointer: Pointer) -> str:
        mark = mark_of(pointer)
        if mark not in self._known:
            try:
                self._known[mark] = self._damage_of(pointer)
            except FAULTS as error:
                self._known[mark] = error.message
        return self._known[mark]

    def _damage_of(self, pointer: Pointer) -> str:
        if self._suspects is not None and (said := self._suspects.nodes.get(pointer.id)):
            return said
        if pointer.level:
            return next(filter(None, map(self._fault, self._nodes.children(pointer))), "")
        batch = self._nodes.rows(pointer)
        for entry in entries(batch) if self._is_suspicious(batch) else ():
            self._read(entry)
        return ""

    def _is_suspicious(self, batch: pa.RecordBatch) -> bool:
        if self._suspects is None or self._suspects.paths:
            return True
        return any(pack in self._suspects.packs for pack, _ in leaf_packs(batch))

    def _read(self, entry: ManifestEntry) -> None:
        """Raise one of FAULTS if a file can't be read. Erased bytes are not a fault."""
        if entry.place is None or isinstance(entry.place, ExternalPlace):
            return
        try:
            for _ in self._contents.blocks(entry):
                pass
        except Erased:
            return
        except FAULTS as error:
            raise Corrupt(f"'{entry.path}': {error.message}") from error


# -- the note ----------------------------------------------------------------------------------------------------------


def quarantine_bundles(core: Core, found: Iterable[Unreadable]) -> list[Unreadable]:
    """Quarantine these bundles in their logs, and return them, without those deleted or quarantined in the meantime."""
    by_repo: dict[str, list[Unreadable]] = {}
    for item in found:
        by_repo.setdefault(item.repo, []).append(item)
    return [item for repo, items in by_repo.items() for part in _parts(items) for item in _noted(core, repo, part)]


def _parts(items: list[Unreadable]) -> Iterator[list[Unreadable]]:
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))


def _noted(core: Core, repo: str, items: list[Unreadable]) -> list[Unreadable]:
    """Quarantine bundles of one repo in its log, and return those that were alive and not quarantined yet."""
    log = repo_log(core, repo)
    refs = Refs(log, items[0].repo_name)

    def still(head: Head[RepoState]) -> list[Unreadable]:
        alive = {bundle.id for bundle in refs.bundles()}
        return [item for item in items if item.bundle in alive and item.bundle not in head.state.aside]

    if not still(log.head()):
        return []
    noted: list[Unreadable] = []

    def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
        noted[:] = still(head)
        return tuple(SetAside(item.bundle, item.reason) for item in noted)

    log.append(decide)
    return noted


def bring_back(core: Core, log: Log[RepoState, RepoOp], refs: Refs, id: str) -> BundleRecord:
    """Release a bundle from quarantine, once every byte of it can be read.

    Raises:
        NotFound: no bundle of that id is quarantined.
        Refused: it still can't be read.
    """
    if id not in log.head().state.aside:
        raise NotFound(f'no quarantined bundle "{id}"')
    bundle = refs.get(id)
    if why := _Reader(core, None).fault(bundle):
        raise Refused(f"bundle {id} still can't be read: {why}", _NEEDS)
    log.append(lambda head: (BringBack(id),))
    return bundle
