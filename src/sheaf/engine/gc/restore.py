"""Undo a deletion, as long as gc has not carried it out.

A restore is a commit: it registers a session, and gc waits for it. Unlike other commits it must not rely on anything
that a pending generation has condemned, not even on packs that are only moved: gc counts the bundles that were live while
it ran, and this one was not.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.core import Core
from sheaf.engine.gc.mark import BundleRoots, Reach, needed_chunks
from sheaf.engine.log.record_log import Head, Log, repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.sessions.forwarding import Forwards, load_forwards
from sheaf.engine.sessions.sessions import Ending, Open, ensure_session_open, open_session, open_store_session
from sheaf.errors import Conflict, Corrupt, NotFound, Refused
from sheaf.format import keys
from sheaf.format.node_v1 import object_id
from sheaf.model.records import (
    BundleRecord,
    DeleteBundle,
    RepoEntry,
    RepoOp,
    RepoState,
    RestoreBundle,
    RestoreRepo,
    SetLabel,
    StoreOp,
    StoreState,
)

__all__ = ["dropped_labels", "restore_bundle", "restore_repo"]


def dropped_labels(log: Log[RepoState, RepoOp], id: str) -> list[str]:
    """The labels that were deleted by the record that deleted a bundle, as a squash does, and that don't exist now."""
    at: dict[str, str] = {}
    found: list[str] = []
    for record in log.records():
        before = dict(at) if any(isinstance(op, DeleteBundle) and op.bundle == id for op in record.ops) else None
        for op in record.ops:
            match op:
                case SetLabel(name=name, bundle=str(bundle)):
                    at[name] = bundle
                case SetLabel(name=name):
                    at.pop(name, None)
                case RestoreBundle(bundle=back) if back.id == id:
                    found = []
        if before is not None:
            found = sorted(name for name, bundle in before.items() if bundle == id and name not in at)
    return found


def restore_bundle(core: Core, log: Log[RepoState, RepoOp], refs: Refs, repo_id: str, id: str) -> BundleRecord:
    """Restore a deleted bundle, and those labels that were deleted with it whose names are free.

    Raises:
        NotFound: no bundle of that id was deleted.
        Conflict: an erasure has changed it in the meantime.
        Refused: gc has deleted objects that it needs, or is about to.
    """
    opened = open_session(core, repo_id, log, "undelete")
    with Ending(core, opened.id) as ending:
        bundle = refs.deleted(id)
        labels = dropped_labels(log, id)
        _ensure_whole(core, [bundle], opened, f"bundle {id}")

        def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
            ensure_session_open(log, opened.session)
            if refs.deleted(id).root != bundle.root:
                raise Conflict(f"bundle {id} was redacted in the meantime", "run the same command again")
            taken = head.state.labels.keys() | head.state.branches.keys()
            back = (SetLabel(name, id, check=True) for name in labels if name not in taken)
            return (RestoreBundle(bundle, refs.newest(besides=id)), *back)

        with ending.committing():
            log.append(decide)
        return bundle


def restore_repo(core: Core, repo: RepoEntry, name: str) -> RepoEntry:
    """Restore a deleted repo, with all bundles that it had, under a free name.

    Raises:
        AlreadyExists: the name is taken, or the repo is not deleted.
        Refused: gc has deleted what one of its bundles needs, or is about to.
    """
    log = store_log(core)
    opened = open_store_session(core, "undelete")
    with Ending(core, opened.id) as ending:
        bundles = Refs(repo_log(core, repo.id), repo.name).bundles()
        _ensure_whole(core, bundles, opened, f"repo {repo.name}")

        def decide(head: Head[StoreState]) -> tuple[StoreOp, ...]:
            ensure_session_open(log, opened.session)
            return (RestoreRepo(repo.id, name),)

        with ending.committing():
            return log.append(decide).state.repos[repo.id]


def _ensure_whole(core: Core, bundles: list[BundleRecord], opened: Open, what: str) -> None:
    try:
        is_whole = _Whole(core, bundles, opened).holds()
    except Corrupt:
        is_whole = False
    if not is_whole:
        raise Refused(f"{what} can't be restored: gc has deleted objects that it needs, or is about to")


class _Whole:
    """Checks that everything that some bundles need is in the store and not condemned."""

    def __init__(self, core: Core, bundles: list[BundleRecord], opened: Open) -> None:
        # What gc has deleted is not damage, so no notes may be written about it.
        self._core = core = replace(core, may_note=False)
        self._bundles = bundles
        self._opened = opened
        self._nodes = Nodes(core)
        self._reach = Reach(self._nodes)
        self._reach.add(BundleRoots(bundles, []))

    def holds(self) -> bool:
        """True if everything is there. Raises Corrupt if something can't be read."""
        dead = self._opened.avoid_packs | {object_id(key) for key in self._opened.dead_objects}
        if self._reach.seen & self._opened.dead_nodes or self._reach.packs.keys() & dead:
            return False
        if self._missing(sorted(self._reach.seen), keys.node):
            return False
        objects = {object_id(stat.key) for stat in self._core.backend.list(keys.OBJECTS)}
        gone = self._missing(sorted(self._reach.packs.keys() - objects), keys.pack)
        return not gone or self._were_moved(frozenset(gone))

    def _missing(self, ids: list[bytes], key: Callable[[bytes], str]) -> list[bytes]:
        stats = self._core.io.map(lambda id: self._core.backend.stat(key(id)), ids)
        return [id for id, stat in zip(ids, stats, strict=True) if stat is None]

    def _were_moved(self, gone: frozenset[bytes]) -> bool:
        """True if every needed chunk of packs that are gone was copied elsewhere, and its new pack is not condemned."""
        forwards = load_forwards(self._core)
        if forwards.targets(gone) & self._opened.avoid_packs:
            return False
        contents = Contents(self._core)
        needed, _ = needed_chunks(self._core, self._nodes, contents, self._bundles, gone, forwards=forwards)
        return all(
            needed[pack] and all(self._is_there(forwards, pack, offset) for offset in needed[pack]) for pack in gone
        )

    def _is_there(self, forwards: Forwards, pack: bytes, offset: int) -> bool:
        try:
            place = forwards.follow(pack, offset)
        except NotFound:
            return False
        return place is None or self._core.backend.stat(keys.pack(place[0])) is not None
