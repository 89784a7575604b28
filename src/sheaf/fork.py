"""Locks, pools and owners that work in a forked process.

A fork copies memory and one thread. In the child a lock that another thread held stays locked, a pool has no threads, and
code that removes or commits what the parent began would do so a second time. So locks, pools and everything else that
waits for threads come from here, where one hook renews them in every child, and what belongs to one process has an
:class:`ProcessOrigin`. A test fails if a lock or a pool comes from elsewhere.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from sheaf.errors import Refused

__all__ = [
    "Lazy",
    "Lock",
    "ProcessOrigin",
    "RLock",
    "Semaphore",
    "TemporaryFolder",
    "Threads",
    "in_child",
]

P = ParamSpec("P")
T = TypeVar("T")

_LOST = (
    "this was started before the process was forked, by threads that do not exist here",
    "start it again in this process",
)


class _Process:
    """Identifies the current process by object identity; a child gets a new one."""


_process = _Process()
# Owners by their ids, since not all of them can be hashed.
_owners: dict[int, tuple[weakref.ref[Any], Callable[[Any], object]]] = {}


def in_child(owner: T, renew: Callable[[T], object]) -> None:
    """Call ``renew`` with the owner in every process forked from now on, as long as the owner exists.

    It runs in the child before anything else, on its only thread, and must neither wait nor raise.
    """
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None)), renew


def _renew_all() -> None:
    global _process  # noqa: PLW0603 - it identifies the process, so there is only one
    _process = _Process()
    for ref, renew in list(_owners.values()):
        if (owner := ref()) is not None:
            renew(owner)


os.register_at_fork(after_in_child=_renew_all)


# -- what belongs to one process ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessOrigin:
    """The process that began something. ``what``: the name for the message; ``hint``: what a child can do instead."""

    what: str
    hint: str = "start another one in this process"
    _process: _Process = field(default_factory=lambda: _process, repr=False)

    @property
    def is_here(self) -> bool:
        """False in a process that was forked from the one that created this."""
        return self._process is _process

    def ensure_here(self) -> None:
        """Raise Refused in a process that was forked from the one that created this."""
        if not self.is_here:
            raise Refused(f"{self.what} belongs to the parent of this forked process", self.hint)


class TemporaryFolder:
    """A folder that is removed with this object, at the latest when its process ends. A forked child never removes it."""

    def __init__(self, prefix: str) -> None:
        import tempfile  # few commands need it

        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._end = weakref.finalize(self, _remove, self.path, ProcessOrigin("a temporary folder"))

    def close(self) -> None:
        """Remove the folder with all its contents."""
        self._end()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *exc: object) -> None:
        self.close()


def _remove(path: Path, origin: ProcessOrigin) -> None:
    if origin.is_here:
        import shutil

        shutil.rmtree(path, ignore_errors=True)


# -- locks -------------------------------------------------------------------------------------------------------------


def Lock() -> threading.Lock:
    """Create a lock that is free in every child."""
    return _freed(threading.Lock())


def RLock() -> Any:
    """Create a lock that one thread may acquire several times, and that is free in every child."""
    return _freed(threading.RLock())


def _freed(lock: T) -> T:
    # The standard library frees its own locks (those of threading, logging and queues) with the same call.
    in_child(lock, lambda lock: lock._at_fork_reinit())  # type: ignore[attr-defined]
    return lock


class Semaphore(threading.BoundedSemaphore):
    """Permits for ``value`` threads; in every child all of them are free."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        in_child(self, lambda self: threading.BoundedSemaphore.__init__(self, value))


class Lazy(Generic[T]):
    """A property that is computed once. If two threads compute it at the same time, the first value is kept.

    ``functools.cached_property`` of Python 3.11 uses one lock for all objects of a class, which a child could not free.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, cls: type) -> Self: ...
    @overload
    def __get__(self, owner: object, cls: type) -> T: ...
    def __get__(self, owner: object | None, cls: type) -> Self | T:
        if owner is None:
            return self
        value: T = owner.__dict__.setdefault(self._name, self._compute(owner))
        return value


# -- threads -----------------------------------------------------------------------------------------------------------


class _Task(Generic[T]):
    """A call that a pool makes. ``done``: a tuple with its result, or None before it has returned."""

    __slots__ = ("_call", "done")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self.done: tuple[T] | None = None

    def __call__(self) -> T:
        value = self._call()
        self.done = (value,)
        return value


class Threads(ThreadPoolExecutor):
    """A pool that has threads in a child, too. Calls unfinished at the fork fail there; finished ones keep their results."""

    def __init__(self, max_workers: int, thread_name_prefix: str = "") -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._given = max_workers, thread_name_prefix
        self._tasks: weakref.WeakKeyDictionary[Future[Any], _Task[Any]] = weakref.WeakKeyDictionary()
        self._is_over = False
        in_child(self, Threads._restart)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        task = _Task(lambda: fn(*args, **kwargs))
        future = super().submit(task)
        self._tasks[future] = task
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._is_over = True
        super().shutdown(wait, cancel_futures=cancel_futures)

    def _restart(self) -> None:
        ThreadPoolExecutor.__init__(self, *self._given)
        if self._is_over:
            super().shutdown(wait=False)
        for future, task in list(self._tasks.items()):
            # The lock of a future may be held by a thread that does not exist in the child.
            Future.__init__(future)
            if task.done:
                future.set_result(task.done[0])
            else:
                future.set_exception(Refused(*_LOST))
        self._tasks.clear()
