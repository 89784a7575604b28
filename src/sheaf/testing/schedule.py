"""Run several clients of one store in an order that a seed decides, so that rare interleavings are reproducible.

Each client is a function in its own thread, but only one runs at any time: at every call to its backend it passes control to
the client that the seed picks. Some seeds give clients weights that change now and then, so that one client may pause while
others do a lot of work. Most seeds give them ranks: the first in rank runs until it loses its rank, or pauses at the
beginning of a step until another client has made a particular call. Such seeds, or :class:`Stop`, find the faults that
need three clients to be at the right calls.
Nothing else may depend on randomness or time: see :func:`one_thread` for clients without threads of their own.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from msgspec import structs

from sheaf.engine.clock import Clock
from sheaf.engine.context import Connected
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.errors import Unavailable
from sheaf.fork import Threads
from sheaf.repo.store import Store
from sheaf.storage.buffers import views
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat, Unfinished
from sheaf.testing.faults import Crash

__all__ = ["Inline", "Mishap", "Plan", "Schedule", "Stop", "Stuck", "one_thread", "plans", "store_without_threads"]

T = TypeVar("T")
# Which client makes how many calls before the next one continues; after the end, the clients run one after the other.
Plan = Sequence[tuple[str, int]]
_CHANGE = 1 / 15  # probability at each call that the weights change
_RANKS = 0.7  # share of the seeds that give clients ranks instead
_HALT = 0.3  # probability to pause at the beginning of a step
_TIRE = 1 / 50  # probability at each call to lose rank
#: Kinds of calls that begin a step: they change what other clients may do.
_STEPS = (
    *(f"{action} {folder}" for folder in ("sessions", "condemned", "index") for action in ("create", "list", "delete")),
    *(f"{action} {folder}" for folder in ("packs", "nodes", "moved", "log") for action in ("create", "delete")),
)
#: The calls of other clients for which a paused client waits.
_EVENTS = ("list sessions", "delete packs", "delete condemned", "create log", "create log", "create sessions")
_PAGE = 8  # keys of a listing that are read at the same moment
_LATE = 400  # calls within which a late write is made
_ALL = 1 << 60  # more calls than any client makes


class Stuck(AssertionError):
    """The clients did not end within the limit of calls."""


class Mishap(enum.Enum):
    """A fault of one mutating call of a client."""

    CRASH_BEFORE = "the client dies before the write"
    CRASH_AFTER = "the client dies after the write"
    FAIL = "the write is not made"
    LOST = "the write is made, its answer is lost"
    LATE = "the write is made some time later, and the client got an error"


@dataclass(slots=True)
class Stop:
    """Lets a client pause before its ``nth`` call of the kind ``at`` until another has made one of the kind ``until``.

    A kind is ``create``, ``delete``, ``list`` or ``get``, and a top folder of the store; all logs are ``log``.
    """

    at: str
    until: str
    nth: int = 1


@dataclass(slots=True)
class _Client:
    name: str
    work: Callable[[], object]
    weight: float = 1.0  # or its rank
    calls: int = 0
    kind: str = ""  # of its last call
    step: str = ""  # the kind of its last call that began a step
    awaits: str = ""  # paused until another client has made a call of this kind
    stops: list[Stop] = field(default_factory=list)
    wakes: float = 0.0
    is_done: bool = False
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


def plans(first: str, second: str, calls: int, *, step: int = 1) -> Iterator[Plan]:
    """Yield every plan in which the second client interrupts the first once, within its first ``calls``, and finishes."""
    return ([(first, at), (second, _ALL)] for at in range(0, calls + 1, step))


class Schedule:
    """Runs clients on one store in memory, in an order decided by ``seed`` or ``plan``.

    Args:
        plan: the order itself, instead of a random one.
        stops: no random order either: of the clients that don't pause, the one that was added first runs.
        stale: the most calls by which a listing may be late, as on a network file system; 0: never.
        limit: calls after which the clients count as stuck.
    """

    def __init__(
        self,
        seed: int | str = 0,
        *,
        plan: Plan | None = None,
        stops: Mapping[str, Sequence[Stop]] | None = None,
        stale: int = 0,
        limit: int = 200_000,
    ) -> None:
        self.random = random.Random(f"schedule {seed}")
        self.calls = 0  #: so far; there is no other clock
        self.stale = stale
        self.store = _Kept(self)
        self._limit = limit
        self._has_ranks = plan is None and (stops is not None or self.random.random() < _RANKS)
        self._stops = stops
        self._plan = None if plan is None else [[name, calls] for name, calls in plan]
        self._clients: dict[str, _Client] = {}
        self._late: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._running = ""
        self._ended = threading.Semaphore(0)
        self._failures: list[BaseException] = []

    # -- clients -------------------------------------------------------------------------------------------------------

    def backend(self, name: str, mishaps: Mapping[int | str, Mishap] | None = None) -> Backend:
        """The store for one client. ``mishaps``: by the number of its mutating call, from 1, or by a part of its key."""
        return _Scheduled(self, name, dict(mishaps or {}))

    @property
    def made(self) -> dict[str, int]:
        """The number of calls of each client."""
        return {name: client.calls for name, client in self._clients.items()}

    def add(self, name: str, work: Callable[[], object]) -> None:
        """Add a client that runs a function; all its calls go through ``backend(name)``."""
        stops = [replace(stop) for stop in (self._stops or {}).get(name, ())]
        self._clients[name] = _Client(name, work, stops=stops)

    def run(self) -> None:
        """Run all clients to their end. Raises the error of the first one that failed; Stuck if they don't end."""
        threads = [
            threading.Thread(target=self._live, args=(client,), daemon=True) for client in self._clients.values()
        ]
        for thread in threads:
            thread.start()
        if self._clients:
            self._weigh()
            self._pass_on(None)
            self._ended.acquire()
        while self._late:
            heapq.heappop(self._late)[2]()
        if self._failures:
            raise self._failures[0]

    def sleep(self, name: str, calls: float) -> None:
        """Pause a client for this number of calls of other clients."""
        client = self._clients.get(name)
        if client is not None and calls > 0:
            client.wakes = self.calls + calls
            self.turn(name)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def turn(self, name: str, kind: str = "") -> None:
        """Let another client run first, if the order says so. A client calls this before a call of this kind."""
        self.calls += 1
        while self._late and self._late[0][0] <= self.calls:
            heapq.heappop(self._late)[2]()
        if self.calls > self._limit:
            raise Stuck(f"no end after {self._limit} calls")
        if name == self._running:
            client = self._clients[name]
            client.calls += 1
            self._meet(client, kind)
            self._pass_on(client)

    def postpone(self, action: Callable[[], object]) -> None:
        """Do something later, while others continue."""
        at = self.calls + self.random.randrange(1, _LATE)
        heapq.heappush(self._late, (at, next(self._order), action))

    def _meet(self, client: _Client, kind: str) -> None:
        """Wake the clients that waited for this call, and perhaps make this client pause."""
        self._wake(client)
        client.kind = kind
        if self._stops is not None:
            self._stop(client, kind)
        elif not self._has_ranks:
            if self.random.random() < _CHANGE:
                self._weigh()
        elif kind in _STEPS and kind != client.step:
            client.step = kind
            if self.random.random() < _HALT:
                client.awaits = self.random.choice(_EVENTS)
                client.wakes = self.calls + self.random.choice((100, 1000))
        elif self.random.random() < _TIRE:
            client.weight *= self.random.random()

    def _wake(self, client: _Client) -> None:
        for other in self._clients.values():
            if other.awaits and other.awaits == client.kind and other is not client:
                other.awaits, other.wakes = "", self.calls

    def _stop(self, client: _Client, kind: str) -> None:
        for stop in client.stops:
            stop.nth -= stop.at == kind
            if not stop.nth:
                client.stops.remove(stop)
                client.awaits, client.wakes = stop.until, self.calls + _ALL
                return

    def _weigh(self) -> None:
        for rank, client in enumerate(self._clients.values()):
            client.weight = 10 ** -self.random.uniform(0, 4) if self._stops is None else -rank

    def _pass_on(self, client: _Client | None) -> None:
        chosen = self._choose()
        if chosen is client:
            return
        self._running = chosen.name if chosen else ""
        (chosen.go if chosen else self._ended).release()
        if client is not None and not client.is_done:
            client.go.acquire()

    def _choose(self) -> _Client | None:
        left = [client for client in self._clients.values() if not client.is_done]
        if not left:
            return None
        if not any(client.wakes <= self.calls for client in left):
            first = min(left, key=lambda client: client.wakes)
            self.calls = max(self.calls, int(first.wakes) + 1) if first.wakes < _ALL else self.calls
            first.awaits, first.wakes = "", self.calls
        awake = [client for client in left if client.wakes <= self.calls]
        if self._plan is not None:
            return self._planned(self._plan, awake)
        if self._has_ranks:
            return max(awake, key=lambda client: client.weight)
        return self.random.choices(awake, [client.weight for client in awake])[0]

    @staticmethod
    def _planned(plan: list[list[Any]], awake: list[_Client]) -> _Client:
        by_name = {client.name: client for client in awake}
        while plan and (plan[0][1] <= 0 or plan[0][0] not in by_name):
            plan.pop(0)
        if not plan:
            return awake[0]
        plan[0][1] -= 1
        return by_name[plan[0][0]]

    def _live(self, client: _Client) -> None:
        client.go.acquire()
        try:
            client.work()
        except Crash:
            pass
        except BaseException as error:
            # run() raises it again in its caller's thread.
            self._failures.append(error)
        client.is_done = True
        self._wake(client)
        self._pass_on(client)


# -- the store ---------------------------------------------------------------------------------------------------------


class _Kept(MemoryBackend):
    """A store that records when each object was created and deleted."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        # Clients of "memory:" stores keep no caches, which would hide faults, so the URL has another scheme.
        self.url = "schedule://"
        self.settle_s = float(schedule.stale)
        self._schedule = schedule
        self._born: dict[str, int] = {}
        self._gone: list[tuple[Stat, int, int]] = []

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = super().create(key, data)
        if answer is Created.CREATED:
            self._born[key] = self._schedule.calls
        return answer

    def delete(self, key: str) -> None:
        stat = self.stat(key)
        super().delete(key)
        if stat is not None and self._schedule.stale:
            self._gone.append((stat, self._born[key], self._schedule.calls))

    def seen(self, prefix: str, moment: int) -> list[Stat]:
        """The objects in a listing that shows the store as of ``moment``, counted in calls."""
        there = [stat for stat in self.list(prefix) if self._born[stat.key] <= moment]
        if not self._schedule.stale:
            return there
        gone = [stat for stat, born, died in self._gone if stat.key.startswith(prefix) and born <= moment < died]
        return sorted([*there, *gone], key=lambda stat: stat.key)


class _Scheduled(Backend):
    """The store as one client uses it."""

    ordered = True

    def __init__(self, schedule: Schedule, name: str, mishaps: dict[int | str, Mishap]) -> None:
        self._schedule = schedule
        self._name = name
        self._mishaps = mishaps
        self._inner = schedule.store
        self._written = 0
        self._is_dead = False
        self.url = self._inner.url
        self.settle_s = self._inner.settle_s

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        whole = b"".join(views(data))
        return self._mutate("create", key, lambda: self._inner.create(key, whole))

    def delete(self, key: str) -> None:
        self._mutate("delete", key, lambda: self._inner.delete(key))

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        return self._inner.unfinished(remove=remove)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        self._turn("get", key)
        return self._inner.get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self._turn("get", key)
        return self._inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        self._turn("get", key)
        return self._inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        last = ""
        while True:
            self._turn("list", prefix)
            page = [stat for stat in self._seen(prefix) if stat.key > last][:_PAGE]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].key

    def newest(self, prefix: str) -> str | None:
        self._turn("list", prefix)
        found = self._seen(prefix)
        return found[0].key if found else None

    def _seen(self, prefix: str) -> Sequence[Stat]:
        late = self._schedule.random.randint(0, self._schedule.stale) if self._schedule.stale else 0
        return self._inner.seen(prefix, self._schedule.calls - late)

    def _turn(self, action: str, key: str) -> None:
        if self._is_dead:
            raise Crash(f"{self._name} is dead")
        folder = "log" if "log/" in key else key.partition("/")[0]
        self._schedule.turn(self._name, f"{action} {folder}")

    def _mutate(self, name: str, key: str, action: Callable[[], T]) -> T:
        self._turn(name, key)
        self._written += 1
        mishap = self._mishap(key)
        if mishap is None:
            return action()
        if mishap in (Mishap.CRASH_AFTER, Mishap.LOST):
            action()
        elif mishap is Mishap.LATE:
            self._schedule.postpone(action)
        self._is_dead = mishap in (Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER)
        error = Crash if self._is_dead else Unavailable
        raise error(f"write {self._written} of {self._name}: {mishap.value}")

    def _mishap(self, key: str) -> Mishap | None:
        for which in self._mishaps:
            if which == self._written or (isinstance(which, str) and which in key):
                return self._mishaps.pop(which)
        return None


# -- clients without threads -------------------------------------------------------------------------------------------


class Inline(Threads):
    """A pool that runs each call immediately, in the caller's thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(1)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def one_thread() -> Iterator[None]:
    """Make uploads read folders in the uploading thread, within this context."""
    with mock.patch("sheaf.transfer.upload.Threads", Inline):
        yield


def store_without_threads(backend: Backend, clock: Clock, cache: Path | None = None, limits: Limits = DEFAULT) -> Store:
    """Open a store as a process with a single thread would."""
    store = Store(backend, clock=clock, cache=cache, limits=limits)
    core = structs.replace(store._core, io=Inline(), cpu=Inline(), workers=1)
    store._core, store._connected = core, Connected(core, cache)
    store._log = store._connected.log
    return store
