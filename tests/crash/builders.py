"""Stores to crash in, what a person sees of them, and the operations that are stopped halfway."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sheaf.engine.core import create_store
from sheaf.errors import AlreadyExists, Conflict, NotFound, SheafError
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_complete
from sheaf.testing.model_repo import FOLDER, ModelEntry, Tree, write_folder

NOISE = random.Random(1).randbytes(700_000)  #: cut into several chunks, so the file gets a recipe
FIRST: Tree = {
    "a": ModelEntry("file", b"a"),
    "a-b/x": ModelEntry("file", b"x" * 20_000),
    "a.b": ModelEntry("symlink", b"a"),
    "empty": FOLDER,
    "big": ModelEntry("file", NOISE),
}
SECOND: Tree = {
    **FIRST,
    "a": ModelEntry("file", b"other"),
    "big": ModelEntry("file", NOISE[:400_000] + b"!" + NOISE[400_000:]),
}
SPLITS: tuple[Tree, Tree] = (
    {"s": ModelEntry("file", b"1"), "one/big": ModelEntry("file", NOISE[:300_000])},
    {"s": ModelEntry("file", b"2")},
)

View = dict[str, Any]


@contextmanager
def process(backend: Backend, seed: str, later_s: float = 0) -> Iterator[Store]:
    """A process that has the store open; ``seed`` names it, since no two may draw the same ids."""
    clock = SteeredClock(seed)
    clock.tick(later_s)
    with Store(backend, clock=clock) as store:
        yield store


def view(backend: Backend) -> View:
    """All that a person can see of a store, read by a new process."""
    with process(backend, "viewer") as store:
        return {info.name: _repo_view(store, info.name) for info in store.repos()}


def _repo_view(store: Store, name: str) -> View:
    repo = store.repo(name)
    bundles = [(bundle.id, bundle.version, bundle.parents, bundle.message) for bundle in repo.bundles()]
    labels = [(move.name, move.bundle) for move in repo.label_history()]
    return {
        "id": repo.id,
        "bundles": bundles,
        "labels": {label.name: label.bundle for label in repo.labels()},
        "moves": labels,
        "branches": {branch.name: branch.bundle for branch in repo.branches()},
    }


def clone(source: MemoryBackend) -> MemoryBackend:
    """An independent copy of a store."""
    copy = MemoryBackend()
    for stat in source.list():
        copy.create(stat.key, source.get(stat.key))
    return copy


@dataclass(frozen=True, slots=True)
class World:
    """A store with a bundle, two branches that diverged, a run that goes on, and two diamonds, one of them with splits."""

    backend: MemoryBackend
    folder: Path
    full: str
    fresh: str
    run: str

    def copy(self) -> MemoryBackend:
        return clone(self.backend)


def build_world(scratch: Path) -> World:
    """Make it; ``scratch`` keeps the folders that are uploaded."""
    backend = MemoryBackend()
    create_store(backend, SteeredClock("store"))
    trees = {"first": FIRST, "second": SECOND, "one": SPLITS[0], "two": SPLITS[1]}
    folders = {name: write_folder(scratch / name, tree) for name, tree in trees.items()}
    with process(backend, "builder") as store:
        repo = store.create_repo("faces", "the repo")
        repo.upload(folders["first"], message="first", label="v1")
        repo.create_branch("dev")
        for branch, path in (("left", "a-b/left"), ("right", "a-b/right")):
            with repo.edit(message=branch, branch=branch, base="v1") as edit:
                edit.put(path, NOISE[:1000])
                edit.put("big", b"right") if branch == "right" else edit.remove("a.b")
                edit.commit()
        full, fresh = repo.create_diamond(), repo.create_diamond()
        full.add_split(folders["one"], split_id="one")
        full.add_split(folders["two"], split_id="two")
        run = store.runs.start(command=("train",), environment={})
        return World(backend, scratch, full.id, fresh.id, run)


# -- operations --------------------------------------------------------------------------------------------------------

Acknowledge = Callable[[str], None]  #: takes the id of a bundle that a person was told is committed


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that changes a store. ``done`` says that it had its effect; ``refusal``: what asking again gets then."""

    name: str
    run: Callable[[World, Store, Acknowledge], object]
    done: Callable[[World, Store], bool]
    refusal: type[SheafError] | None = None


def _upload(world: World, store: Store, acknowledge: Acknowledge) -> None:
    folder = world.folder / "second"
    store.repo("faces").upload(
        folder, message="up", label="v2", move_label=True, on_commit=lambda bundle: acknowledge(bundle.id)
    )


def _upload_elsewhere(world: World, store: Store, acknowledge: Acknowledge) -> None:
    folder = world.folder / "second"
    store.repo("faces").upload(folder, message="up", branch=None, on_commit=lambda bundle: acknowledge(bundle.id))


def _edit(world: World, store: Store, acknowledge: Acknowledge) -> None:
    with store.repo("faces").edit(message="up", base="v1") as edit:
        edit.put("new/big", NOISE[::-1])
        edit.remove("a")
        edit.copy("a-b", "copied", source=store.repo("faces").bundle("v1"))
        acknowledge(edit.commit().id)


def _edit_by_reference(world: World, store: Store, acknowledge: Acknowledge) -> None:
    with store.repo("faces").edit(message="up") as edit:
        # Repeated after it was done, it finds what it has moved.
        edit.move("a-b" if edit.is_folder("a-b") else "moved", "moved" if edit.is_folder("a-b") else "again")
        edit.remove("empty") if edit.is_folder("empty") else edit.mkdir("empty")
        edit.append("big", b"more")
        edit.splice("big", 300_000, 10, b"less")
        edit.copy("big", "copied/big")
        acknowledge(edit.commit().id)


def _merge(world: World, store: Store, acknowledge: Acknowledge) -> None:
    acknowledge(store.repo("faces").merge("right", "left", message="up").bundle)


def _fast_forward(world: World, store: Store, acknowledge: Acknowledge) -> None:
    acknowledge(store.repo("faces").merge("right", "dev").bundle)


def _revert(world: World, store: Store, acknowledge: Acknowledge) -> None:
    repo = store.repo("faces")
    bad = next(bundle for bundle in repo.bundles() if bundle.message == "right")
    acknowledge(repo.revert(bad.id, "right", message="up").bundle)


def _commit(world: World, store: Store, acknowledge: Acknowledge) -> None:
    diamond = store.repo("faces").diamond(world.full)
    diamond.commit(message="up", label="joined", on_commit=lambda bundle: acknowledge(bundle.id))


def _split(world: World, store: Store, acknowledge: Acknowledge) -> None:
    store.repo("faces").diamond(world.fresh).add_split(world.folder / "second", split_id="late")


def _uploaded(world: World, store: Store) -> bool:
    return any(bundle.message == "up" for bundle in store.repo("faces").bundles())


def _has(find: Callable[[Store], object]) -> Callable[[World, Store], bool]:
    def found(world: World, store: Store) -> bool:
        try:
            find(store)
        except NotFound:
            return False
        return True

    return found


def _lacks(find: Callable[[Store], object]) -> Callable[[World, Store], bool]:
    return lambda world, store: not _has(find)(world, store)


def _do(action: Callable[[Store], object]) -> Callable[[World, Store, Acknowledge], object]:
    return lambda world, store, acknowledge: action(store)


def _set_label(store: Store) -> None:
    repo = store.repo("faces")
    repo.set_label("v3", "label:v1")


OPERATIONS = (
    Operation("upload", _upload, _uploaded),
    Operation("upload without a branch", _upload_elsewhere, _uploaded),
    Operation("edit", _edit, _uploaded),
    Operation("merge", _merge, _uploaded),
    Operation(
        "fast-forward",
        _fast_forward,
        lambda world, store: store.repo("faces").branch("dev").bundle == store.repo("faces").branch("right").bundle,
    ),
    Operation("revert", _revert, _uploaded),
    Operation("edit by reference", _edit_by_reference, _uploaded),
    Operation("label set", _do(_set_label), _has(lambda s: s.repo("faces").label("v3"))),
    Operation(
        "label delete",
        _do(lambda s: s.repo("faces").delete_label("v1")),
        _lacks(lambda s: s.repo("faces").label("v1")),
        NotFound,
    ),
    Operation(
        "branch create",
        _do(lambda s: s.repo("faces").create_branch("new", "v1")),
        _has(lambda s: s.repo("faces").branch("new")),
        AlreadyExists,
    ),
    Operation(
        "branch delete",
        _do(lambda s: s.repo("faces").delete_branch("dev")),
        _lacks(lambda s: s.repo("faces").branch("dev")),
        NotFound,
    ),
    Operation("repo create", _do(lambda s: s.create_repo("new")), _has(lambda s: s.repo("new")), AlreadyExists),
    Operation(
        "repo rename", _do(lambda s: s.repo("faces").rename("people")), _has(lambda s: s.repo("people")), NotFound
    ),
    Operation("repo delete", _do(lambda s: s.repo("faces").delete()), _lacks(lambda s: s.repo("faces")), NotFound),
    Operation(
        "diamond initialize",
        _do(lambda s: s.repo("faces").create_diamond()),
        lambda world, store: len(store.repo("faces").diamonds()) >= 3,
    ),
    Operation(
        "diamond split",
        _split,
        lambda world, store: any(s.state == "done" for s in store.repo("faces").diamond(world.fresh).splits()),
        AlreadyExists,
    ),
    Operation("diamond commit", _commit, _uploaded, Conflict),
    Operation(
        "run start",
        _do(lambda s: s.runs.start(command=("test",), environment={})),
        lambda world, store: len(store.runs.list()) >= 2,
    ),
    Operation(
        "run end",
        lambda world, store, acknowledge: store.runs.end(world.run, "succeeded", exit_code=0),
        lambda world, store: store.runs.get(world.run)[1] is not None,
        AlreadyExists,
    ),
    Operation(
        "diamond cancel",
        lambda world, store, acknowledge: store.repo("faces").diamond(world.fresh).cancel(),
        lambda world, store: store.repo("faces").diamond(world.fresh).info.state == "canceled",
    ),
)


def assert_kept(backend: Backend, before: View, acknowledged: list[str], after: View) -> None:
    """A person sees what was there before the operation or what is there after it, nothing between; no promise broken."""
    seen = view(backend)
    assert seen in (before, after)
    ids = {bundle[0] for repo in seen.values() for bundle in repo["bundles"]}
    assert set(acknowledged) <= ids, "a bundle that was acknowledged is gone"
    with process(backend, "reader") as store:
        for name in seen:
            for bundle in store.repo(name).bundles():
                assert_complete(bundle)
