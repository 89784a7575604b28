"""Wait until a label appears or a branch moves: ask the log again and again, in growing pauses, one request each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from sheaf.engine.context import Connected, Context
from sheaf.errors import InvalidInput, NotFound, Unavailable
from sheaf.model.names import check_ref_name, check_repo_name
from sheaf.model.records import BundleRecord, RepoEntry, RepoState
from sheaf.transfer.progress import Meter, Progress

__all__ = ["Polling", "TimedOut", "wait_for", "wait_for_bundle"]

_SHARE: Final = 0.1  # of the time waited so far: the answer is late by this part of it at most
_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 30.0
_PER_LOOK: Final = 10  # questions to the repo's log for each look whether the repo still exists

T = TypeVar("T")


class TimedOut(Unavailable):
    """What was waited for did not happen in time."""

    kind = "timed-out"


@dataclass(slots=True)
class Polling:
    """Pauses between questions, until ``timeout`` seconds are over; None: no limit. The first question has no pause."""

    timeout: float | None = None
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout >= 0:
            raise InvalidInput(f"invalid timeout {self.timeout}", "use a number of seconds, 0 or more")
        self._began = self.now()

    def until(self, look: Callable[[], T | None], what: str, meter: Meter) -> T:
        """Return the first answer that is not None. Raises TimedOut; ``what`` says what did not happen."""
        while (found := look()) is None:
            self._pause(what, meter)
        return found

    def _pause(self, what: str, meter: Meter) -> None:
        waited = self.now() - self._began
        pause = min(max(_SHARE * waited, _SHORTEST_S), _LONGEST_S)
        if self.timeout is not None:
            left = self.timeout - waited
            if left <= 0:
                raise TimedOut(f"timed out after {self.timeout:g} s: {what}", "wait longer with a greater timeout")
            pause = min(pause, left)  # so that the last question comes at the very end
        meter.add_file()  # before the pause, so that the progress shows it at once
        self.sleep(pause)


def wait_for(
    store: Connected,
    repo: str,
    *,
    label: str | None = None,
    branch: str | None = None,
    after: str | None = None,
    polling: Polling,
    progress: Progress | None = None,
) -> BundleRecord:
    """As :func:`wait_for_bundle`, in a repo that need not exist yet."""
    _check_choice(label, branch, after)
    find = partial(_find, store, check_repo_name(repo))
    entry = polling.until(find, f"repo {repo} does not exist", Meter(progress, "wait"))
    choice = {"label": label, "branch": branch, "after": after}
    return wait_for_bundle(Context(store, entry), **choice, polling=polling, progress=progress)


def _find(store: Connected, repo: str) -> RepoEntry | None:
    return store.log.head().state.find(repo)


def wait_for_bundle(
    context: Context,
    *,
    label: str | None = None,
    branch: str | None = None,
    after: str | None = None,
    polling: Polling,
    progress: Progress | None = None,
) -> BundleRecord:
    """Return the bundle of a label once it exists, or of a branch once it has moved beyond ``after``, a ref.

    Raises:
        InvalidInput: neither a label nor a branch is named, or both.
        NotFound: ``after`` does not exist, or the repo was deleted in the meantime.
        TimedOut: it did not happen in time.
    """
    _check_choice(label, branch, after)
    old = _id_of(context, after) if after is not None else ""
    repo, asked, meter = context.entry.name, 0, Meter(progress, "wait")

    def look() -> BundleRecord | None:
        nonlocal asked
        asked += 1
        if asked % _PER_LOOK == 0:
            _ensure_exists(context)
        state = context.log.head().state
        id = _moved_to(context, state, branch, old) if branch else _labelled(state, label)
        return _readable(context, state, id, branch or label or "") if id else None

    if branch is None:
        return polling.until(look, f"label '{label}' of repo {repo} does not exist", meter)
    beyond = f"branch '{branch}' of repo {repo} has not moved beyond {old}" if old else ""
    return polling.until(look, beyond or f"branch '{branch}' of repo {repo} does not exist", meter)


def _check_choice(label: str | None, branch: str | None, after: str | None) -> None:
    """Raises InvalidInput."""
    name = branch if label is None else label
    if name is None or None not in (label, branch):
        raise InvalidInput("wait requires a label or a branch", "pass --label LABEL, or --branch BRANCH")
    if after is not None and branch is None:
        raise InvalidInput("a label has no bundle to wait after", "pass --branch BRANCH with --after, or only --label")
    check_ref_name(name)  # one that no ref can have would never appear


def _id_of(context: Context, ref: str) -> str:
    """The id of a bundle, also of a deleted one: to wait for the one after it makes sense all the same."""
    try:
        return context.refs.resolve(ref, even_quarantined=True).id
    except NotFound:
        if ref.removeprefix("bundle:") in context.refs.ever():
            return ref.removeprefix("bundle:")
        raise


def _labelled(state: RepoState, label: str | None) -> str | None:
    at = state.labels.get(label or "")
    return at.bundle if at else None


def _moved_to(context: Context, state: RepoState, branch: str, old: str) -> str | None:
    """The head of a branch if it is beyond a bundle: neither this bundle, nor one of its ancestors after a move back."""
    at = state.branches.get(branch)
    if at is None or at.bundle == old:
        return None
    if not old:
        return at.bundle
    head = state.bundles.get(at.bundle)
    if head is not None and old in head.parents:  # what a commit does: no history to walk
        return at.bundle
    earlier = context.refs.history(context.refs.ever()[old])
    return None if any(bundle.id == at.bundle for bundle in earlier) else at.bundle


def _readable(context: Context, state: RepoState, id: str, name: str) -> BundleRecord:
    bundle = state.bundles.get(id) or context.refs.get(id)
    context.refs.ensure_not_quarantined(bundle, name)
    return bundle


def _ensure_exists(context: Context) -> None:
    entry = context.store.log.head().state.repos.get(context.entry.id)
    if entry is None or entry.deleted:
        raise NotFound(f"repo {context.entry.name} was deleted in the meantime", "see `sheaf repo list`")
