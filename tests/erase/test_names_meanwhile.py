"""Taking names out beside others, and being stopped at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.crash.builders import clone
from tests.erase.builders import (
    BIG,
    OTHER,
    SECRET,
    Later,
    Now,
    assert_survives_lost_answers,
    core_of,
    hash_of,
    named_in,
    new_backend,
    process,
    put,
    readable,
    traces,
)
from tests.erase.test_names import GONE, NAME, assert_forgotten, forget, listing, without

import sheaf
from sheaf.engine.erase.erasure import erase
from sheaf.engine.erase.redact_names import Names
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import Decision
from sheaf.errors import Conflict, SheafError
from sheaf.format import keys
from sheaf.format.session_v1 import Session
from sheaf.repo.edit import Edit
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.open import open_backend
from sheaf.storage.port import Backend
from sheaf.testing.faults import Fault, survives_every_crash
from sheaf.testing.invariants import assert_sound

CONTENT = frozenset([bytes.fromhex(hash_of(SECRET))])


class During(Now):
    """Lets somebody act each time that the erasure waits, in this order."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self._acts = list(acts)

    def __call__(self, sessions: list[Session]) -> Decision:
        if not self._acts:
            return Decision.END
        self._acts.pop(0)()
        return Decision.WAIT


def begun(store: Store, repo: str, branch: str = "main") -> Edit:
    """An edit of a bundle that has the name."""
    edit = store.repo(repo).edit(message="late", branch=branch)
    edit.__enter__()
    return edit


def finish(edit: Edit) -> None:
    edit.put("late", b"late")
    edit.commit()
    edit.__exit__(None, None, None)


def test_an_edit_of_the_old_tree_is_waited_for_and_redacted(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
    with process(backend, "late") as late:
        edit = begun(late, "r")
        erase(core_of(store), CONTENT, "x", During(lambda: finish(edit)), Names())
    assert_forgotten(backend)
    last = store.repo("r").bundle()
    assert last.message == "late" and last.redacted
    assert readable(last, [SECRET]) == {"other": OTHER, "late": b"late"}
    assert_sound(store)


def test_a_copy_of_a_copy_in_another_repo(backend: MemoryBackend, store: Store) -> None:
    """Each session copies what the one before has committed; none knows of the erasure when it begins."""
    source = put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
    store.create_repo("q")
    with process(backend, "first") as first, process(backend, "second") as second:
        edit = begun(first, "q")
        edit.copy(NAME, "copies/" + NAME, source=source)
        other: list[Edit] = []

        def commit_first() -> None:
            finish(edit)
            again = begun(second, "r")
            again.copy("copies", "again", source=first.repo("q").bundle())
            other.append(again)

        erase(core_of(store), CONTENT, "x", During(commit_first, lambda: finish(other[0])), Names())
    assert_forgotten(backend)
    assert sorted(listing(store.repo("r").bundle())) == ["again", f"again/{GONE}", GONE, "late", "other"]
    assert_sound(store)


def test_an_edit_that_stands_still_is_ended(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
    with process(backend, "late") as late:
        edit = begun(late, "r")
        edit.put("late", b"late")
        edit._writer.store.build(edit._changes.pieces())  # its nodes have the name
        forget(store)
        assert_forgotten(backend)
        with pytest.raises(SheafError):
            edit.commit()
        edit.__exit__(None, None, None)
        put(late.repo("r"), {"again": b"again"})
    assert sorted(listing(store.repo("r").bundle())) == ["again", GONE, "other"]
    collect(core_of(store), Now())
    assert_sound(store)


def test_who_will_not_wait_runs_it_again(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
    with process(backend, "late") as late:
        edit = begun(late, "r")
        with pytest.raises(Conflict, match="must wait for other sessions"):
            erase(core_of(store), CONTENT, "x", Later(), Names())
        finish(edit)
    assert_sound(store)
    erase(core_of(store), CONTENT, "x", Later(), Names())
    assert_forgotten(backend)


def test_beside_another_erasure_and_a_gc(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
    put(store.repo("r"), {f"{NAME}-2": BIG})
    with process(backend, "late") as late, process(backend, "other") as other, process(backend, "gc") as third:
        edit = begun(late, "r")

        def others() -> None:
            finish(edit)
            forget(other, BIG)
            collect(core_of(third), Now())

        erase(core_of(store), CONTENT, "x", During(others), Names())
    assert_forgotten(backend)
    assert readable(store.repo("r").bundle(), [SECRET, BIG]) == {"other": OTHER, "late": b"late"}
    assert_sound(store)


# -- being stopped -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> MemoryBackend:
    backend = new_backend()
    with process(backend, "maker") as store:
        repo = store.create_repo("r")
        put(repo, {NAME: SECRET, f"a/{NAME}": SECRET, "other": OTHER})
        put(store.create_repo("q"), {f"q-{NAME}": SECRET, "more": OTHER[:700]})
        store.erasure.erase(content=hash_of(OTHER[:700]), reason="before", now=True)
        put(repo, {"a/more": b"more"})
    return backend


def run(backend: Backend) -> None:
    with process(backend, "eraser") as store:
        forget(store)


def seen(store: Store) -> dict[str, Any]:
    """What must not change."""
    return {
        info.name: [(b.id, b.version, b.files, without(listing(b))) for b in store.repo(info.name).bundles()]
        for info in store.repos()
    }


def test_a_crash_loses_nothing_and_a_second_try_ends_it(made: MemoryBackend) -> None:
    with process(made, "before") as store:
        before = seen(store)

    def check(backend: Backend) -> None:
        with process(backend, "checker") as store:
            assert seen(store) == before
            assert_sound(store)
        with process(backend, "again") as store:
            forget(store)
            assert seen(store) == before
            assert_sound(store)
        assert_forgotten(backend)

    assert survives_every_crash(lambda: clone(made), run, check) > 12


def test_gc_does_no_harm_in_between(made: MemoryBackend) -> None:
    with process(made, "before") as store:
        before = seen(store)

    def check(backend: Backend) -> None:
        with process(backend, "collector") as store:
            collect(core_of(store), Now())
            assert seen(store) == before
            assert_sound(store)
            forget(store)
            assert seen(store) == before
        assert_forgotten(backend)

    survives_every_crash(lambda: clone(made), run, check)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAIL])
def test_a_lost_answer_is_no_harm(made: MemoryBackend, fault: Fault) -> None:
    def check(store: Store) -> None:
        assert_sound(store)
        assert not named_in(core_of(store).backend, NAME)

    assert_survives_lost_answers(made, fault, forget, check)


# -- copies ------------------------------------------------------------------------------------------------------------


def test_a_replica_forgets_it_too(tmp_path: Path) -> None:
    store = sheaf.init(str(tmp_path / "store"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / NAME).write_bytes(SECRET)
    (tmp_path / "in" / "other").write_bytes(OTHER)
    store.replicas.add(str(tmp_path / "copy"), policy="all")
    repo = store.create_repo("faces")
    repo.upload(tmp_path / "in", message="m", label="init")
    store.erasure.erase(address=f"faces@init:{NAME}", reason="first", now=True)
    store.erasure.erase(address=f"faces@init:{NAME}", with_path=True, reason="asked for", now=True)
    for name in ("store", "copy"):
        place = open_backend(str(tmp_path / name))
        assert not named_in(place, NAME) and not traces(place, SECRET)
        assert not list(place.list(keys.CONDEMNED))
        with sheaf.connect(str(tmp_path / name)) as read:
            assert read.check(read_data=True).ok
            bundle = read.repo("faces").bundle("init")
            assert bundle.redacted and readable(bundle, [SECRET]) == {"other": OTHER}
    with sheaf.connect(str(tmp_path / "store")) as again:
        target = tmp_path / "out"
        done = again.repo("faces").bundle("init").download(target)
        assert [path.name for path in target.iterdir()] == ["other"] and list(done.erased) == [GONE]
