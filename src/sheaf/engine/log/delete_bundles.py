"""Delete bundles: one, or all but some."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sheaf.engine.log.record_log import Head, Log
from sheaf.engine.log.resolve import Refs
from sheaf.errors import InvalidInput
from sheaf.model.records import BundleRecord, DeleteBundle, RepoOp, RepoState, SetLabel

__all__ = ["Retain", "Surplus", "delete_bundle", "squash", "surplus"]

_AT_ONCE = 500  # bundles deleted by one record
_SEMVER = re.compile(
    r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*)?(\+[\dA-Za-z-]+(\.[\dA-Za-z-]+)*)?"
)


def delete_bundle(log: Log[RepoState, RepoOp], refs: Refs, bundle: BundleRecord) -> None:
    """Delete a bundle. Raises Conflict if a label or branch points to it, NotFound if it was already deleted."""
    log.append(lambda head: _deletion(refs, head.state, [bundle]))


@dataclass(frozen=True, slots=True)
class Surplus:
    """What a squash deletes: the ids of bundles, and the labels that point to them."""

    bundles: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __add__(self, other: Surplus) -> Surplus:
        return Surplus(self.bundles + other.bundles, self.labels + other.labels)


@dataclass(frozen=True, slots=True)
class Retain:
    """What a squash keeps: ``latest`` bundles, with ``tags`` those with labels, or with ``semver_tags`` like ``v1.2.0``."""

    latest: int = 1
    tags: bool = False
    semver_tags: bool = False

    def __post_init__(self) -> None:
        if self.latest < 1:
            raise InvalidInput("at least one bundle must be kept", "to delete all bundles, delete the repo")


def surplus(log: Log[RepoState, RepoOp], refs: Refs, retain: Retain) -> Surplus:
    """Return what a squash would delete."""
    state = log.head().state
    return _with_labels(state, _surplus(refs, state, retain))


def squash(log: Log[RepoState, RepoOp], refs: Refs, retain: Retain) -> Surplus:
    """Delete all bundles but those to keep, and the labels of deleted ones. Returns what was deleted."""
    deleted = Surplus()
    while _surplus(refs, log.head().state, retain):
        step = Surplus()

        def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
            nonlocal step
            going = _surplus(refs, head.state, retain)[:_AT_ONCE]
            step = _with_labels(head.state, going)
            return _deletion(refs, head.state, going, labels=True)

        log.append(decide)
        deleted += step
    return deleted


def _surplus(refs: Refs, state: RepoState, retain: Retain) -> list[BundleRecord]:
    bundles = refs.bundles()
    kept = {bundle.id for bundle in bundles[-retain.latest :]}
    kept |= {target.bundle for target in state.branches.values()}
    for name, target in state.labels.items():
        if retain.tags or (retain.semver_tags and _SEMVER.fullmatch(name)):
            kept.add(target.bundle)
    return [bundle for bundle in bundles if bundle.id not in kept]


def _with_labels(state: RepoState, bundles: list[BundleRecord]) -> Surplus:
    gone = {bundle.id for bundle in bundles}
    labels = (name for name, target in sorted(state.labels.items()) if target.bundle in gone)
    return Surplus(tuple(bundle.id for bundle in bundles), tuple(labels))


def _deletion(refs: Refs, state: RepoState, bundles: list[BundleRecord], *, labels: bool = False) -> tuple[RepoOp, ...]:
    """The operations that delete bundles which are there now, with ``labels`` what names them too."""
    gone = frozenset(refs.get(bundle.id).id for bundle in bundles)
    latest = refs.newest(without=gone) if state.latest in gone else None
    named = [name for name, target in state.labels.items() if labels and target.bundle in gone]
    deletions = (DeleteBundle(id, latest if id == state.latest else None) for id in sorted(gone))
    return (*(SetLabel(name, None) for name in named), *deletions)
