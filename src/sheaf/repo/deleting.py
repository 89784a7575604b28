"""Bundles that go: one by one, or all but some."""

from __future__ import annotations

import re

from sheaf.engine.refs import Refs
from sheaf.errors import InvalidInput
from sheaf.model.log import Bundle, DeleteBundle, RepoOp, RepoState, SetLabel
from sheaf.repo.context import Context

__all__ = ["delete_bundle", "squash"]

_AT_ONCE = 500  # bundles deleted by one record
_SEMVER = re.compile(
    r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*)?(\+[\dA-Za-z-]+(\.[\dA-Za-z-]+)*)?"
)


def delete_bundle(context: Context, bundle: Bundle) -> None:
    """Raises Conflict, naming them, while a label or branch names the bundle; NotFound if it is gone already."""
    context.refuse_writes()
    context.log.append(lambda head: _deletion(context.refs, head.state, [bundle]))


def squash(context: Context, *, retain_latest: int, retain_tags: bool, retain_semver_tags: bool) -> None:
    """Delete all bundles but those to retain, and the labels of those that go."""
    if retain_latest < 1:
        raise InvalidInput("at least one bundle must be retained", "delete the repo to delete them all")
    context.refuse_writes()

    def surplus(state: RepoState) -> list[Bundle]:
        bundles = context.refs.bundles()
        kept = {bundle.id for bundle in bundles[-retain_latest:]}
        kept |= {target.bundle for target in state.branches.values()}
        for name, target in state.labels.items():
            if retain_tags or (retain_semver_tags and _SEMVER.fullmatch(name)):
                kept.add(target.bundle)
        return [bundle for bundle in bundles if bundle.id not in kept]

    while surplus(context.log.head().state):
        context.log.append(
            lambda head: _deletion(context.refs, head.state, surplus(head.state)[:_AT_ONCE], labels=True)
        )


def _deletion(refs: Refs, state: RepoState, bundles: list[Bundle], *, labels: bool = False) -> tuple[RepoOp, ...]:
    """The operations that delete bundles which are there now, with ``labels`` what names them too."""
    gone = frozenset(refs.get(bundle.id).id for bundle in bundles)
    latest = refs.newest(without=gone) if state.latest in gone else None
    named = [name for name, target in state.labels.items() if labels and target.bundle in gone]
    deletions = (DeleteBundle(id, latest if id == state.latest else None) for id in sorted(gone))
    return (*(SetLabel(name, None) for name in named), *deletions)
