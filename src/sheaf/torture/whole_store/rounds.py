"""A round: several clients, in threads and processes, use a whole store; then the result is verified."""

from __future__ import annotations

import logging
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from sheaf.engine.clock import SystemClock, rfc3339
from sheaf.errors import AlreadyExists, Conflict, Denied, NoSpace, NotFound, Refused, SheafError, Unavailable
from sheaf.format import keys
from sheaf.format.store_v1 import Chunker, StoreConfig, encode_config
from sheaf.repo.store import Store
from sheaf.storage.port import Backend
from sheaf.torture.scratch_location import ScratchLocation
from sheaf.torture.timing import TimedBackend, Timings
from sheaf.torture.whole_store.chaos import Stopped
from sheaf.torture.whole_store.claims import Broken
from sheaf.torture.whole_store.ledger import Acknowledged, Ledger, claim_kept
from sheaf.torture.whole_store.simulated_clients import REPOS, Client, Collector, Person, client, new_folder
from sheaf.torture.whole_store.worker_processes import TortureWorker, workers

__all__ = ["Round", "play"]

_PEOPLE, _STEPS = 3, 12
_UPLOADERS = 2  # processes, each killed once
_RATE = 0.1  # share of the writes that fail
_CHUNKER = Chunker(min=1024, avg=4096, max=16_384)  # so that small files have many chunks
_LONGEST_S = 900.0  # a round that takes longer hangs, or the store is too slow for it
_ANSWER_S = 60.0  # how long to wait for a process to commit something


@dataclass(frozen=True, slots=True)
class Round:
    """The result of a round. ``trouble``: what failed, empty if nothing did."""

    seed: str
    trouble: str
    counts: Counter[str]
    faults: Counter[str]


@dataclass(slots=True)
class _World:
    """The state that the threads of a round share."""

    location: ScratchLocation
    seed: str
    scratch: Path
    timings: Timings
    ledger: Ledger = field(default_factory=Ledger)
    faults: Counter[str] = field(default_factory=Counter)
    is_over: threading.Event = field(default_factory=threading.Event)  #: tells the collectors to end
    stop: threading.Event = field(default_factory=threading.Event)  #: tells all threads to end immediately
    troubles: list[str] = field(default_factory=list)

    def open(self) -> Backend:
        return TimedBackend(self.location.open(), self.timings)

    def thread(self, name: str, live: Callable[[Client], None]) -> threading.Thread:
        """Start a client in its own thread."""
        thread = threading.Thread(target=self._run, args=(name, live), name=name, daemon=True)
        thread.start()
        return thread

    def _run(self, name: str, live: Callable[[Client], None]) -> None:
        try:
            with client(self.open(), f"{self.seed} {name}", _RATE, self.stop) as its:
                try:
                    live(its)
                finally:
                    self.faults += its.faults
        except (Stopped, Unavailable):
            # Unless it was stopped, the client could not even open the store.
            return
        except Exception as error:
            # No other error may occur in a round.
            self.troubles.append(f"{name}: {_said(error)}")


def _said(error: BaseException) -> str:
    text = error.message if isinstance(error, SheafError) else str(error)
    return text if isinstance(error, Broken) else f"{type(error).__name__}: {text}"


def play(scratch: ScratchLocation, seed: str, timings: Timings) -> Round:
    """Run one round on a new store in ``scratch``, which must be empty; then verify all that was acknowledged.

    ``seed`` decides what the clients do, which calls fail and how wrong the clocks are; not which thread is faster.
    Raises Unavailable, Denied or NoSpace if the store itself does so without an injected fault.
    """
    with tempfile.TemporaryDirectory(prefix="sheaf-torture-") as folder:
        world = _World(scratch, seed, Path(folder), timings)
        try:
            with _deadline(world), _quiet():
                _begin(world)
                _live(world)
                if not world.troubles:
                    _check_ledger(world)
        except Stopped:
            raise Unavailable(f"a round has not finished after {_LONGEST_S:.0f} s", "use a faster location") from None
        except (Unavailable, Denied, NoSpace):
            raise
        except Exception as error:
            # A store that violates its guarantees may cause any error.
            world.troubles.append(f"after the round: {_said(error)}")
        finally:
            world.stop.set()
        return Round(seed, "; ".join(world.troubles[:3]), world.ledger.counts, world.faults)


@contextmanager
def _deadline(world: _World) -> Iterator[None]:
    timer = threading.Timer(_LONGEST_S, world.stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide log messages about injected faults."""
    logger = logging.getLogger("sheaf")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _begin(world: _World) -> None:
    clock = SystemClock()
    with world.open() as backend:
        config = StoreConfig(clock.new_id(), rfc3339(clock.now_ns()), chunker=_CHUNKER)
        backend.create(keys.CONFIG, encode_config(config))
        with Store(backend) as store:
            for name in REPOS:
                store.create_repo(name)


def _live(world: _World) -> None:
    people = [world.thread(f"person {n}", partial(_live_as, world, f"p{n}")) for n in range(_PEOPLE)]
    others = [world.thread("gc", lambda its: Collector(its, world.ledger).live(world.is_over))]
    try:
        if world.location.is_shared:
            _kill_uploaders(world)
        for person in people:
            person.join()
        world.is_over.set()
        for other in others:
            other.join()
    except BaseException:
        # This is mainly for interrupts: no thread may continue to write after one.
        world.stop.set()
        for thread in (*people, *others):
            thread.join()
        raise
    if world.stop.is_set():
        raise Stopped


def _live_as(world: _World, name: str, its: Client) -> None:
    Person(name, its, world.ledger, world.scratch).live(_STEPS)


def _check_ledger(world: _World) -> None:
    with client(world.open(), f"{world.seed} afterwards", 0.0, world.stop) as its:
        claim_kept(its.store, world.ledger)


# -- processes that are killed -----------------------------------------------------------------------------------------


def _uploads(pipe: Connection, location: ScratchLocation, name: str, scratch: str) -> None:
    """Upload one folder after the other, reporting each, until the process is killed."""
    done = 0
    with _quiet(), client(location.open(), name, _RATE) as its:
        while True:
            folder = Path(scratch) / f"{name}-{done}"
            done += 1
            acknowledged = Acknowledged(
                its.random.choice(REPOS), new_folder(folder, its.random, its.random.randbytes(20_000)), "main"
            )
            pipe.send(("begins", "", acknowledged))
            try:
                its.store.repo(acknowledged.repo).upload(
                    folder,
                    message="killed soon",
                    label="latest",
                    move_label=True,
                    on_commit=lambda bundle, acknowledged=acknowledged: pipe.send(("done", bundle.id, acknowledged)),  # type: ignore[misc]
                )
            except (Conflict, NotFound, AlreadyExists, Refused, Unavailable):
                continue


def _kill_uploaders(world: _World) -> None:
    rng = random.Random(f"{world.seed} kills")
    with workers(world.location, _UPLOADERS) as uploaders:
        for n, uploader in enumerate(uploaders):
            uploader.begin(_uploads, f"{world.seed}-u{n}", str(world.scratch))
        for uploader in uploaders:
            try:
                took = _hear(world, uploader)
            except Unavailable:
                # The process could not even open the store.
                continue
            except Exception as error:
                world.troubles.append(f"process: {_said(error)}")
                continue
            time.sleep(rng.uniform(0, took))
            uploader.kill()
            world.ledger.counts["kills"] += 1
            for said in uploader.rest():
                if isinstance(said, tuple):
                    _note(world, said)


def _hear(world: _World, uploader: TortureWorker) -> float:
    """Wait until a process has committed something and begun something else. Return the seconds that its upload took."""
    begun = time.monotonic()
    took, has_committed = 0.5, False
    while time.monotonic() - begun < _ANSWER_S and not world.stop.is_set():
        said = uploader.next(_ANSWER_S)
        if has_committed and said[0] == "begins":
            break
        if said[0] == "begins":
            since = time.monotonic()
        else:
            _note(world, said)
            took, has_committed = time.monotonic() - since, True
    return took


def _note(world: _World, said: tuple[str, str, Acknowledged]) -> None:
    what, id, acknowledged = said
    if what == "done":
        world.ledger.commit(id, acknowledged)
        world.ledger.label(acknowledged.repo, "latest", id)
