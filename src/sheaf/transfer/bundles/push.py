"""Copy the missing bundles, branches and labels of a repo to another store, with their ids.

Bundles are committed in groups, in the order of their commits here, so that an interrupted push leaves whole bundles and
the next one continues after them. Branches and labels are set by the last record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from sheaf.engine.commit.writer import Writer
from sheaf.engine.context import Context
from sheaf.engine.log.ancestry import lineage
from sheaf.engine.log.record_log import Head, repo_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.node_store import pointer_of, root_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.sessions.erasure_notices import erased_contents
from sheaf.errors import Conflict, NotFound, Refused
from sheaf.model.records import AddBundle, BundleRecord, MoveBranch, RepoOp, RepoState, SetLabel
from sheaf.transfer.bundles.copy_bundle import Copier
from sheaf.transfer.progress import Meter, Progress

__all__ = ["PushPlan", "Pushed", "plan_push", "push"]

_log = logging.getLogger("sheaf")
_BUNDLES = 50  # committed by one record
_BYTES = 256 << 20  # or as many as have so many new bytes


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push, or of its dry run. ``repo``: its name in the target; ``bundles``: ids of copied bundles.

    ``branches``, ``labels``: those that moved, with the bundles that they point to now. ``left_out``: ids of bundles that
    were not copied, with the reason. ``new_bytes``: new in the target; ``stored_bytes``: written there.
    """

    repo: str
    bundles: tuple[str, ...] = ()
    branches: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    new_bytes: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What to copy: ``bundles`` in the order of their commits, and the bundles that refs shall point to."""

    bundles: list[BundleRecord]
    branches: dict[str, str]
    labels: dict[str, str]
    left_out: dict[str, str]


def plan_push(
    source: Context, target: Context | None, branches: Sequence[str], labels: Sequence[str], *, force: bool
) -> PushPlan:
    """Compare two repos; by default all branches, labels and bundles. ``target``: None for a new repo.

    Raises:
        NotFound: a branch or label does not exist.
        Conflict: a branch of the target has diverged, or a label points to another bundle (without ``force``).
    """
    state = source.log.head().state
    heads = _chosen("branch", {name: at.bundle for name, at in state.branches.items()}, branches, labels)
    marks = _chosen("label", {name: at.bundle for name, at in state.labels.items()}, labels, branches)
    living = {bundle.id: bundle for bundle in source.refs.bundles()}
    meant = living if not (branches or labels) else lineage(living, *heads.values(), *marks.values())
    there = target.refs.ever() if target else {}
    deleted = {bundle.id for bundle in target.refs.deleted_bundles()} if target else set[str]()
    left_out = {id: f"it is quarantined: {state.aside[id]}" for id in meant if id in state.aside and id not in there}
    left_out |= {id: "it was deleted in the target" for id in meant if id in deleted}
    bundles = [bundle for id, bundle in living.items() if id in meant and id not in there and id not in left_out]
    now = target.log.head().state if target else RepoState()
    usable = {id for id in meant if id not in left_out}
    moved = {name: id for name, id in heads.items() if id in usable and _at(now.branches.get(name)) != id}
    moved = {
        name: id for name, id in moved.items() if not _is_ahead({**living, **there}, _at(now.branches.get(name)), id)
    }
    marked = {name: id for name, id in marks.items() if id in usable and _at(now.labels.get(name)) != id}
    if not force:
        _ensure_forward(now, {**there, **living}, moved, marked)
    now.unshadowed(
        (*(MoveBranch(name, id) for name, id in moved.items()), *(SetLabel(n, id) for n, id in marked.items()))
    )
    return PushPlan(bundles, moved, marked, left_out)


def _chosen(noun: str, there: dict[str, str], wanted: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    if not wanted:
        return {} if others else there
    for name in wanted:
        if name not in there:
            raise NotFound(f'didn\'t find {noun} "{name}"', f"see `sheaf {noun} list`")
    return {name: there[name] for name in wanted}


def _at(target: object) -> str | None:
    return getattr(target, "bundle", None)


def _is_ahead(bundles: dict[str, BundleRecord], now: str | None, wanted: str) -> bool:
    """Whether a branch of the target has gone on from where the source's is."""
    return now is not None and wanted in lineage(bundles, now)


def _ensure_forward(
    now: RepoState, bundles: dict[str, BundleRecord], branches: dict[str, str], labels: dict[str, str]
) -> None:
    for name, id in branches.items():
        at = _at(now.branches.get(name))
        if at is not None and at not in lineage(bundles, id):
            raise Conflict(
                f"branch '{name}' of the target points to bundle {at}, which is not in the history of {id}",
                "pull it first, or pass --force to move it",
            )
    for name, id in labels.items():
        at = _at(now.labels.get(name))
        if at is not None:
            raise Conflict(
                f"label '{name}' points to bundle {at} in the target, to {id} here", "pass --force to move it"
            )


def push(source: Context, target: Context, plan: PushPlan, progress: Progress | None = None) -> Pushed:
    """Copy what a plan contains. If it is interrupted, a new plan contains the rest.

    Raises:
        Corrupt: data is missing or damaged in the source; the bundles before it are in the target.
        Conflict: a ref of the target moved in the meantime, or gc ended the session; run it again.
    """
    target.ensure_writable()
    ensure_own_ids(target, plan.bundles)
    meter = Meter(progress, "push")
    meter.add_total(files=sum(b.root.rows for b in plan.bundles), size=sum(b.root.size for b in plan.bundles))
    run = _Push(source, target, plan, meter, erased_contents(source.core))
    todo = list(plan.bundles)
    while todo:
        todo = run.some(todo)
    run.refs()
    meter.finish()
    done = tuple(bundle.id for bundle in plan.bundles)
    return Pushed(target.entry.name, done, plan.branches, plan.labels, plan.left_out, run.new_bytes, run.stored_bytes)


def ensure_own_ids(target: Context, bundles: Sequence[BundleRecord]) -> None:
    """Raise Refused if another repo of the target has one of these bundles: ids are unique in a store."""
    ids = {bundle.id for bundle in bundles}
    if not ids:
        return
    for repo in target.store.log.head().state.repos.values():
        if repo.id != target.entry.id and (
            twice := ids & Refs(repo_log(target.core, repo.id), repo.name).ever().keys()
        ):
            raise Refused(
                f"bundle {min(twice)} is already in repo '{repo.name}' of {target.core.backend.url}",
                f"push to that repo with --as {repo.name}",
            )


class _NothingLeft(Exception):
    """All of it is in the log already."""


class _Push:
    """One push: ``some`` copies and commits a number of bundles, ``refs`` comes at the end."""

    def __init__(self, source: Context, target: Context, plan: PushPlan, meter: Meter, gone: frozenset[bytes]) -> None:
        self._source, self._target, self._plan, self._meter, self._gone = source, target, plan, meter, gone
        self._planned = target.log.last  # where the refs were when the plan was made
        self.new_bytes = self.stored_bytes = 0

    def some(self, todo: list[BundleRecord]) -> list[BundleRecord]:
        """Copy the first of these bundles in one session; returns those that are left."""
        s, t = self._source, self._target
        made: dict[str, BundleRecord] = {}
        with Writer(t.core, t.nodes, t.log, t.entry.id, "push") as writer:
            sink, dead = writer.store.sink, writer.open.unlisted_packs
            copier = Copier(
                s.core,
                s.nodes,
                t.core,
                writer.store,
                session=writer.open.id,
                dead=dead,
                gone=self._gone,
                meter=self._meter,
            )
            for bundle in todo[:_BUNDLES]:
                root = copier.copy(bundle, self._base(bundle, made, writer.open.dead_nodes))
                made[bundle.id] = replace(bundle, root=root_of(root))
                _log.info("copied bundle %s, %d entries", bundle.id, bundle.root.rows)
                if sink.new_bytes >= _BYTES:
                    break
            self._commit(writer, list(made.values()))
            writer.tidy()
            self.new_bytes += sink.new_bytes
            self.stored_bytes += sink.stored_bytes
        return todo[len(made) :]

    def _base(self, bundle: BundleRecord, made: dict[str, BundleRecord], dead: frozenset[bytes]) -> Tree | None:
        """A bundle of the target that this one is likely to have most in common with."""
        there = self._target.refs.ever()
        gone = {each.id for each in self._target.refs.deleted_bundles()}
        near = [made[id] for id in bundle.parents if id in made] + list(made.values())[-1:]
        near += [there[id] for id in bundle.parents if id in there and id not in gone]
        newest = self._target.refs.newest()
        near += [newest] if newest else []
        aside = self._target.log.last.aside
        chosen = next((each for each in near if each.id not in aside), None)
        if chosen is None or dead:  # beside a gc nothing is taken over by its place alone
            return None
        return Tree(self._target.nodes, pointer_of(chosen.root))

    def _commit(self, writer: Writer, made: list[BundleRecord]) -> None:
        def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
            there = self._target.refs.ever()
            new = tuple(AddBundle(bundle) for bundle in made if bundle.id not in there)
            if not new:
                raise _NothingLeft
            return new

        try:
            writer.append(decide)
        except _NothingLeft:  # another push was faster
            return

    def refs(self) -> None:
        """Move the planned branches and labels. Raises Conflict if one moved in the meantime."""
        if not (self._plan.branches or self._plan.labels):
            return
        planned = self._planned

        def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
            return head.state.unshadowed(tuple(self._moves(head.state, planned)))

        self._target.log.append(decide)

    def _moves(self, state: RepoState, planned: RepoState) -> Iterator[RepoOp]:
        for name, id in self._plan.branches.items():
            target = state.lacking(self._target.refs.get(id))
            yield MoveBranch(name, id, _at(planned.branches.get(name)), target)
        for name, id in self._plan.labels.items():
            target = state.lacking(self._target.refs.get(id))
            yield SetLabel(name, id, _at(planned.labels.get(name)), True, target)
