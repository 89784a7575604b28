"""Bring a replica up to date, in an order that leaves it a consistent older state of the store at any moment.

One round: see which generations of gc have ended, read the heads of all logs, copy the missing objects (objects that are
referenced before those that reference them), then the records up to these heads, then delete what gc deleted. If
anything was removed from the store in the meantime, the heads may need objects that are already deleted: then another
round follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Log, repo_log, store_log
from sheaf.engine.objects import get_object, get_stored
from sheaf.engine.replicas.object_kinds import LOCAL, ObjectKind, kind_of, replica_id
from sheaf.engine.replicas.replica_records import copy_log, copy_of, end_epoch, newest_common_record, state_of
from sheaf.errors import Corrupt, NotFound, Refused
from sheaf.fork import Threads
from sheaf.format import keys
from sheaf.format.record_v1 import PAGE_RECORDS
from sheaf.format.session_v1 import decode_condemned
from sheaf.model.records import (
    AddBundle,
    BringBack,
    CreateRepo,
    MoveBranch,
    Promote,
    RenameRepo,
    SetAside,
    SetFeatures,
    SetLabel,
    SetReplicas,
    VoidSession,
)
from sheaf.storage.emptiness import foreign_in
from sheaf.storage.port import Backend, Stat, Unfinished

__all__ = ["Caught", "Far", "Plain", "catch_up"]

Plain = Callable[[Backend], Backend]  #: wraps a location so that encrypted objects can be read
_AT_ONCE = 4  # objects that are copied at the same time; limits memory to as many packs
_BATCH = 256
_LOCAL = tuple(folder.rstrip("/") for folder in LOCAL)
#: Operations that don't allow gc to delete anything that was needed before them.
_ADDS = (
    AddBundle,
    BringBack,
    CreateRepo,
    MoveBranch,
    Promote,
    RenameRepo,
    SetAside,
    SetFeatures,
    SetLabel,
    SetReplicas,
    VoidSession,
)


@dataclass(slots=True)
class Caught:
    """The work of a catch-up. ``kept``: number of objects that only the replica has, and that no known gc deleted.

    ``unfinished``: leftovers of writes in the replica, outside of all keys; those of killed writers were removed.
    """

    objects: int = 0
    bytes: int = 0
    records: int = 0
    deleted: int = 0
    kept: int = 0
    unfinished: list[Unfinished] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Far:
    """The progress of a round, in objects and bytes."""

    objects: int
    objects_total: int
    bytes: int
    bytes_total: int


def catch_up(
    source: Core,
    target: Backend,
    *,
    url: str | None = None,
    is_promotion: bool = False,
    prune: bool = False,
    on_progress: Callable[[Far], None] = lambda far: None,
    plain: Plain = lambda backend: backend,
) -> Caught:
    """Bring ``target`` up to date with ``source``. May be interrupted at any moment and called again.

    Args:
        url: the replica's name in the log of ``source``; default: the target's own URL.
        takes_over: the target becomes the primary, so it gets no note that it is a copy in the source's epoch.
        prune: delete everything from the target that the source does not have, not only what gc is known to have deleted.
        plain: decrypts a location for readers with the store's key; objects themselves are copied as they are stored.

    Raises:
        Conflict: the target has diverged. Refused: it was promoted, or contains another store.
        Corrupt: an object differs in size in the two locations, or is damaged.
    """
    work = _CatchUp(source, target, replica_id(url or target.url), prune, on_progress, plain)
    work.begin(is_promotion)
    while not work.round():
        pass
    return work.caught


class _CatchUp:
    def __init__(
        self, source: Core, target: Backend, id: str, prune: bool, on_progress: Callable[[Far], None], plain: Plain
    ) -> None:
        self._core, self._source, self._target = source, source.backend, target
        self._id, self._prune, self._on_progress, self._plain = id, prune, on_progress, plain
        self.caught = Caught()

    def begin(self, is_promotion: bool) -> None:
        """Ensure that the target is, or becomes, a copy of this store that accepts no other writes. Raises Refused."""
        held, epoch = copy_of(self._target), state_of(self._core).epoch
        if not held and (foreign := foreign_in(self._target, _LOCAL)):
            raise Refused(f"{self._target.url} is not empty: it contains '{foreign}'", "choose an empty location")
        if held not in ("", self._core.config.id):
            raise Refused(f"{self._target.url} contains another store ({held})", "choose an empty location")
        if held and state_of(Core(self._target, self._core.config)).epoch > epoch:
            raise Refused(f"{self._target.url} was promoted and is the primary now", f"use --store {self._target.url}")
        if not is_promotion:
            end_epoch(self._target, epoch, self._source.url, self._core.now())
        self._target.create(keys.CONFIG, get_object(self._source, keys.CONFIG))

    def round(self) -> bool:
        """Do one round; return False if the target lacks objects that the heads read at its start need."""
        notes = [stat.key for stat in self._source.list(keys.behind(self._id))]
        over = self._ended_generations()
        heads = self._heads()
        for log, last in heads.items():
            newest_common_record(self._source, self._target, log, last)
        missing, extra = self._compare()
        if not self._copy_all(missing) or self._has_shrunk(heads):
            return False
        for base, last in heads.items():
            self.caught.records += copy_log(self._source, self._target, base, last)
        for page in missing[ObjectKind.PAGE]:
            self._copy_page(page, heads)
        self._clean(over, extra)
        self.caught.unfinished = list(self._target.unfinished(remove=True))
        for key in notes:
            self._source.delete(key)
        return True

    # -- comparing -----------------------------------------------------------------------------------------------------

    def _ended_generations(self) -> list[str]:
        """The generations that the target has and that have ended in the source, which has deleted what they list."""
        here = [stat.key for stat in self._target.list(keys.CONDEMNED)]
        going_on = {stat.key for stat in self._source.list(keys.CONDEMNED)} if here else set()
        return [key for key in here if key not in going_on]

    def _logs(self) -> dict[str, Log[Any, Any]]:
        """The logs of all repos, and then the store's own: it contains promotions, which must be copied last."""
        repos = state_of(self._core).repos
        return {keys.repo(id): repo_log(self._core, id) for id in repos} | {keys.STORE_LOG: store_log(self._core)}

    def _heads(self) -> dict[str, int]:
        return {base: log.head().n for base, log in self._logs().items()}

    def _has_shrunk(self, heads: dict[str, int]) -> bool:
        """True if a record since ``heads`` may have allowed gc to delete something."""
        for base, log in self._logs().items():
            if base in heads and log.head().n > heads[base]:
                ops = (op for record in log.records(heads[base] + 1) for op in record.ops)
                if not all(isinstance(op, _ADDS) for op in ops):
                    return True
        return False

    def _compare(self) -> tuple[dict[ObjectKind, list[Stat]], list[str]]:
        """The objects that the target lacks, by kind, and the keys that only it has. Raises Corrupt if sizes differ."""
        missing: dict[ObjectKind, list[Stat]] = {kind: [] for kind in ObjectKind}
        extra: list[str] = []
        theirs = _objects(self._target)
        other = next(theirs, None)
        for stat in _objects(self._source):
            while other is not None and other.key < stat.key:
                extra.append(other.key)
                other = next(theirs, None)
            if other is None or other.key != stat.key:
                missing[kind_of(stat.key)].append(stat)
                continue
            if other.size != stat.size:
                raise Corrupt(
                    f"{stat.key} differs in {self._source.url} and {self._target.url}",
                    "run `sheaf store check` on both",
                )
            other = next(theirs, None)
        while other is not None:
            extra.append(other.key)
            other = next(theirs, None)
        return missing, extra

    # -- copying -------------------------------------------------------------------------------------------------------

    def _copy_all(self, missing: dict[ObjectKind, list[Stat]]) -> bool:
        total = [stat for kind in (ObjectKind.DATA, ObjectKind.NODE, ObjectKind.LINK) for stat in missing[kind]]
        size, done, so_far, is_whole = sum(stat.size for stat in total), 0, 0, True
        with Threads(_AT_ONCE, thread_name_prefix="sheaf-replicate") as pool:
            for kind in (ObjectKind.DATA, ObjectKind.NODE, ObjectKind.LINK):
                for batch in _batches(missing[kind]):
                    for stat, was_there in zip(batch, pool.map(self._copy, batch), strict=True):
                        is_whole &= was_there
                        done, so_far = done + 1, so_far + stat.size
                        self._on_progress(Far(done, len(total), so_far, size))
        return is_whole

    def _copy(self, stat: Stat) -> bool:
        """Copy an object. Return False if the source has lost one that may be needed."""
        try:
            data = get_stored(self._source, stat.key)
        except NotFound:
            return kind_of(stat.key) is ObjectKind.LINK or stat.key.startswith((keys.SESSIONS, keys.CONDEMNED))
        self._target.create(stat.key, data)
        self.caught.objects += 1
        self.caught.bytes += len(data)
        return True

    def _copy_page(self, page: Stat, heads: dict[str, int]) -> None:
        base, _, digits = page.key.rpartition("pages/")
        if (10**12 - int(digits)) * PAGE_RECORDS - 1 <= heads.get(base, -1):
            self._copy(page)

    # -- deleting ------------------------------------------------------------------------------------------------------

    def _clean(self, over: list[str], extra: list[str]) -> None:
        """Delete what gc deleted, and merged or ended objects; the index first, since it names packs."""
        lists = self._plain(self._target)
        dead = {key for generation in over for key in _listed(generation, get_object(lists, generation))}
        local = {key for key in extra if key.startswith((keys.INDEX, keys.SESSIONS, keys.SLOTS))}
        doomed = {key for key in extra if self._prune or key in dead} | local
        doomed -= {key for key in extra if kind_of(key) is ObjectKind.RECORD or key in over}
        for key in sorted(doomed, key=lambda key: (not key.startswith(keys.INDEX), key)):
            # A listing may be late, so make sure that the source does not have it.
            if self._source.stat(key) is None:
                self._target.delete(key)
                self.caught.deleted += 1
        for key in over:
            self._target.delete(key)
        self.caught.kept = len([key for key in extra if key not in doomed and key not in over])


def _objects(backend: Backend) -> Iterator[Stat]:
    """Yield the objects that are copied by comparison, in order of their keys."""
    for stat in backend.list(sort=True):
        if stat.key != keys.CONFIG and kind_of(stat.key) not in (ObjectKind.RECORD, ObjectKind.LOCAL):
            yield stat


def _batches(stats: list[Stat]) -> Iterator[list[Stat]]:
    return (stats[at : at + _BATCH] for at in range(0, len(stats), _BATCH))


def _listed(generation: str, data: bytes) -> Iterator[str]:
    condemned = decode_condemned(data, generation)
    yield from map(keys.pack, condemned.dead_packs | condemned.moving_packs)
    yield from map(keys.node, condemned.dead_nodes)
    yield from condemned.objects
