"""Checks that require several clients in separate processes."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from msgspec import structs

from sheaf.errors import NotFound, Unavailable
from sheaf.storage.port import Backend, Buffer, Created
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.torture.scratch_location import ScratchLocation
from sheaf.torture.trial import MIB, pattern
from sheaf.torture.whole_store.claims import claim, claim_equal
from sheaf.torture.whole_store.worker_processes import TortureWorker, workers

__all__ = ["impatient_clients", "killed_writers", "listings_elsewhere", "lost_answers", "races"]

_RACERS = 3
_GAP_S = 0.02  # the shortest time between races, whose start times all racers get in advance
_LATE_S = 30.0  # how long to wait for a listing that is late
_HALF = 4 * MIB  # size of an object: large enough for a writer to be killed while it writes it


def _races(pipe: Connection, location: ScratchLocation, name: str, count: int) -> list[Created]:
    """Be one racer: create the same keys as the others at the same moments. Return the results."""
    with location.open() as backend:
        begun = time.monotonic()
        backend.create(f"ready/{name.replace(' ', '-')}", b"")
        pipe.send(time.monotonic() - begun)
        at, gap_s = pipe.recv()
        answers = []
        for race in range(count):
            time.sleep(max(0.0, at + race * gap_s - time.monotonic()))
            answers.append(backend.create(f"race/{race}", f"{name} {race}".encode()))
    return answers


def races(location: ScratchLocation, count: int = 40) -> str:
    """Check that of several processes that create the same key exactly one succeeds, and that its bytes are stored."""
    names = [f"process {n}" for n in range(_RACERS)]
    with workers(location, _RACERS) as racers:
        for name, racer in zip(names, racers, strict=True):
            racer.begin(_races, name, count)
        gap_s = max(_GAP_S, *(racer.next() for racer in racers))
        start = time.monotonic() + 0.1
        for racer in racers:
            racer.pipe.send((start, gap_s))
        answers = [racer.next() for racer in racers]
    with location.open() as backend:
        for race in range(count):
            won = [name for name, of in zip(names, answers, strict=True) if of[race] is not Created.OTHER]
            claim(len(won) == 1, f"{len(won)} of {_RACERS} processes that created one key concurrently succeeded")
            there = backend.get(f"race/{race}")
            claim(there == f"{won[0]} {race}".encode(), "the object is not the one of the process that succeeded")
    return f"{count} concurrent creates by {_RACERS} processes"


# -- listings ----------------------------------------------------------------------------------------------------------


def _creates(pipe: Connection, location: ScratchLocation, count: int) -> int:
    """Create a key whenever a message arrives."""
    with location.open() as backend:
        for n in range(count):
            pipe.recv()
            backend.create(f"seen/{n}", b"")
            pipe.send(n)
    return count


def listings_elsewhere(location: ScratchLocation, count: int = 15) -> str:
    """Check that a listing begun after another process's create shows the object, within the known delay."""
    latest = 0.0
    with workers(location, 1) as (writer,), location.open() as backend:
        allowed_s = backend.settle_s
        writer.begin(_creates, count)
        for _ in range(count):
            writer.pipe.send("go")
            key = f"seen/{writer.next()}"
            latest = max(latest, _late(backend, key, max(_LATE_S, allowed_s)))
    seen = (
        f"the slowest of {count} listings was {latest:.1f} s late" if latest else f"none of {count} listings was late"
    )
    claim(latest <= allowed_s, f"{seen}: an object that another process created was not listed immediately")
    return seen


def _late(backend: Backend, key: str, longest_s: float) -> float:
    """The seconds after the response to its create until an object is listed; 0 if immediately. Raises Broken."""
    begun, late = time.monotonic(), 0.0
    while key not in [stat.key for stat in backend.list("seen/")]:
        late = time.monotonic() - begun
        claim(late < longest_s, f"an object that another process created was not listed within {longest_s:.0f} s")
        time.sleep(0.05)
    return late


# -- kills -------------------------------------------------------------------------------------------------------------


def _floods(pipe: Connection, location: ScratchLocation, name: str) -> None:
    """Create one large object after the other until the process is killed."""
    with location.open() as backend:
        for n in itertools.count():
            key = f"whole/{name}-{n}"
            body = pattern(_HALF, key)
            pipe.send(("begins", key))
            begun = time.monotonic()
            backend.create(key, body)
            pipe.send(("made", key, time.monotonic() - begun))


def killed_writers(location: ScratchLocation, rng: random.Random, kills: int = 6) -> str:
    """Check that objects of killed writers are complete or absent, during and after the write."""
    made: list[str] = []
    whole: set[str] = set()
    with location.open() as backend:
        for n in range(kills):
            with workers(location, 1) as (writer,):
                writer.begin(_floods, str(n))
                _, key, took_s = _message(writer, "made")
                made.append(key)
                _message(writer, "begins")
                _watch(backend, whole, until=time.monotonic() + rng.uniform(0, took_s))
                writer.kill()
                made += [key for what, key, *_ in writer.rest() if what == "made"]
        _see(backend, whole)
        lost = [key for key in made if backend.stat(key) is None]
    claim(not lost, f"{len(lost)} objects are missing, although their creates were acknowledged before the kill")
    return f"{kills} writers killed, {len(whole)} complete objects"


def _message(writer: TortureWorker, what: str) -> tuple[Any, ...]:
    """Return the next message of a kind. The writer measures times, since this process may read its messages late."""
    while (message := writer.next())[0] != what:
        pass
    return tuple(message)


def _watch(backend: Backend, whole: set[str], until: float) -> None:
    while time.monotonic() < until:
        _see(backend, whole)


def _see(backend: Backend, whole: set[str]) -> None:
    """Verify the objects that are new since the last call, and add them to ``whole``. Raises Broken if one is incomplete."""
    for stat in backend.list("whole/"):
        if stat.key in whole:
            continue
        body = backend.get(stat.key)
        claim(
            stat.size == _HALF and body == pattern(_HALF, stat.key),
            f"an object of {_HALF} bytes is visible with only {min(stat.size, len(body))} of them",
        )
        whole.add(stat.key)


# -- lost answers ------------------------------------------------------------------------------------------------------


class _LosesAnswers(WrapperBackend):
    """Loses the first response about each key."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._lost: set[str] = set()

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        self._lose(key)
        return answer

    def delete(self, key: str) -> None:
        self.inner.delete(key)
        self._lose(key)

    def _lose(self, key: str) -> None:
        if key not in self._lost:
            self._lost.add(key)
            raise Unavailable(f"the response for {key} was lost (injected fault)")


def lost_answers(location: ScratchLocation) -> str:
    """Check that a retried create whose response was lost is recognised as this client's, and another client's is not."""
    with location.open() as backend:
        client = RetryBackend(_LosesAnswers(backend), RetryPolicy(first_s=0))
        for n in range(10):
            claim_equal(
                client.create(f"mine/{n}", b"%d" % n),
                Created.MINE,
                "the response to a create retried after a lost response",
            )
            backend.create(f"other/{n}", b"of somebody else")
            claim_equal(
                client.create(f"other/{n}", b"%d" % n),
                Created.OTHER,
                "the response to a retried create of another client's key",
            )
            client.delete(f"other/{n}")
            claim_equal(backend.stat(f"other/{n}"), None, "an object deleted with a retry")
    return "10 responses lost"


def impatient_clients(location: ScratchLocation, typical_s: float, count: int = 12) -> str:
    """Check that after a create cut off by a time-out the object is complete or absent, and the create can be retried."""
    made = 0
    with location.open() as backend:
        for n in range(count):
            key, body = f"cut/{n}", pattern(MIB, n)
            hasty = structs.replace(location.options, timeout_s=max(0.001, typical_s * (n + 1) * 2 / count), retries=0)
            with replace(location, options=hasty).open() as client:
                try:
                    client.create(key, body)
                except Unavailable:
                    made += _is_whole(backend, key, body)
            claim(backend.create(key, body) is not Created.OTHER, "an interrupted create left other bytes")
            claim_equal(
                backend.create(key, b"other"),
                Created.OTHER,
                "the response to a create of other bytes after an interrupted create",
            )
            claim_equal(backend.get(key), body, "an object whose create was interrupted and retried")
    return f"{count} creates interrupted by a time-out, {made} of them completed"


def _is_whole(backend: Backend, key: str, body: bytes) -> bool:
    try:
        claim_equal(backend.get(key), body, "an object whose create was interrupted")
    except NotFound:
        return False
    return True
