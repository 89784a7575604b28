"""People at work on one store while gcs collect its garbage, in an order that a seed decides; and what must hold then."""

from __future__ import annotations

import os
import pkgutil
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

from sheaf.engine.core_limits import Limits
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import Decision, GracePeriod
from sheaf.errors import AlreadyExists, Conflict, Corrupt, NotFound, Refused, Unavailable
from sheaf.format import keys
from sheaf.format.session_v1 import Session
from sheaf.format.store_v1 import Chunker, StoreConfig, encode_config
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_complete, assert_refs_resolve, claim
from sheaf.testing.model_repo import tree_of
from sheaf.testing.schedule import Mishap, Schedule, one_thread, store_without_threads

Files = dict[str, bytes]
SHARED = ("team/a", "team/b")
CLOCK = 2_200_000_000  #: later than any file of a test: hashes of files that changed "just now" are not kept
TINY = Limits(pack_bytes=6000, index_merge=3, min_rows=2, max_rows=4, min_children=2, max_children=3)
CHUNKER = Chunker(min=256, avg=1024, max=4096)
_NOISE = random.Random(7).randbytes(40_000)
#: What is in files; many of them share chunks, one by one or in long runs.
CONTENTS = (
    b"",
    b"a few bytes",
    _NOISE[:200],
    _NOISE[200:900],
    b"text " * 300,
    _NOISE[1000:13_000],
    _NOISE[1000:7000] + b"!" + _NOISE[7000:13_000],
    _NOISE[5000:11_000],
    _NOISE[13_000:21_000],
    _NOISE[13_000:17_000] + _NOISE[1000:5000],
    _NOISE[21_000:22_000],
    _NOISE[22_000:22_500],
)
#: What people do, mostly: few things, so that they get into each other's way.
PLOTS = (
    ("upload", "upload", "wipe"),
    ("upload", "copy", "copy", "wipe"),
    ("upload", "copy", "delete", "delete"),
    ("upload", "edit", "wipe", "delete"),
    ("upload", "delete", "undelete", "undelete"),
    ("upload", "upload", "wipe", "edit", "copy", "undelete", "diamond"),
)
#: What a store has been through.
PASTS = ("nothing", "uploads", "half is garbage", "half was collected", "all is garbage")
_RNG = random.Random("uploads")
UPLOADS = tuple(tuple(_RNG.sample(range(10), count)) for count in (1, 1, 2, 2, 2, 3) for _ in range(4))
NAMES = ("a", "b", "c/d", "c/e", "c/f/g", "h/i", "j", "k")


@contextmanager
def tiny() -> Iterator[None]:
    """One thread for all clients; what only depends on its arguments is computed once for all that ask for the same."""
    with ExitStack() as stack:
        for where in ("sheaf.format.node_v1.decode_rows", "sheaf.format.node_v1.decode_children"):
            stack.enter_context(mock.patch(where, _once(where)))
        stack.enter_context(one_thread())
        yield


def tiny_store(backend: Backend, clock: SteeredClock, cache: Path | None = None) -> Store:
    """A client's store; a few files make several packs, nodes and merges of the index in it."""
    return store_without_threads(backend, clock, cache, TINY)


@cache
def _once(name: str) -> Callable[..., Any]:
    """A function of the engine, which remembers its answers."""
    return lru_cache(4096)(pkgutil.resolve_name(name))


class Folders:
    """Local folders that people upload, written once for all seeds."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._beginnings: dict[tuple[tuple[int, ...], str], Beginning] = {}
        rng = random.Random("folders")
        self.files: list[Files] = []
        for n in range(10):
            files = {name: rng.choice(CONTENTS) for name in rng.sample(NAMES, rng.choice([1, 1, 2, 2, 3, 4, 6]))}
            self._write(root / str(n), files)
            self.files.append(files)

    @staticmethod
    def _write(root: Path, files: Files) -> None:
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for folder, _, names in os.walk(root):
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                os.utime(path, ns=(10**18, 10**18))

    def path(self, n: int) -> Path:
        return self._root / str(n)

    def beginning(self, uploads: tuple[int, ...], past: str) -> Beginning:
        """What a store has been through before anybody of a seed comes, played once."""
        if (uploads, past) not in self._beginnings:
            self._beginnings[uploads, past] = _begun(self, uploads, past)
        return self._beginnings[uploads, past]


@dataclass(frozen=True)
class Beginning:
    """A store with a past. ``bundles``: those that live."""

    objects: dict[str, bytes]
    bundles: dict[str, tuple[str, str, Files | None]]


@dataclass
class World:
    """What people were told: contents of bundles that they were told are committed, and what may be deleted since."""

    schedule: Schedule
    folders: Folders
    scratch: Path
    bundles: dict[str, tuple[str, str, Files | None]] = field(default_factory=dict)  #: id: repo's id and name, files
    doubtful: set[str] = field(default_factory=set)  #: ids of bundles and repos that somebody has begun to delete
    habits: tuple[str, ...] = ()  #: what people do in this world: few things, so that they get into each other's way
    uploads: tuple[int, ...] = ()  #: the folders that they have
    branches: tuple[str | None, ...] = ()

    def commit(self, bundle: Bundle, files: Files | None) -> None:
        self.bundles[bundle.id] = bundle.repo_id, bundle.repo_name, files

    def is_safe(self, id: str) -> bool:
        """Whether a bundle must be there now."""
        return id in self.bundles and id not in self.doubtful and self.bundles[id][0] not in self.doubtful


class Person:
    """One client: does one thing after the other, each chosen by chance; remembers what is theirs."""

    def __init__(self, world: World, name: str, seed: int, mishaps: dict[int | str, Mishap]) -> None:
        self.world = world
        self.name = name
        self.random = random.Random(f"{name} {seed}")
        self.backend = world.schedule.backend(name, mishaps)
        self.clock = SteeredClock(f"{name} {seed}", CLOCK)
        self.mine = list(world.bundles)[int(name[1:]) :: 3]  #: bundles that only this person may delete
        self.deleted: list[str] = []
        self.own = f"own/{name}"
        self.is_own_deleted = False

    def live(self, steps: int) -> None:
        cache = self.world.scratch / self.name if self.random.random() < 0.7 else None
        self.store = tiny_store(self.backend, self.clock, cache)
        self._try(lambda: self.store.create_repo(self.own))
        for _ in range(steps):
            self.clock.tick(self.random.choice([0, 1, 60]))
            self._try(getattr(self, self.random.choice(self.world.habits)))

    def _try(self, action: Callable[[], object]) -> None:
        allowed = (Conflict, NotFound, AlreadyExists, Refused, Unavailable)
        try:
            action()
        except allowed:
            return
        except Corrupt:
            if not self.world.schedule.stale:  # on a network file system a reader may look too early
                raise

    def _repo(self) -> Repo:
        return self.store.repo(self.random.choice([*SHARED, self.own]))

    def _any(self, of: list[str] | None = None) -> str:
        known = list(self.world.bundles) if of is None else of
        if not known:
            raise NotFound("no bundle yet")
        return self.random.choice(known)

    def _committed(self, bundle: Bundle, files: Files | None) -> None:
        self.world.commit(bundle, files)
        self.mine.append(bundle.id)

    # -- what people do ------------------------------------------------------------------------------------------------

    def upload(self) -> None:
        n = self.random.choice(self.world.uploads)
        branch = self.random.choice(self.world.branches)
        label = self.random.choice([None] * 10 + [self.name, "v1.0.0"])
        self._repo().upload(
            self.world.folders.path(n),
            message="upload",
            branch=branch,
            label=label,
            move_label=True,
            on_commit=lambda bundle: self._committed(bundle, self.world.folders.files[n]),
        )

    def edit(self) -> None:
        changes = {
            name: self.random.choice(CONTENTS) for name in self.random.sample(NAMES, self.random.randrange(1, 4))
        }
        with self._repo().edit(message="edit", branch=self.random.choice(["main", self.name])) as edit:
            for name, content in changes.items():
                edit.put(name, content)
            bundle = edit.commit()
        base = self.world.bundles.get(bundle.parents[0], ("", "", None))[2] if bundle.parents else {}
        self._committed(bundle, None if base is None else {**base, **changes})

    def copy(self) -> None:
        source = self._any()
        _, name, files = self.world.bundles[source]
        bundle = self.store.repo(name).bundle(f"bundle:{source}")
        path = self.random.choice([entry.path for entry in bundle.ls()])
        with self._repo().edit(message="copy", branch=f"copies-{self.name}-{self.random.random()}") as edit:
            edit.copy(path, "copied", source=bundle)
            made = edit.commit()
        below = {} if files is None else _below(files, path)
        self._committed(made, None if files is None else below)

    def read(self) -> None:
        id = self._any()
        try:
            assert_complete(self.store.repo(self.world.bundles[id][1]).bundle(f"bundle:{id}"))
        except (AssertionError, NotFound, Corrupt) as error:
            if self.world.is_safe(id) and not self.world.schedule.stale:
                raise AssertionError(f"bundle {id} can't be read") from error

    def label(self) -> None:
        id = self._any()
        self.store.repo(self.world.bundles[id][1]).set_label(f"{self.name}-2", f"bundle:{id}")

    def delete(self) -> None:
        self._delete(self._any(self.mine))

    def wipe(self) -> None:
        for id in list(self.mine):
            try:
                self._delete(id)
            except Conflict:  # somebody has given it a label
                continue

    def _delete(self, id: str) -> None:
        try:
            self.world.doubtful.add(id)
            self.store.repo(self.world.bundles[id][1]).delete_bundle(f"bundle:{id}")
            self.deleted.append(id)
            self.mine.remove(id)
        except Conflict:
            self.world.doubtful.discard(id)
            raise

    def undelete(self) -> None:
        id = self._any(self.deleted)
        self.store.repo(self.world.bundles[id][1]).undelete_bundle(id)
        self.deleted.remove(id)
        self.mine.append(id)
        self.world.doubtful.discard(id)

    def diamond(self) -> None:
        if self.world.schedule.stale:
            return
        diamond = self._repo().create_diamond()
        n, m = self.random.choices(self.world.uploads, k=2)
        diamond.add_split(self.world.folders.path(n), split_id="one")
        self.clock.tick()  # the later one wins
        diamond.add_split(self.world.folders.path(m), split_id="two")
        files = {**self.world.folders.files[n], **self.world.folders.files[m]}
        diamond.commit(
            message="joined", branch=None, mode="ignored", on_commit=lambda bundle: self._committed(bundle, files)
        )

    def own_repo(self) -> None:
        if self.is_own_deleted:
            repo = self.store.undelete_repo(self.own)
            self.world.doubtful.discard(repo.id)
            self.is_own_deleted = False
        else:
            repo = self.store.repo(self.own)
            self.world.doubtful.add(repo.id)
            repo.delete()
            self.is_own_deleted = True

    def squash(self) -> None:
        repo = self.store.repo(self.own)
        self.world.doubtful |= {id for id, (of, _, _) in self.world.bundles.items() if of == repo.id}
        repo.squash(retain_latest=self.random.randrange(1, 3), retain_semver_tags=True)
        left = repo.bundles()
        gone = {bundle.id for bundle in repo.deleted_bundles()}
        self.mine = [id for id in self.mine if id not in gone]
        self.deleted += sorted(gone - set(self.deleted))
        self.world.doubtful -= {bundle.id for bundle in left}


def _below(files: Files, path: str) -> Files:
    if path in files:
        return {"copied": files[path]}
    return {
        f"copied/{name.removeprefix(path + '/')}": content
        for name, content in files.items()
        if name.startswith(path + "/")
    }


class Impatient:
    """Waits for a few looks, standing still in between, then ends what is still open; or leaves it."""

    def __init__(self, schedule: Schedule, name: str, rng: random.Random) -> None:
        self._schedule = schedule
        self._name = name
        self._random = rng

    def __call__(self, sessions: list[Session]) -> Decision:
        chance = self._random.random()
        if chance < 0.4:
            self._schedule.sleep(self._name, self._random.randrange(1, 200))
            return Decision.WAIT
        return Decision.END if chance < 0.9 else Decision.LEAVE

    def settle(self, seconds: float) -> None:
        self._schedule.sleep(self._name, seconds)


class Collector:
    """A client that collects garbage again and again."""

    def __init__(self, world: World, name: str, seed: int, mishaps: dict[int | str, Mishap]) -> None:
        self.world = world
        self.name = name
        self.random = random.Random(f"{name} {seed}")
        self.backend = world.schedule.backend(name, mishaps)
        self.clock = SteeredClock(f"{name} {seed}", CLOCK)

    def live(self, times: int) -> None:
        store = tiny_store(self.backend, self.clock)
        waiting = Impatient(self.world.schedule, self.name, self.random)
        for _ in range(times):
            self.world.schedule.sleep(self.name, self.random.choice([0, 20, 100, 300]))
            try:
                collect(store._core, waiting, below=self.random.choice([0.5, 0.5, 0.9]))
            except (Conflict, AlreadyExists, Unavailable):
                continue
            except Corrupt:
                if not self.world.schedule.stale:
                    raise


# -- one run -----------------------------------------------------------------------------------------------------------


def play(seed: int, folders: Folders, *, people: int = 3, collectors: int = 2) -> World:
    """Everybody lives through a seed, and everything that they were told holds afterwards. Raises what does not hold."""
    rng = random.Random(f"world {seed}")
    schedule = Schedule(seed, stale=rng.choice([0, 0, 0, 0, 0, 60]))
    scratch = Path(tempfile.mkdtemp(prefix="sheaf-schedule-"))
    try:
        world = World(schedule, folders, scratch, **_ways(rng))
        _begin(world, rng.choice(PASTS))
        for n in range(people):
            person, steps = Person(world, f"p{n}", seed, _mishaps(rng)), rng.randrange(2, 8)
            schedule.add(person.name, partial(person.live, steps))
        for n in range(collectors):
            collector = Collector(world, f"gc{n}", seed, _mishaps(rng))
            schedule.add(collector.name, partial(collector.live, 3))
        schedule.run()
        assert_kept(world)
        return world
    finally:
        shutil.rmtree(scratch)


def _ways(rng: random.Random) -> dict[str, Any]:
    """How people live in a world."""
    rare = ("edit", "copy", "read", "label", "undelete", "diamond", "own_repo", "squash")
    habits = [*rng.choice(PLOTS), *rng.sample(rare, rng.choice([0, 0, 1, 2]))]
    branches = rng.choice([(None,), (None,), (None,), ("main", "dev", None)])
    return {"habits": tuple(habits), "branches": branches, "uploads": rng.choice(UPLOADS)}


def _begun(folders: Folders, uploads: tuple[int, ...], past: str) -> Beginning:
    schedule = Schedule()
    _make(schedule, StoreConfig(SteeredClock("store").new_id(), "2026-01-01T00:00:00.000000Z", chunker=CHUNKER))
    store = tiny_store(schedule.backend("beginning"), SteeredClock("beginning", CLOCK))
    kept: dict[str, tuple[str, str, Files | None]] = {}
    for name in SHARED:
        repo = store.create_repo(name)
        for n in uploads if past != "nothing" else ():
            bundle = repo.upload(folders.path(n), message="first", branch=None).bundle
            kept[bundle.id] = repo.id, name, folders.files[n]
    gone = {"all is garbage": len(kept), "half is garbage": len(kept) // 2, "half was collected": len(kept) // 2}
    for id in list(kept)[: gone.get(past, 0)]:
        store.repo(kept.pop(id)[1]).delete_bundle(f"bundle:{id}")
    if past == "half was collected":
        collect(store._core, GracePeriod(0))
    return Beginning({stat.key: schedule.store.get(stat.key) for stat in schedule.store.list()}, kept)


def _make(schedule: Schedule, config: StoreConfig) -> None:
    schedule.store.create(keys.CONFIG, encode_config(config))


def _begin(world: World, past: str) -> None:
    beginning = world.folders.beginning(world.uploads, past)
    for key, data in beginning.objects.items():
        world.schedule.store.create(key, data)
    world.bundles.update(beginning.bundles)


def _mishaps(rng: random.Random) -> dict[int | str, Mishap]:
    """Most live undisturbed; some have several mishaps."""
    if rng.random() < 0.7:
        return {}
    return {rng.randrange(1, 60): rng.choice(list(Mishap)) for _ in range(rng.randrange(1, 5))}


# -- afterwards --------------------------------------------------------------------------------------------------------


def assert_kept(world: World) -> None:
    """All that people were told holds; and still does when the garbage has gone, all of it."""
    schedule = world.schedule
    backend = schedule.backend("afterwards")
    schedule.stale = 0
    backend.settle_s = 0.0
    store = tiny_store(backend, SteeredClock("afterwards", CLOCK))
    _assert_all(world, store, read_data=False)
    for _ in range(2):  # a generation keeps what has lived while it worked, so the next one may find more
        collect(store._core, GracePeriod(0))
    _assert_all(world, store, read_data=True)
    _assert_tidy(store, backend)


def _assert_all(world: World, store: Store, *, read_data: bool) -> None:
    report = store.check(read_data=read_data)
    damage = [problem for problem in report.problems if not problem.repairable]
    claim(not damage, f"check finds {damage}")
    repos = {info.id: store.repo(info.name) for info in store.repos()}
    found = {bundle.id: bundle for repo in repos.values() for bundle in repo.bundles()}
    for id, (repo_id, name, files) in world.bundles.items():
        if world.is_safe(id):
            claim(repo_id in repos, f"repo {name} is gone")
            claim(id in found, f"bundle {id} of {name} is gone")
            _assert_files(found.pop(id), files)
    for repo in repos.values():
        assert_refs_resolve(repo)
    for bundle in found.values():
        bundle.verify()


def _assert_files(bundle: Bundle, files: Files | None) -> None:
    if files is None:
        bundle.verify()
    else:
        found = {path: entry.content for path, entry in tree_of(bundle).items() if entry.kind == "file"}
        claim(found == files, f"{bundle} has {sorted(found)} and should have {sorted(files)}")


def _assert_tidy(store: Store, backend: Backend) -> None:
    """Nothing is left for gc: no generation, and all packs are at least half needed."""
    left = [stat.key for stat in backend.list(keys.CONDEMNED)]
    claim(not left, f"there is still {left}")
    rest = collect(store._core, GracePeriod(0), dry_run=True)
    claim((rest.packs, rest.moved, rest.nodes, rest.objects) == (0, 0, 0, 0), f"gc would still find {rest}")
