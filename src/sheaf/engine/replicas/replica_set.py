"""The replicas of one store, and the order of steps in which they are added, updated, removed and promoted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import store_log
from sheaf.engine.replicas.catchup import Caught, Far, Plain, catch_up
from sheaf.engine.replicas.members import POLICIES
from sheaf.engine.replicas.object_kinds import replica_id
from sheaf.engine.replicas.promotion import hand_over, note_behind, promote_alone
from sheaf.engine.replicas.replica_records import (
    copied_up_to,
    copy_log,
    copy_of,
    is_copy,
    newest_common_record,
    state_of,
)
from sheaf.engine.replicas.replicated_backend import ReplicatedBackend, ensure_primary
from sheaf.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused, SheafError, Unavailable
from sheaf.format import keys
from sheaf.model.records import SetReplicas, StoreState
from sheaf.storage.port import Backend

__all__ = ["Policy", "Promoted", "ReplicaInfo", "ReplicaSet"]

Policy = Literal["all", "majority", "primary"]
OnCopied = Callable[[Far], None]


def _quiet(far: Far) -> None:
    """Say nothing of what was copied."""


@dataclass(frozen=True, slots=True)
class ReplicaInfo:
    """One replica. ``state``: ``in step``, ``behind``, ``missing``, ``diverged`` or ``unreachable``; ``why``: the reason.

    ``missing``: its location can be read but contains no copy: a disk that isn't mounted, or an emptied bucket.
    """

    url: str
    state: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Promoted:
    """The result of a promotion. ``unreachable``: locations that could not be asked for commits that only they have."""

    url: str
    epoch: int
    unreachable: tuple[str, ...]


class ReplicaSet:
    """The replicas of a store."""

    def __init__(
        self, core: Core, open_location: Callable[[str], Backend], plain: Plain = lambda backend: backend
    ) -> None:
        """``core``: of the store without its encryption; ``plain`` puts that before a location."""
        backend = core.backend
        self._core = replace(core, backend=backend.inner) if isinstance(backend, ReplicatedBackend) else core
        self._open = open_location
        self._plain = plain

    @property
    def policy(self) -> str:
        """How many replicas must have a commit before it is acknowledged: ``all``, ``majority`` or ``primary``."""
        return self._state().policy or "primary"

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the replicas."""
        return self._state().replicas

    def infos(self) -> list[ReplicaInfo]:
        """Return all replicas with their states; contacts each of them."""
        noted = self._noted()
        return [self._info(url, replica_id(url) in noted) for url in self._state().replicas]

    def add(self, url: str, *, policy: Policy | None = None, on_progress: OnCopied = _quiet) -> Caught:
        """Copy this store to a URL, record it as a replica, and copy what was written in between."""
        self._ensure_primary()
        _check_policy(policy)
        with self._open(url) as backend:
            name = url if "?" in url else backend.url
            if name == self._core.backend.url:
                raise InvalidInput(f"{name} is this store itself", "name another location")
            caught = self._catch_up(backend, name, on_progress)
            note_behind(self._core, (name,), "it was added")
            self._set(lambda state: (*(had for had in state.replicas if had != name), name), policy)
            again = self._catch_up(backend, name, on_progress)
        return Caught(caught.objects + again.objects, caught.bytes + again.bytes, caught.records + again.records)

    def remove(self, url: str) -> None:
        """Stop writing to a replica; its data stays there. Raises NotFound."""
        self._ensure_primary()
        name = self._named(url)
        self._set(lambda state: tuple(had for had in state.replicas if had != name), None)
        for stat in self._core.backend.list(keys.behind(replica_id(name))):
            self._core.backend.delete(stat.key)

    def set_policy(self, policy: Policy) -> None:
        """Set how many replicas must have a commit before it is acknowledged."""
        self._ensure_primary()
        _check_policy(policy)
        self._set(lambda state: state.replicas, policy)

    def replicate(
        self,
        to: str | None = None,
        *,
        prune: bool = False,
        refill: bool = False,
        on_progress: OnCopied = _quiet,
    ) -> dict[str, Caught]:
        """Update one replica, or all; the first one that is unreachable is raised once the others are up to date."""
        self._ensure_primary()
        done: dict[str, Caught] = {}
        lost: Unavailable | None = None
        for url in [self._named(to)] if to else self._state().replicas:
            try:
                with self._open(url) as backend:
                    if not refill:
                        _ensure_copy_exists(backend, url)
                    done[url] = self._catch_up(backend, url, on_progress, prune=prune)
            except Unavailable as error:
                lost = error
        if lost is not None:
            raise lost
        return done

    def promote(self, *, on_progress: OnCopied = _quiet) -> Promoted:
        """Promote this store: together with the old primary if that can be reached, else alone."""
        new, state = self._core, self._state()
        notice = is_copy(new.backend, state.epoch)
        if notice is None:
            raise AlreadyExists(f"{new.backend.url} is already the primary", "nothing to do")
        others = tuple(url for url in state.replicas if url not in (new.backend.url, notice.primary))
        try:
            with self._open(notice.primary) as backend:
                if copy_of(backend) != new.config.id:
                    raise Unavailable(f"there is no longer a store at {notice.primary}")
                old = Core(backend, new.config, new.author, clock=new.clock)
                epoch = hand_over(old, new, (*others, notice.primary), self._plain)
            lost: tuple[str, ...] = ()
        except (Unavailable, InvalidInput):
            epoch, lost = self._alone(others)
            lost = (notice.primary, *lost)
        self._heal(on_progress)
        return Promoted(new.backend.url, epoch, lost)

    def _alone(self, others: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        backends = {url: backend for url in others if (backend := self._reached(url))}
        try:
            epoch = promote_alone(self._core, tuple(backends.values()), others, self._plain)
        finally:
            for backend in backends.values():
                backend.close()
        return epoch, tuple(url for url in others if url not in backends)

    def _reached(self, url: str) -> Backend | None:
        try:
            backend = self._open(url)
            return backend if copy_of(backend) == self._core.config.id else None
        except SheafError:
            return None

    def _heal(self, on_progress: OnCopied) -> None:
        """Bring the new primary's replicas up to date; those that can't be reached follow when they can."""
        for url in self._state().replicas:
            try:
                self.replicate(url, on_progress=on_progress)
            except (Unavailable, Conflict, Refused):
                continue

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _catch_up(self, backend: Backend, url: str, on_progress: OnCopied, *, prune: bool = False) -> Caught:
        return catch_up(self._core, backend, url=url, prune=prune, on_progress=on_progress, plain=self._plain)

    def _state(self) -> StoreState:
        return state_of(self._core)

    def _ensure_primary(self) -> None:
        ensure_primary(self._core.backend, self._state().epoch)

    def _named(self, url: str) -> str:
        known = self._state().replicas
        with self._open(url) as backend:
            for name in (url, backend.url):
                if name in known:
                    return name
        raise NotFound(f"{url} is not a replica of {self._core.backend.url}", "see `sheaf store replica list`")

    def _set(self, urls: Callable[[StoreState], tuple[str, ...]], policy: str | None) -> None:
        """Decided here alone, so that a replica that is lost can be taken off; the others hear of it if they can."""
        head = store_log(self._core).append(
            lambda head: (SetReplicas(urls(head.state), policy or head.state.policy or "primary"),)
        )
        noted = self._noted()
        for url in head.state.replicas:
            if replica_id(url) in noted:
                continue
            try:
                with self._open(url) as backend:
                    if copy_of(backend) == self._core.config.id:
                        copy_log(self._core.backend, backend, keys.STORE_LOG, head.n)
            except SheafError:
                continue

    def _noted(self) -> set[str]:
        return {stat.key.split("/")[1] for stat in self._core.backend.list(keys.BEHIND)}

    def _info(self, url: str, is_behind: bool) -> ReplicaInfo:
        try:
            with self._open(url) as backend:
                if not copy_of(backend):
                    return ReplicaInfo(url, "missing", "no copy of this store found: check that it is mounted")
                last = store_log(self._core).head().n
                if newest_common_record(self._core.backend, backend, keys.STORE_LOG, last) > last:
                    return ReplicaInfo(url, "diverged", "it was promoted")
                is_behind |= any(copied_up_to(backend, base) < n for base, n in self._heads().items())
        except Conflict as error:
            return ReplicaInfo(url, "diverged", error.message)
        except SheafError as error:
            return ReplicaInfo(url, "unreachable", error.message)
        return ReplicaInfo(url, "behind" if is_behind else "in step")

    def _heads(self) -> dict[str, int]:
        backend = self._core.backend
        bases = ["", *(keys.repo(id) for id in self._state().repos)]
        return {base: copied_up_to(backend, base) for base in bases}


def _ensure_copy_exists(backend: Backend, url: str) -> None:
    """A disk that isn't mounted leaves an empty folder: a copy there would fill another disk and be taken for one."""
    if not copy_of(backend):
        raise Unavailable(
            f"{url} no longer contains a copy of this store",
            "check that it is mounted, or pass --refill to copy everything again",
        )


def _check_policy(policy: str | None) -> None:
    if policy not in (None, *POLICIES):
        raise InvalidInput(f"invalid policy '{policy}'", f"choose one of: {', '.join(POLICIES)}")
