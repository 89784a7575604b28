"""Check and repair a store that may be damaged, even if :func:`sheaf.connect` can't open it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from sheaf.engine.clock import Clock, SystemClock
from sheaf.engine.core import Core, open_store
from sheaf.engine.object_cache import Cache, FolderCache, NoCache
from sheaf.engine.objects import get_object
from sheaf.engine.repair.known_replicas import known_replicas
from sheaf.engine.repair.recheck import Recheck
from sheaf.engine.repair.repair_store import Repaired, RepairPlan, repair_store
from sheaf.engine.repair.restore_objects import Keep, Restoration
from sheaf.engine.replicas.object_kinds import replica_id
from sheaf.engine.replicas.replica_records import copy_of
from sheaf.engine.replicas.replica_set import ReplicaSet
from sheaf.engine.replicas.replicated_backend import ReplicatedBackend
from sheaf.errors import Bug, Corrupt, Denied, InvalidInput, NotFound, SheafError, Unavailable
from sheaf.format import keys
from sheaf.format.store_v1 import StoreConfig, decode_config
from sheaf.local_errors import translated
from sheaf.model.records import Author
from sheaf.private_files import make_private_folder, write_private
from sheaf.repo.access.known_replicas_file import recall
from sheaf.repo.access.unlock import Opener
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend
from sheaf.storage.storage_options import StorageOptions
from sheaf.transfer.progress import Progress, count_to

__all__ = ["RepairPlan", "Repaired", "Repairs", "open_repairs"]

_warn = logging.getLogger("sheaf").warning


def open_repairs(
    url: str,
    *,
    options: StorageOptions | None = None,
    cache: Path | None = None,
    author: Author | None = None,
    clock: Clock | None = None,
    others: Callable[[str], StorageOptions] | None = None,
    key: bytes | str | None = None,
    ask: Callable[[str], str] | None = None,
) -> Repairs:
    """Open a possibly damaged store for repair; a context manager. Arguments as for :func:`sheaf.connect`."""

    def opened(url: str) -> Backend:
        return open_backend(url, others(url) if others else options or StorageOptions())

    backend = open_backend(url, options or StorageOptions())
    unlock = Opener(url, options or StorageOptions(), key, ask)
    return Repairs(backend, opened, cache=cache, author=author, clock=clock, unlock=unlock)


class Repairs:
    """A store opened for repair. Its replicas are opened when needed."""

    def __init__(
        self,
        backend: Backend,
        open_location: Callable[[str], Backend],
        *,
        cache: Path | None = None,
        author: Author | None = None,
        clock: Clock | None = None,
        unlock: Opener | None = None,
    ) -> None:
        self._backend = backend
        self._unlock = unlock or Opener()
        self._plain: Callable[[Backend], Backend] = _as_it_is
        self._open = open_location
        self._cache = cache
        self._author = author or Author()
        self._clock = clock or SystemClock()
        self._stack = ExitStack()
        self._core: Core | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        if self._core is not None:
            self._core.close()
        else:
            self._backend.close()

    # -- what there is to do -------------------------------------------------------------------------------------------

    def repair(self, plan: RepairPlan, *, read_data: float = 0.0, progress: Progress | None = None) -> Repaired:
        """Check the store, run the steps of ``plan``, and check it again. An interrupted repair can be run again.

        Args:
            read_data: the part of all packs to read, as for :meth:`sheaf.Store.check`.

        Raises:
            NotFound: there is no store, or no replica to fetch from.
            Refused: the store is a replica, and the plan contains more than fetching; or a source is itself a primary.
            Corrupt: the store's log can't be read, and no step of the plan repairs it.
        """
        sources = self._sources(plan.from_replica) if plan.from_replica is not None else []
        restoration = self._begun(sources, plan)
        look = Recheck(restoration.core, self._checks(restoration.core.config), read_data, count_to(progress))
        return repair_store(restoration, look, plan, self, _warn)

    # -- the store -----------------------------------------------------------------------------------------------------

    def _begun(self, sources: list[Backend], plan: RepairPlan) -> Restoration:
        """Without ``sheaf.json`` nothing works. A place without any log is no damaged store, but another place."""
        keep = _kept_in(plan.keep) if plan.keep else lambda key, data: None
        is_lost = False
        try:
            config = open_store(self._backend)
        except (Corrupt, NotFound):
            if not sources or self._backend.newest("log/") is None:
                raise
            config, is_lost = decode_config(get_object(sources[0], keys.CONFIG)), True
        for source in sources:
            if copy_of(source) != config.id:
                raise InvalidInput(f"{source.url} contains another store", "name a replica of this store")
        self._plain = self._decrypted([self._backend, *sources], config)
        self._core = Core(self._plain(self._backend), config, self._author, clock=self._clock, may_note=not plan.is_dry)
        restoration = Restoration(self._core, list(map(self._plain, sources)), keep, plan.is_dry)
        lost = [keys.CONFIG] if is_lost else []
        if config.is_encrypted and not any(self._backend.list(keys.SLOTS)):  # else one that is missing was removed
            lost += [stat.key for source in sources for stat in source.list(keys.SLOTS)]
        for key in lost:
            restoration.restore(key)
        return restoration

    def _decrypted(self, backends: list[Backend], config: StoreConfig) -> Callable[[Backend], Backend]:
        """What stands before a place of the store. The key's slots may be lost in one of them, too."""
        for at, backend in enumerate(backends, 1):
            try:
                opened = self._unlock.open(backend, config)
                return opened.backend.over if opened else _as_it_is
            except (Corrupt, Denied):
                if at == len(backends):
                    raise
        raise Bug("a store in no place")

    def _checks(self, config: StoreConfig) -> Cache:
        if self._cache is None:
            return NoCache()
        return FolderCache(self._cache / "checks" / f"{config.id}-{replica_id(self._backend.url)}")

    # -- replicas ------------------------------------------------------------------------------------------------------

    def _sources(self, url: str) -> list[Backend]:
        """The copies to fetch from, those that can't be reached left out. Raises NotFound if there is none."""
        urls = [url] if url else self._replicas()
        if not urls:
            raise NotFound(f"no known replica of {self._backend.url}", "name one with --from-replica=URL")
        found, lost = [], ""
        for name in urls:
            try:
                backend = self._stack.enter_context(self._open(name))
                if not copy_of(backend):
                    raise NotFound(f"there is no store at {name}")
                found.append(backend)
            except SheafError as error:
                lost = lost or error.message
        if not found:
            raise Unavailable(f"can't read any replica: {lost}", "try again later")
        return found

    def _replicas(self) -> list[str]:
        known = known_replicas(self._backend)
        return list(recall(self._cache, self._backend.url)) if known is None else known

    def with_replicas(self, core: Core) -> Core:
        """Return the same store, with replicas that receive what is written."""
        whole = ReplicatedBackend(self._backend, self._open, core.config, core.clock, _warn)
        self._stack.callback(whole.close)
        return Core(self._plain(whole), core.config, core.author, clock=core.clock, io=core.io, cpu=core.cpu)

    def replicas(self, core: Core) -> ReplicaSet:
        """Return the replicas themselves."""
        return ReplicaSet(replace(core, backend=self._backend), self._open, self._plain)


def _as_it_is(backend: Backend) -> Backend:
    return backend


def _kept_in(folder: Path) -> Keep:
    def keep(key: str, data: bytes) -> None:
        file = folder / key
        with translated(f"keep {key} in {folder}"):
            make_private_folder(file.parent)
            write_private(file, data)

    return keep
