"""A primary and its replicas in memory, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.builders import FIRST, SECOND, clone

from sheaf.engine.core import create_store
from sheaf.errors import Unavailable
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_sound
from sheaf.testing.model_repo import write_folder


class Place(WrapperBackend):
    """A place that may be cut off, and that counts calls; ``at`` is told of each call before it is made."""

    def __init__(self, inner: Backend, url: str) -> None:
        super().__init__(inner)
        self.url = url
        self.is_cut = False
        self.at: Callable[[str, str], None] = lambda call, key: None

    def _reach(self, call: str, key: str) -> None:
        self.at(call, key)
        if self.is_cut:
            raise Unavailable(f"can't reach {self.url}", "wait and try again")

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self._reach("create", key)
        return super().create(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        self._reach("get", key)
        return super().get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        self._reach("get_ranges", key)
        return super().get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        self._reach("stat", key)
        return super().stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        self._reach("list", prefix)
        return super().list(prefix, sort=sort)

    def newest(self, prefix: str) -> str | None:
        self._reach("newest", prefix)
        return super().newest(prefix)

    def delete(self, key: str) -> None:
        self._reach("delete", key)
        super().delete(key)

    def close(self) -> None:
        pass


@dataclass
class World:
    """Places by URL, the first of them the primary; folders to upload."""

    places: dict[str, Place]
    folder: Path
    processes: int = 0
    wrap: dict[str, Callable[[Backend], Backend]] = field(default_factory=dict)

    @contextmanager
    def process(self, url: str = "mem:a", cache: Path | None = None) -> Iterator[Store]:
        """Another process that has the store at a URL open."""
        self.processes += 1
        clock = SteeredClock(f"process {self.processes}", 1_790_000_000 + self.processes)
        with Store(self.open(url), clock=clock, cache=cache, open_location=self.open) as store:
            yield store

    def open(self, url: str) -> Backend:
        """The place of a URL; a new one is empty."""
        place = self.places.setdefault(url, Place(MemoryBackend(), url))
        return self.wrap[url](place) if url in self.wrap else place

    def copy(self) -> World:
        """The same in other places."""
        places = {url: Place(clone(place.inner), url) for url, place in self.places.items()}  # type: ignore[arg-type]
        return World(places, self.folder, self.processes)

    def upload(self, store: Store, name: str = "second", message: str = "up") -> str:
        """Upload a folder; returns the bundle's id once it is acknowledged."""
        return store.repo("faces").upload(self.folder / name, message=message).bundle.id

    def messages(self, url: str) -> list[str]:
        """The bundles that a place shows, after it was checked."""
        with self.process(url) as store:
            assert_sound(store)
            return [bundle.message for bundle in store.repo("faces").bundles()]

    def bare(self, url: str) -> dict[str, int]:
        """The keys and sizes of what is copied."""
        apart = ("replica/", "behind/", "sessions/", "index/")
        return {stat.key: stat.size for stat in self.places[url].inner.list() if not stat.key.startswith(apart)}


def build(scratch: Path, *replicas: str, policy: str = "all", id: str = "store") -> World:
    """A store with one bundle and these replicas."""
    for name, tree in {"first": FIRST, "second": SECOND}.items():
        write_folder(scratch / name, tree)
    (scratch / "third").mkdir()
    (scratch / "third" / "x").write_bytes(b"third" * 5000)
    world = World({"mem:a": Place(MemoryBackend(), "mem:a")}, scratch)
    create_store(world.places["mem:a"], SteeredClock(id))
    with world.process() as store:
        store.create_repo("faces")
        world.upload(store, "first", "first")
        for url in replicas:
            store.replicas.add(url, policy=policy)  # type: ignore[arg-type]
    return world
