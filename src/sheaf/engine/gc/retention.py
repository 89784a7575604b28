"""Deleted bundles: which of them gc keeps for a while, and which can't be restored after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sheaf.engine.clock import rfc3339
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.sessions.sessions import condemned_lists
from sheaf.errors import Ambiguous, InvalidInput, NotFound
from sheaf.format import keys
from sheaf.model.ids import parse_hash
from sheaf.model.records import AddBundle, BundleRecord, DeleteBundle, RedactBundle, RepoEntry, RestoreBundle

__all__ = [
    "Gone",
    "find_deleted_repo",
    "gone_bundles",
    "kept_since",
    "lost_with",
    "restorable",
    "restorable_repos",
    "retained",
]


@dataclass(frozen=True, slots=True)
class Gone:
    """A bundle that was deleted, or whose repo was. ``time``: of the first of these deletions, RFC 3339."""

    repo: RepoEntry
    bundle: BundleRecord
    time: str


def kept_since(core: Core, seconds: float) -> str:
    """The moment ``seconds`` ago, RFC 3339: later deletions are kept; empty if none are to be kept."""
    if seconds <= 0:
        return ""
    return rfc3339(max(0, core.clock.now_ns() - int(seconds * 10**9)))


def gone_bundles(core: Core) -> list[Gone]:
    """Return every bundle that is deleted, or whose repo is; the data of some may be deleted, too."""
    return [gone for repo in store_log(core).head().state.repos.values() for gone in _gone_of(core, repo)]


def _gone_of(core: Core, repo: RepoEntry) -> list[Gone]:
    found: dict[str, tuple[BundleRecord, str]] = {}
    for record in repo_log(core, repo.id).records():
        for op in record.ops:
            match op:
                case AddBundle(bundle=bundle) | RestoreBundle(bundle=bundle):
                    found[bundle.id] = bundle, ""
                case RedactBundle(bundle=id) if id in found:
                    found[id] = op.of(found[id][0]), found[id][1]
                case DeleteBundle(bundle=id) if id in found:
                    found[id] = found[id][0], record.time
    times = ((bundle, [time for time in (own, repo.deleted) if time]) for bundle, own in found.values())
    return [Gone(repo, bundle, min(given)) for bundle, given in times if given]


def retained(core: Core, since: str) -> list[BundleRecord]:
    """Return the deleted bundles that gc treats as live with this policy: those deleted at ``since`` or later.

    The times are those of the deleting records. They say how long a mistake can be undone; safety does not depend on them.
    Records never change, so any gc that finishes a generation finds the same bundles, except those that are live again.
    """
    return [gone.bundle for gone in gone_bundles(core) if gone.time >= since] if since else []


def lost_with(core: Core, nodes: Iterable[bytes]) -> list[Gone]:
    """Return the deleted bundles that can't be restored without these nodes.

    A bundle is lost when its root is deleted, and not before: a root that is needed keeps all nodes below it.
    """
    dead = {node.hex() for node in nodes}
    return [gone for gone in gone_bundles(core) if gone.bundle.root.id in dead] if dead else []


def restorable(core: Core, bundles: Sequence[BundleRecord]) -> set[str]:
    """The ids of the bundles whose roots exist and are not condemned, so that gc has not begun to delete them."""
    dead = {node.hex() for entry in condemned_lists(core) for node in entry.dead_nodes}
    roots = sorted({bundle.root.id for bundle in bundles} - dead)
    there = dict(zip(roots, core.io.map(lambda root: _is_node(core, root), roots), strict=True))
    return {bundle.id for bundle in bundles if there.get(bundle.root.id)}


def restorable_repos(core: Core, repos: Sequence[RepoEntry]) -> list[RepoEntry]:
    """Those whose bundles all can be restored: gc has not begun with any of them."""
    bundles = {repo.id: Refs(repo_log(core, repo.id), repo.name).bundles() for repo in repos}
    there = restorable(core, [bundle for held in bundles.values() for bundle in held])
    return [repo for repo in repos if all(bundle.id in there for bundle in bundles[repo.id])]


def find_deleted_repo(core: Core, which: str) -> RepoEntry:
    """The deleted repo with this id, or with this name: of several, the one that can be restored.

    Raises:
        NotFound: there is none.
        Ambiguous: there are several; the message lists their ids.
    """
    repos = store_log(core).head().state.repos.values()
    found = [repo for repo in repos if repo.deleted and which in (repo.id, repo.name)]
    if not found:
        raise NotFound(f'there is no deleted repo "{which}"', "see `sheaf repo undelete`")
    if len(found) > 1:
        found = restorable_repos(core, found) or found
    if len(found) > 1:
        ids = ", ".join(f"{repo.id} (deleted {repo.deleted[:19]}Z)" for repo in found)
        raise Ambiguous(f'{len(found)} deleted repos have the name "{which}"', f"use an id: {ids}")
    return found[0]


def _is_node(core: Core, root: str) -> bool:
    try:
        return core.backend.stat(keys.node(parse_hash(root))) is not None
    except InvalidInput:
        # A descriptor with an invalid id has no root node.
        return False
