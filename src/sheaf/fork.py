"""What a forked process must not share with the process that it was forked from.

A fork copies memory and one thread. In the child a lock that another thread held stays locked, a pool has no threads, and
whoever removes or commits what the parent began does so a second time. So locks, pools and whatever else waits for
threads come from here, where one hook makes them again in every child, and what belongs to one process has an
:class:`Origin`. A test refuses locks and pools that come from elsewhere.
"""

from __future__ import annotations

import os
import shutil
import tempfile
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
    "Origin",
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
    """Names the process that this is; another one in a child."""


_process = _Process()
_owners: dict[int, tuple[weakref.ref[Any], Callable[[Any], object]]] = {}  # by id: not all of them can be hashed


def in_child(owner: T, renew: Callable[[T], object]) -> None:
    """Call ``renew`` with the owner in every process that is forked from now on, for as long as the owner is there.

    It runs before anything else does in the child, on its only thread, and must neither wait nor raise.
    """
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None)), renew


def _renew_all() -> None:
    global _process  # noqa: PLW0603 - there is one process, and this is its name
    _process = _Process()
    for ref, renew in list(_owners.values()):
        if (owner := ref()) is not None:
            renew(owner)


os.register_at_fork(after_in_child=_renew_all)


# -- what belongs to one process ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin:
    """The process that began something. ``what``: its name in the message; ``hint``: what a child can do instead."""

    what: str
    hint: str = "start another one in this process"
    _process: _Process = field(default_factory=lambda: _process, repr=False)

    @property
    def is_here(self) -> bool:
        """False in a process that was forked from the one that made this."""
        return self._process is _process

    def ensure_here(self) -> None:
        """Raises Refused in a process that was forked from the one that made this."""
        if not self.is_here:
            raise Refused(f"{self.what} belongs to the parent of this forked process", self.hint)


class TemporaryFolder:
    """A folder that goes with this object, at the latest when its process ends; a child leaves its parent's alone."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._end = weakref.finalize(self, _remove, self.path, Origin("a temporary folder"))

    def close(self) -> None:
        """Remove it with all in it."""
        self._end()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *exc: object) -> None:
        self.close()


def _remove(path: Path, origin: Origin) -> None:
    if origin.is_here:
        shutil.rmtree(path, ignore_errors=True)


# -- locks -------------------------------------------------------------------------------------------------------------


def Lock() -> threading.Lock:
    """A lock that is free in every child."""
    return _freed(threading.Lock())


def RLock() -> Any:
    """A lock that its thread may take several times, free in every child."""
    return _freed(threading.RLock())


def _freed(lock: T) -> T:
    # The standard library frees its own locks (those of threading, logging and queues) by the same call.
    in_child(lock, lambda lock: lock._at_fork_reinit())  # type: ignore[attr-defined]
    return lock


class Semaphore(threading.BoundedSemaphore):
    """Permits for ``value`` threads, all of them free in every child."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        in_child(self, lambda self: threading.BoundedSemaphore.__init__(self, value))


class Lazy(Generic[T]):
    """A property that is computed once; by two threads at once perhaps, of which the first one's value is kept.

    ``functools.cached_property`` of Python 3.11 holds one lock for all objects of a class, which no child could free.
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
    """A call that a pool makes. ``done``: what it returned, as a tuple of one."""

    __slots__ = ("_call", "done")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self.done: tuple[T] | None = None

    def __call__(self) -> T:
        value = self._call()
        self.done = (value,)
        return value


class Threads(ThreadPoolExecutor):
    """A pool that has threads in a child, too. What its parent waited for fails there, unless it was done."""

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
            Future.__init__(future)  # its own lock may be held by a thread that is not here
            if task.done:
                future.set_result(task.done[0])
            else:
                future.set_exception(Refused(*_LOST))
        self._tasks.clear()
