"""The replicas that a store's log names, as one process uses them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Log, store_log
from sheaf.engine.replicas.object_kinds import replica_id
from sheaf.engine.replicas.replica_records import copy_log, copy_of
from sheaf.errors import InvalidInput, Refused, SheafError, Unavailable
from sheaf.fork import Lock
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.records import StoreOp, StoreState
from sheaf.storage.port import Backend, Buffer, Created

__all__ = ["POLICIES", "Member", "Open", "Warn", "needed"]

_AGAIN_S = 60.0

POLICIES = ("all", "majority", "primary")
Open = Callable[[str], Backend]  #: opens the location of a URL
Warn = Callable[[str], None]  #: prints a warning of one line


def needed(policy: str, replicas: int) -> int:
    """The number of locations, including the primary, that must have a write before it is acknowledged."""
    return {"all": replicas + 1, "majority": (replicas + 1) // 2 + 1}.get(policy, 1)


@dataclass(slots=True)
class Member:
    """One replica. ``trouble``: why it gets no writes at the moment."""

    url: str
    open: Open
    config: StoreConfig
    trouble: SheafError | None = None
    owes: bool = False  #: whether it missed an object since the primary's last note
    id: str = field(init=False)
    _asked_again: float = float("-inf")
    _lock: threading.Lock = field(default_factory=Lock)
    _core: Core | None = None
    _log: Log[StoreState, StoreOp] | None = None

    def __post_init__(self) -> None:
        self.id = replica_id(self.url)

    @property
    def backend(self) -> Backend:
        """The opened location. Raises Unavailable if it is not a copy of this store, InvalidInput for an invalid URL."""
        with self._lock:
            if self._core is None:
                backend = self.open(self.url)
                if copy_of(backend) != self.config.id:
                    backend.close()
                    raise Unavailable(f"no copy of this store at {self.url}", "check that it is mounted and not empty")
                self._core = Core(backend, self.config)
            return self._core.backend

    def check(self, epoch: int) -> None:
        """Raise Refused if the replica was promoted, or the location's error if it can't be reached."""
        backend = self.backend
        if self._log is None:
            assert self._core is not None
            self._log = store_log(self._core)
        if self._log.head().state.epoch > epoch:
            raise Refused(
                f"{backend.url} was promoted and is the primary now: this location no longer accepts writes",
                f"use --store {self.url}",
            )

    def check_now_and_then(self, epoch: int) -> None:
        """Check, at most once a minute, a replica that gets no writes; it may cost a time-out. Raises only Refused."""
        if time.monotonic() >= self._asked_again:
            self.tried(lambda: self.check(epoch))
            self._asked_again = time.monotonic() + _AGAIN_S

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> None:
        """Write an object. Raises Unavailable if other bytes exist under its key."""
        if self.backend.create(key, data) is Created.OTHER:
            raise Unavailable(f"{self.url} contains different bytes under {key}", "run `sheaf store check` on both")

    def follow(self, source: Backend, base: str, n: int) -> None:
        """Copy the records of a log up to ``n`` that the replica lacks."""
        copy_log(source, self.backend, base, n)

    def tried(self, action: Callable[[], object]) -> SheafError | None:
        """Run an action and return the error that it raised. Refused is raised again: the replica was promoted."""
        try:
            action()
        except (Refused, InvalidInput) as error:
            if isinstance(error, Refused):
                raise
            return error
        except SheafError as error:
            return error
        return None

    def close(self) -> None:
        """Release connections."""
        if self._core is not None:
            self._core.close()
