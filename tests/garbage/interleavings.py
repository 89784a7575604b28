"""Two people and one store: small stories, in which one is interrupted at every call by all that the other does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.garbage.simulation import CHUNKER, CLOCK, tiny_store

from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import GracePeriod
from sheaf.errors import AlreadyExists, Conflict, NotFound, Refused, Unavailable
from sheaf.format import keys
from sheaf.format.store_v1 import StoreConfig, encode_config
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_complete, assert_refs_resolve, claim
from sheaf.testing.schedule import Mishap, Plan, Schedule, plans

SHORT = b"some bytes " * 9
REFUSALS = (Conflict, NotFound, AlreadyExists, Refused, Unavailable)
LONG = bytes(i * i % 251 ^ i // 256 for i in range(9000))  #: several chunks, so that the file has a recipe


@dataclass
class Stage:
    """Where a scene is played; ``told``: the bundles that somebody was told are there."""

    scratch: Path
    told: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)

    def folder(self, name: str, files: Mapping[str, bytes]) -> Path:
        root = self.scratch / name
        if not root.exists():
            for path, content in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
        return root

    def upload(self, repo: Repo, name: str, files: Mapping[str, bytes]) -> Bundle:
        bundle = repo.upload(self.folder(name, files), message=name, branch=None, on_commit=self.note_commit).bundle
        return self.note(name, bundle)

    def note(self, name: str, bundle: Bundle) -> Bundle:
        self.notes[name] = bundle.id
        return bundle

    def note_commit(self, bundle: Bundle) -> None:
        self.told.add(bundle.id)

    def delete(self, repo: Repo, name: str) -> None:
        try:
            self.told.discard(repo.delete_bundle(f"bundle:{self.notes[name]}"))
        except Conflict:  # somebody has named it
            return


Act = Callable[[Stage, Store], object]


@dataclass(frozen=True)
class Scene:
    """What was before, and what two clients do at the same time."""

    before: Act
    one: Act
    other: Act
    mishaps: Mapping[int | str, Mishap] = field(default_factory=dict)  #: of ``one``


def faces(store: Store) -> Repo:
    return store.repo("faces")


def gc(stage: Stage, store: Store) -> None:
    collect(store._core, GracePeriod(0))


def several(*acts: Act) -> Act:
    """One after the other; what is refused ends it."""

    def run(stage: Stage, store: Store) -> None:
        for act in acts:
            act(stage, store)

    return run


def tries(*acts: Act) -> Act:
    """One after the other, whatever is refused."""

    def run(stage: Stage, store: Store) -> None:
        for act in acts:
            with suppress(*REFUSALS):
                act(stage, store)

    return run


def upload(name: str, files: Mapping[str, bytes], to: str = "faces") -> Act:
    return lambda stage, store: stage.upload(store.repo(to), name, files)


def delete(name: str) -> Act:
    return lambda stage, store: stage.delete(faces(store), name)


def edit_of(base: str, files: Mapping[str, bytes], branch: str = "dev") -> Act:
    def run(stage: Stage, store: Store) -> None:
        with faces(store).edit(message="edit", branch=branch, base=f"bundle:{stage.notes[base]}") as edit:
            for path, content in files.items():
                edit.put(path, content)
            stage.note_commit(edit.commit())

    return run


def copy_of(source: str, path: str, to: str = "other") -> Act:
    def run(stage: Stage, store: Store) -> None:
        bundle = faces(store).bundle(f"bundle:{stage.notes[source]}")
        with store.repo(to).edit(message="copy") as edit:
            edit.copy(path, f"copy of {path}", source=bundle)
            stage.note_commit(edit.commit())

    return run


def undelete(name: str) -> Act:
    return lambda stage, store: stage.note_commit(faces(store).undelete_bundle(stage.notes[name]))


def label(name: str) -> Act:
    def run(stage: Stage, store: Store) -> None:
        faces(store).set_label("kept", f"bundle:{stage.notes[name]}")

    return run


def diamond(stage: Stage, store: Store) -> None:
    made = faces(store).create_diamond()
    made.add_split(stage.folder("all", ALL))
    made.commit(message="joined", branch=None, on_commit=stage.note_commit)


def delete_repo(stage: Stage, store: Store) -> None:
    repo = faces(store)
    stage.told -= {bundle.id for bundle in repo.bundles()}
    repo.delete()


def undelete_repo(stage: Stage, store: Store) -> None:
    stage.told |= {bundle.id for bundle in store.undelete_repo("faces").bundles()}


ALL = {"a": SHORT, "b/c": LONG}
HALF = {"b/c": LONG[:2600], "d": b"d"}
garbage = several(upload("all", ALL), delete("all"))
half_dead = several(upload("all", ALL), upload("half", HALF), delete("all"))
#: Half-dead again, after it was moved before: rows lead to its chunks through a forwarding address.
moved = several(half_dead, gc, copy_of("half", "b"), upload("more", {**HALF, "d": LONG[5000:]}), delete("half"))

SCENES: dict[str, Scene] = {
    "an upload of what is garbage": Scene(garbage, upload("again", ALL), gc),
    "an upload of what becomes garbage": Scene(upload("all", ALL), upload("again", ALL), several(delete("all"), gc)),
    "an edit of what becomes garbage": Scene(
        upload("all", ALL), edit_of("all", {"new": b"new"}), several(delete("all"), gc)
    ),
    "a copy of what becomes garbage": Scene(upload("all", ALL), copy_of("all", "b"), several(delete("all"), gc)),
    "a copy of a copy": Scene(
        upload("all", ALL),
        several(edit_of("all", {"new": b"new"}), copy_of("all", "b")),
        several(delete("all"), gc, gc),
    ),
    "an upload of what is half dead": Scene(half_dead, upload("again", ALL), gc),
    "a copy of what moves": Scene(half_dead, copy_of("half", "b/c"), several(delete("half"), gc)),
    "a copy of what moves again": Scene(moved, copy_of("more", "b/c"), several(delete("more"), gc)),
    "two gcs": Scene(half_dead, gc, several(gc, gc)),
    "two gcs, and moved again": Scene(moved, gc, several(gc, gc)),
    "a gc, and one that finds other garbage": Scene(half_dead, gc, several(delete("half"), gc)),
    "an undelete": Scene(garbage, undelete("all"), gc),
    "an undelete beside what moves": Scene(several(half_dead, delete("half")), undelete("half"), gc),
    "an undelete of what has moved": Scene(several(half_dead, gc, delete("half")), undelete("half"), several(gc, gc)),
    "an undelete of a repo": Scene(several(upload("all", ALL), delete_repo), undelete_repo, gc),
    "a label": Scene(upload("all", ALL), label("all"), several(delete("all"), gc)),
    "a diamond": Scene(garbage, diamond, gc),
    "a commit that lands late": Scene(garbage, upload("again", ALL), several(gc, gc), mishaps={"/log/": Mishap.LATE}),
    "a gc whose commit lands late": Scene(half_dead, gc, several(gc, gc), mishaps={"log/": Mishap.LATE}),
    "a gc that dies before its commit": Scene(half_dead, gc, several(gc, gc), mishaps={"log/": Mishap.CRASH_BEFORE}),
}


def play(scene: Scene, plan: Plan, scratch: Path, stale: int = 0) -> Schedule:
    """Plays a scene; raises what does not hold afterwards."""
    schedule, stage = Schedule(plan=plan), Stage(scratch)
    store = new_store(schedule)
    scene.before(stage, store)
    for name, act in (("one", scene.one), ("other", scene.other)):
        schedule.add(name, client(schedule, stage, name, act, scene.mishaps if name == "one" else {}))
    schedule.run()
    assert_kept(schedule, stage)
    return schedule


def new_store(schedule: Schedule) -> Store:
    """A store with two repos, for what was before."""
    config = StoreConfig(SteeredClock("store").new_id(), "2026-01-01T00:00:00.000000Z", chunker=CHUNKER)
    schedule.store.create(keys.CONFIG, encode_config(config))
    store = _opened(schedule, "before")
    for name in ("faces", "other"):
        store.create_repo(name)
    return store


def _opened(schedule: Schedule, name: str, mishaps: Mapping[int | str, Mishap] | None = None) -> Store:
    return tiny_store(schedule.backend(name, mishaps), SteeredClock(name, CLOCK))


def client(
    schedule: Schedule, stage: Stage, name: str, act: Act, mishaps: Mapping[int | str, Mishap] | None = None
) -> Callable[[], None]:
    """What a client does that opens the store, acts and may be refused."""

    def live() -> None:
        with suppress(*REFUSALS):
            act(stage, _opened(schedule, name, mishaps))

    return live


def assert_kept(schedule: Schedule, stage: Stage) -> None:
    """Nothing is damaged, nothing that somebody was told is gone; also when gcs have come once more."""
    store = _opened(schedule, "afterwards")
    for _ in range(2):
        damage = [problem for problem in store.check(read_data=True).problems if not problem.repairable]
        claim(not damage, f"check finds {damage}")
        bundles = {bundle.id: bundle for info in store.repos() for bundle in store.repo(info.name).bundles()}
        claim(stage.told <= bundles.keys(), "a bundle is gone")
        for info in store.repos():
            assert_refs_resolve(store.repo(info.name))
        for bundle in bundles.values():
            assert_complete(bundle)
        gc(stage, store)
        gc(stage, store)


def interruptions(scene: Scene, scratch: Path) -> list[Plan]:
    """Every plan in which one of the two is interrupted once."""
    made = play(scene, [("one", 1 << 30)], scratch).made
    return [
        *plans("one", "other", made["one"]),
        *plans("other", "one", play(scene, [("other", 1 << 30)], scratch).made["other"]),
    ]
