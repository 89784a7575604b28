"""An open store: what every part of the engine works with."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from msgspec import Struct, field

from sheaf.engine.clock import Clock, SystemClock, rfc3339
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.engine.object_cache import Cache, NoCache
from sheaf.engine.objects import get_object
from sheaf.errors import AlreadyExists, Bug, Corrupt, NotFound, Refused, Unsupported
from sheaf.fork import Threads
from sheaf.format import keys
from sheaf.format.limits import ensure_fits
from sheaf.format.store_v1 import NEW_STORE_CHUNKER, StoreConfig, decode_config, encode_config
from sheaf.model.records import Author
from sheaf.storage.emptiness import foreign_in
from sheaf.storage.port import Backend, Buffer, Created

__all__ = ["Core", "LostConfig", "create_store", "ensure_no_store", "ensure_unused", "host", "open_store"]

_IO_THREADS = 32
_TRIED = ("probe", "keys")  # what an interrupted probe, or the interrupted creation of an encrypted store, has left
_MEND = "run `sheaf store repair --from-replica=URL`, or restore it from a backup"
P = ParamSpec("P")
T = TypeVar("T")


class LostConfig(NotFound):
    """A location contains a store, but its ``sheaf.json`` is missing."""


class _Threads(Threads):
    """Threads whose error after their end explains to the user what it means."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            raise Refused("the store is closed", "connect to it again, or close it later") from error


def _threads(count: int, name: str) -> Threads:
    return _Threads(count, thread_name_prefix=name)


class Core(Struct, frozen=True):
    """A store and the means to work on it. Safe to share between threads.

    ``io`` runs single calls of the backend; a task in it never waits for another one. ``cpu`` runs hashing and
    compression, and may wait for ``io``. ``noted``: keys of objects that were found damaged, see
    :mod:`sheaf.engine.sessions.damage`; ``may_note``: True if damage notes may be written to the store.
    """

    backend: Backend
    config: StoreConfig
    author: Author = field(default_factory=Author)
    cache: Cache = field(default_factory=NoCache)
    clock: Clock = field(default_factory=SystemClock)
    workers: int = os.cpu_count() or 2
    io: Threads = field(default_factory=lambda: _threads(_IO_THREADS, "sheaf-io"))
    cpu: Threads = field(default_factory=lambda: _threads(os.cpu_count() or 2, "sheaf-cpu"))
    noted: set[str] = field(default_factory=set)
    may_note: bool = True
    limits: Limits = DEFAULT

    def now(self) -> str:
        """Return the current time in the format of records."""
        return rfc3339(self.clock.now_ns())

    def load(self, key: str, decode: Callable[[bytes], T]) -> T:
        """Return a whole immutable object, decoded and thus verified, from the cache or the store. Raises NotFound."""
        kept = self.cache.get(key)
        if kept is not None:
            try:
                return decode(kept)
            except (Corrupt, Unsupported):
                # A flipped bit may look like a newer version.
                self.cache.drop(key)
        data = get_object(self.backend, key)
        value = decode(data)
        self.cache.put(key, data)
        return value

    def create(self, key: str, data: Buffer) -> None:
        """Write an object whose name no other process can have chosen. Raises Refused if it is too large for its kind."""
        ensure_fits(key, memoryview(data).nbytes)
        if self.backend.create(key, data) is Created.OTHER:
            raise Bug(f"{key} already exists with different bytes")

    def close(self) -> None:
        """Stop the threads and close the backend."""
        self.cpu.shutdown()
        self.io.shutdown()
        self.backend.close()


def host() -> str:
    """Return this machine's name, shown with sessions."""
    import socket  # only sessions name the machine

    return socket.gethostname()


def ensure_no_store(backend: Backend) -> None:
    """Raise AlreadyExists if the location contains a store."""
    if backend.stat(keys.CONFIG) is not None:
        raise AlreadyExists(f"a store already exists at {backend.url}", "use it as it is, or choose another location")


def create_store(backend: Backend, clock: Clock) -> StoreConfig:
    """Create an empty store. Raises AlreadyExists if there is one, Refused for the remains of one."""
    if backend.newest(f"{keys.STORE_LOG}log/") is not None:
        ensure_no_store(backend)
        raise Refused(f"{backend.url} contains a log without a store", "choose an empty location")
    config = StoreConfig(clock.new_id(), rfc3339(clock.now_ns()), chunker=NEW_STORE_CHUNKER)
    if backend.create(keys.CONFIG, encode_config(config)) is Created.OTHER:
        raise _exists(backend)
    return config


def ensure_unused(backend: Backend) -> None:
    """Raise AlreadyExists if the location contains a store, Refused if it contains anything else."""
    foreign = foreign_in(backend, _TRIED)
    if foreign is None:
        return
    # Asked after the listing, so that a store which another process creates at this moment is found, too.
    if backend.stat(keys.CONFIG) is not None:
        raise _exists(backend)
    raise Refused(f"{backend.url} is not empty: it contains '{foreign}'", "choose an empty location")


def _exists(backend: Backend) -> AlreadyExists:
    return AlreadyExists(f"a store already exists at {backend.url}", "use it as it is, or choose another location")


def open_store(backend: Backend) -> StoreConfig:
    """Read a store's immutable configuration. Raises NotFound (:class:`LostConfig`), Corrupt."""
    try:
        return decode_config(get_object(backend, keys.CONFIG))
    except NotFound:
        if backend.newest(f"{keys.STORE_LOG}log/") is None:
            raise NotFound(
                f"there is no store at {backend.url}",
                f"create one with `sheaf store init {shlex.quote(backend.url)}`, or with sheaf.init(…) in Python",
            ) from None
        raise LostConfig(
            f"{backend.url} contains objects of a store, but its {keys.CONFIG} is missing", _MEND
        ) from None
    except Corrupt as error:
        raise Corrupt(f"{error.message} (at {backend.url})", error.hint or _MEND) from error
