"""Create, move and delete labels and branches. Each change is one record, decided again whenever a race is lost."""

from __future__ import annotations

from collections.abc import Callable

from sheaf.engine.log.record_log import Log
from sheaf.engine.log.resolve import Refs
from sheaf.errors import AlreadyExists, NotFound
from sheaf.model.names import check_ref_name
from sheaf.model.records import BundleRecord, MoveBranch, Record, RepoOp, RepoState, SetLabel

__all__ = ["RefUpdates", "label_moves", "no_branch", "no_label"]


def no_branch(repo: str, name: str) -> NotFound:
    """Return the error for a branch that does not exist."""
    return NotFound(f'didn\'t find branch "{name}"', f"see `sheaf branch list --repo {repo}`")


def no_label(repo: str, name: str) -> NotFound:
    """Return the error for a label that does not exist."""
    return NotFound(f'didn\'t find label "{name}"', f"see `sheaf label list --repo {repo}`")


def label_moves(log: Log[RepoState, RepoOp], repo: str, name: str | None, prefix: str) -> list[tuple[Record, SetLabel]]:
    """Return the moves of a label, or of all with a prefix, newest first, each with its record. Raises NotFound."""
    found = [
        (record, op)
        for record in log.records()
        for op in record.ops
        if isinstance(op, SetLabel) and (op.name == name if name else op.name.startswith(prefix))
    ]
    if name and not found:
        raise no_label(repo, name)
    return found[::-1]


class RefUpdates:
    """Changes of the labels and branches of one repo. Each returns the state after it."""

    def __init__(self, log: Log[RepoState, RepoOp], refs: Refs, repo: str) -> None:
        self._log, self._refs, self._repo = log, refs, repo

    def set_label(self, name: str, bundle: BundleRecord, *, expect: str | None, move: bool) -> RepoState:
        """Point a label to a bundle. Raises NotFound, AlreadyExists, Conflict."""
        check_ref_name(name)

        def decide(state: RepoState) -> tuple[RepoOp, ...]:
            wanted, now = expect, state.labels.get(name)
            if not move:
                wanted = now.bundle if now else ""
                if wanted != bundle.id:
                    state.ensure_label_free(name)
            target = state.lacking(self._alive(bundle))
            return (SetLabel(name, bundle.id, wanted or None, wanted is not None, target),)

        return self._append(decide)

    def delete_label(self, name: str) -> None:
        """Delete a label. Raises NotFound."""
        self._append(lambda state: (SetLabel(name, None),))

    def create_branch(self, name: str, bundle: BundleRecord) -> RepoState:
        """Create a branch that points to a bundle. Raises AlreadyExists, NotFound."""

        def decide(state: RepoState) -> tuple[RepoOp, ...]:
            if name in state.branches:
                raise AlreadyExists(
                    f"branch already exists: {name}",
                    f"it points to {state.branches[name].bundle}; choose another name, or delete it first",
                )
            return (MoveBranch(check_ref_name(name), bundle.id, target=state.lacking(self._alive(bundle))),)

        return self._append(decide)

    def set_branch(self, name: str, bundle: BundleRecord, *, expect: str | None) -> RepoState:
        """Point a branch to another bundle. Raises NotFound, Conflict."""

        def decide(state: RepoState) -> tuple[RepoOp, ...]:
            if name not in state.branches:
                raise no_branch(self._repo, name)
            now = state.branches[name].bundle if expect is None else expect
            return (MoveBranch(name, bundle.id, now, target=state.lacking(self._alive(bundle))),)

        return self._append(decide)

    def delete_branch(self, name: str, bundle: str) -> None:
        """Delete a branch that points to this bundle (its id). Raises NotFound, Conflict."""
        self._append(lambda state: (MoveBranch(name, None, bundle),))

    def _append(self, decide: Callable[[RepoState], tuple[RepoOp, ...]]) -> RepoState:
        return self._log.append(lambda head: head.state.unshadowed(decide(head.state))).state

    def _alive(self, bundle: BundleRecord) -> BundleRecord:
        """The bundle, unless it was deleted since it was looked up: then NotFound."""
        return self._refs.get(bundle.id)
