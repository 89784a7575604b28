"""A store with one of each kind of object, its replica, and what is done to it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.builders import clone
from tests.engine.builders import commit, condemn

from sheaf.engine.core import create_store
from sheaf.engine.core_limits import DEFAULT, Limits
from sheaf.errors import SheafError, Unavailable
from sheaf.format import keys
from sheaf.repo.bundle import Bundle
from sheaf.repo.repair import Repaired, RepairPlan, Repairs
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.model_repo import ModelEntry, write_folder

BIG = random.Random(3).randbytes(600_000)  #: cut into several chunks, so it gets a recipe
OTHER = random.Random(4).randbytes(3000)
GONE = b"to be erased " * 300
FIRST = {"small": b"small", "text": b"text " * 3000, "big": BIG, "gone": GONE}
PRIMARY, REPLICA = "mem:a", "mem:b"
Files = dict[str, dict[str, bytes | str]]  #: by bundle


@dataclass
class World:
    """Places by URL. ``files``: what is in each bundle."""

    places: dict[str, MemoryBackend]
    files: Files = field(default_factory=dict)
    processes: int = 0
    away: set[str] = field(default_factory=set)  #: URLs of places that can't be reached

    @property
    def primary(self) -> MemoryBackend:
        return self.places[PRIMARY]

    @property
    def replica(self) -> MemoryBackend:
        return self.places[REPLICA]

    def open(self, url: str) -> Backend:
        if url in self.away:
            raise Unavailable(f"can't reach {url}", "wait and try again")
        return self.places.setdefault(url, named(url))

    def clock(self) -> SteeredClock:
        self.processes += 1
        return SteeredClock(f"process {self.processes}", 1_790_000_000 + self.processes)

    @contextmanager
    def process(
        self, backend: Backend | None = None, cache: Path | None = None, limits: Limits = DEFAULT
    ) -> Iterator[Store]:
        """Another process that has the primary open."""
        with Store(
            backend or self.primary, clock=self.clock(), open_location=self.open, cache=cache, limits=limits
        ) as store:
            yield store

    def repair(self, read_data: float = 1.0, backend: Backend | None = None, **plan: Any) -> Repaired:
        """What a repair does, or would do."""
        with Repairs(backend or self.primary, self.open, clock=self.clock()) as repairs:
            return repairs.repair(RepairPlan(**plan), read_data=read_data)

    def copy(self) -> World:
        """The same in other places."""
        places = {}
        for url, place in self.places.items():
            places[url] = clone(place)
            places[url].url = url
        return World(places, self.files, self.processes)

    def read(self) -> Files:
        """Every file of every bundle, verified; of one that can't be read, why."""
        with self.process() as store:
            return contents(store)


def named(url: str) -> MemoryBackend:
    backend = MemoryBackend()
    backend.url = url
    return backend


def contents(store: Store) -> Files:
    """Every file of every bundle that lives."""
    return {b.id: _files(b) for info in store.repos() for b in store.repo(info.name).bundles()}


def _files(bundle: Bundle) -> dict[str, bytes | str]:
    try:
        return {e.path: _read(bundle, e.path) for e in bundle.ls(recursive=True) if e.kind == "file"}
    except SheafError as error:
        return {"": error.kind}


def _read(bundle: Bundle, path: str) -> bytes | str:
    try:
        data: bytes = bundle.read(path)
    except SheafError as error:
        return error.kind
    return data


def build(scratch: Path) -> World:
    """Bundles in two repos, a pack that moved, an erased content, a run, an open diamond, a generation of gc; a replica."""
    world = World({PRIMARY: named(PRIMARY)})
    create_store(world.primary, SteeredClock("store"))
    with world.process() as store:
        repo = store.create_repo("faces")
        first = commit(repo, FIRST)
        repo.set_label("v1", f"bundle:{first}")
        commit(repo, {"other": OTHER})
        commit(store.create_repo("plates"), {"copy": FIRST["text"], "more": b"more"})
        store.erasure.erase(address="faces@v1:gone", reason="x", now=True)
        run = store.runs.start(command=("train",), environment={})
        store.runs.end(run, "succeeded", exit_code=0)
        diamond = repo.create_diamond()
        diamond.add_split(write_folder(scratch / "one", {"s": ModelEntry("file", b"1")}), split_id="one")
        condemn(world.primary, dead=[bytes(32)])
        store.replicas.add(REPLICA)
        world.files = contents(store)
    return world


def flip(backend: Backend, key: str, at: int | None = None) -> None:
    """Turn one bit over; the one in the middle, unless another place is said."""
    data = bytearray(backend.get(key))
    data[len(data) // 2 if at is None else at] ^= 4
    backend.delete(key)
    backend.create(key, bytes(data))


def all_bytes(backend: Backend) -> dict[str, bytes]:
    """Every object of a place."""
    return {stat.key: backend.get(stat.key) for stat in backend.list()}


def all_but_notes(backend: Backend) -> dict[str, bytes]:
    """Every object of a place but the notes of damage that a check writes."""
    return {key: data for key, data in all_bytes(backend).items() if not key.startswith(keys.DAMAGED)}
