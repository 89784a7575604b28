"""A backend that injects faults, and a loop that interrupts an operation at every write."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from sheaf.errors import SheafError, Unavailable
from sheaf.storage.buffers import total, views
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat, Unfinished

Answer = TypeVar("Answer")

__all__ = ["Crash", "Fault", "FaultyBackend", "survives_every_crash"]


class Crash(BaseException):
    """The process dies here. A ``BaseException``, so that no handler catches it."""


class Fault(enum.Enum):
    """The fault of one mutating call."""

    CRASH_BEFORE = "crash before the write"
    CRASH_AFTER = "crash after the write"
    TORN = "crash, with half of the bytes written"  #: as a backend without Sheaf's guarantees would leave it
    LOST = "the write is made, its answer is lost"
    FAIL = "the write is not made"


class FaultyBackend(Backend):
    """Forwards all calls to ``inner``, except the faults of the plan.

    ``writes`` maps the number of a mutating call (from 1) to a fault, or to an error that is raised instead of it.
    ``reads`` maps the number of a reading call to the error it raises. After a crash every further call crashes, too, since
    a dead process can't clean up. The ``hide_newest`` keys that were created last are missing from listings, as in an
    eventually consistent store.
    """

    def __init__(
        self,
        inner: Backend,
        writes: Mapping[int, Fault | SheafError] | None = None,
        reads: Mapping[int, SheafError] | None = None,
        *,
        hide_newest: int = 0,
    ) -> None:
        self.inner = inner
        self.url, self.ordered, self.settle_s = inner.url, inner.ordered, inner.settle_s
        self.written = 0  #: mutating calls so far
        self.hide_newest = hide_newest
        self._writes, self._reads = dict(writes or {}), dict(reads or {})
        self._reading = itertools.count(1)
        self._created: list[str] = []
        self._lock = threading.Lock()
        self._dead = False

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        def torn() -> None:
            whole = b"".join(views(data))
            self.inner.create(key, whole[: total(views(data)) // 2])

        answer = self._mutate(lambda: self.inner.create(key, data), torn)
        if answer is Created.CREATED:
            self._created.append(key)
        return answer

    def replace(self, key: str, data: Buffer) -> None:
        self._mutate(lambda: self.inner.replace(key, data), lambda: None)

    def delete(self, key: str) -> None:
        self._mutate(lambda: self.inner.delete(key), lambda: None)

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        return self.inner.unfinished(remove=remove)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        self._read()
        return self.inner.get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self._read()
        return self.inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        self._read()
        return self.inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        self._read()
        hidden = self._hidden()
        return (stat for stat in self.inner.list(prefix, sort=sort) if stat.key not in hidden)

    def newest(self, prefix: str) -> str | None:
        if not self.hide_newest:
            self._read()
            return self.inner.newest(prefix)
        return next((stat.key for stat in self.list(prefix, sort=True)), None)

    def _hidden(self) -> set[str]:
        return set(self._created[-self.hide_newest :]) if self.hide_newest else set()

    def _read(self) -> None:
        with self._lock:
            self._check_alive()
            error = self._reads.get(next(self._reading))
        if error is not None:
            raise error

    def _mutate(self, action: Callable[[], Answer], torn: Callable[[], None]) -> Answer:
        with self._lock:
            self._check_alive()
            self.written += 1
            number = self.written
            fault = self._writes.get(number)
            self._dead = fault in {Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.TORN}
        if fault is None:
            return action()
        if isinstance(fault, SheafError):
            raise fault
        if fault is Fault.TORN:
            torn()
        elif fault in {Fault.CRASH_AFTER, Fault.LOST}:
            action()
        if self._dead:
            raise Crash(f"write {number}: {fault.value}")
        raise Unavailable(f"write {number}: {fault.value}")

    def _check_alive(self) -> None:
        if self._dead:
            raise Crash("the process is dead")


def survives_every_crash(
    setup: Callable[[], Backend],
    operation: Callable[[Backend], object],
    check: Callable[[Backend], object],
) -> int:
    """Interrupt ``operation`` before each write and after the last, each time on a new store; returns the number of writes.

    A crash after a write leaves the same objects as one before the next, but less has been acknowledged by then, so it
    is tried for the last write only. After each crash ``check`` gets the bare store, as a new process would: it raises,
    or returns False, if anything that was acknowledged is lost or wrong.
    """
    for nth in itertools.count(1):
        if not _crashes(setup(), operation, check, nth, Fault.CRASH_BEFORE):
            _crashes(setup(), operation, check, nth - 1, Fault.CRASH_AFTER)
            return nth - 1
    raise AssertionError("unreachable")


def _crashes(
    backend: Backend,
    operation: Callable[[Backend], object],
    check: Callable[[Backend], object],
    nth: int,
    fault: Fault,
) -> bool:
    """Return True if ``operation`` makes an ``nth`` write; check what it leaves after the fault."""
    try:
        operation(FaultyBackend(backend, {nth: fault}))
    except Crash:
        _checked(check, backend, f"write {nth}: {fault.value}")
        return True
    return False


def _checked(check: Callable[[Backend], object], backend: Backend, where: str) -> None:
    try:
        verdict = check(backend)
    except Exception as error:
        error.add_note(where)
        raise
    assert verdict is not False, where
