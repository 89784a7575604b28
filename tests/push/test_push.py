"""What is copied has the same ids and versions, and arrives once, however often it is stopped."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from sheaf.engine.core import create_store
from sheaf.errors import Conflict, NotFound, Refused, SheafError, Unavailable
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import FaultyBackend, survives_every_crash
from sheaf.testing.invariants import assert_sound

NOISE = random.Random(7).randbytes(1_500_000)  # of many chunks


def opened(backend: Backend, seed: str) -> Store:
    return Store(backend, clock=SteeredClock(seed))


def empty(seed: str) -> MemoryBackend:
    backend = MemoryBackend()
    create_store(backend, SteeredClock(seed))
    return backend


@pytest.fixture
def source(tmp_path: Path) -> Store:
    """A repo with three bundles on main, one on a branch of its own, and a label."""
    store = opened(empty("source"), "source-user")
    repo, folder = store.create_repo("faces", "portraits"), tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for i in range(40):
        (folder / "sub" / f"{i}.txt").write_bytes(b"%d" % i * (i + 1))
    (folder / "big").write_bytes(NOISE)
    (folder / "link").symlink_to("big")
    (folder / "nothing").touch()
    repo.upload(folder, message="first", label="v1", meta={"k": "v"})
    repo.create_branch("dev")
    (folder / "big").write_bytes(NOISE[:700_000] + b"!" + NOISE[700_000:])
    repo.upload(folder, message="second")
    (folder / "sub" / "7.txt").write_text("changed")
    repo.upload(folder, message="third")
    repo.upload(folder, message="aside", branch="dev")
    return store


def seen(repo: Repo) -> object:
    bundles = [
        (b.id, b.version, b.message, b.time, b.author, b.parents, b.meta, b.files, b.size) for b in repo.bundles()
    ]
    return bundles, {x.name: x.bundle for x in repo.labels()}, {x.name: x.bundle for x in repo.branches()}


def test_a_copy_has_the_same_bundles_and_refs_and_every_byte(source: Store) -> None:
    target = opened(empty("target"), "t")
    done = source.repo("faces").push(target)
    assert seen(target.repo("faces")) == seen(source.repo("faces"))
    assert target.repo("faces").description == "portraits"
    assert len(done.bundles) == 4
    for bundle in target.repo("faces").bundles():
        assert bundle.verify().files == bundle.files
    assert target.repo("faces").bundle("v1").read("big") == NOISE
    assert_sound(target)
    assert not list(target.connected.core.backend.list("sessions/"))


def test_a_second_push_copies_only_what_is_new(source: Store, tmp_path: Path) -> None:
    target, repo = opened(empty("target"), "t"), source.repo("faces")
    repo.push(target)
    assert repo.push(target).bundles == ()
    with repo.edit(message="one more") as edit:
        edit.put("sub/new", b"new bytes")
        made = edit.commit()
    again = repo.push(target)
    assert again.bundles == (made.id,)
    assert again.new_bytes == len(b"new bytes")
    assert again.branches == {"main": made.id}
    assert_sound(target)


def test_one_branch_or_label_comes_with_its_history(source: Store) -> None:
    repo = source.repo("faces")
    target = opened(empty("a"), "a")
    assert repo.push(target, branches=["main"], name="people").repo == "people"
    assert [b.message for b in target.repo("people").bundles()] == ["first", "second", "third"]
    assert not target.repo("people").labels()
    other = opened(empty("b"), "b")
    repo.push(other, labels=["v1"])
    assert [b.message for b in other.repo("faces").bundles()] == ["first"]
    assert [label.name for label in other.repo("faces").labels()] == ["v1"]
    with pytest.raises(NotFound, match='branch "mian"'):
        repo.push(target, branches=["mian"])


def test_a_branch_moves_forward_only(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    repo.push(target)
    with target.repo("faces").edit(message="there") as edit:
        edit.put("there", b"1")
        ahead = edit.commit()
    assert repo.push(target).branches == {}  # the target is ahead: nothing is to be done
    with repo.edit(message="here") as edit:
        edit.put("here", b"2")
        mine = edit.commit()
    with pytest.raises(Conflict, match="branch 'main'"):
        repo.push(target)
    assert target.repo("faces").bundle("main").id == ahead.id
    repo.push(target, force=True)
    assert target.repo("faces").bundle("main").id == mine.id
    assert target.repo("faces").bundle(ahead.id).message == "there"
    assert_sound(target)


def test_a_label_does_not_move_silently(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    repo.push(target)
    repo.set_label("v1", "main")
    with pytest.raises(Conflict, match="label 'v1'"):
        repo.push(target)
    assert repo.push(target, force=True).labels == {"v1": repo.bundle("main").id}


def test_it_comes_back_the_other_way(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    repo.push(target)
    with target.repo("faces").edit(message="there") as edit:
        edit.put("there", b"1")
        edit.commit()
    target.repo("faces").push(source)
    assert seen(target.repo("faces")) == seen(source.repo("faces"))
    assert_sound(source)


def test_a_dry_run_writes_nothing(source: Store) -> None:
    backend = empty("target")
    before = sorted(stat.key for stat in backend.list())
    planned = source.repo("faces").push(opened(backend, "t"), dry_run=True)
    assert len(planned.bundles) == 4
    assert sorted(planned.branches) == ["dev", "main"]
    assert sorted(stat.key for stat in backend.list()) == before


def test_what_was_deleted_in_the_target_stays_deleted(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    repo.push(target)
    copy = target.repo("faces")
    copy.delete_label("v1")
    first = copy.bundles()[0].id
    copy.delete_bundle(first)
    done = repo.push(target)
    assert list(done.left_out) == [first]
    assert first not in [bundle.id for bundle in copy.bundles()]
    assert_sound(target)


def test_an_id_names_one_bundle_of_a_store(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    repo.push(target)
    with pytest.raises(Refused, match="is already in repo 'faces'"):
        repo.push(target, name="again")
    with pytest.raises(Refused, match="is already in repo 'faces'"):
        repo.push(source, name="again")


def test_what_was_erased_here_comes_without_its_bytes(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    source.erasure.erase(address=["faces@main:big", "faces@main:sub/7.txt"], reason="request 17", now=True)
    repo.push(target)
    assert seen(target.repo("faces")) == seen(repo)
    bundle = target.repo("faces").bundle("main")
    with pytest.raises(NotFound, match="request 17"):
        bundle.read("big")
    assert sorted(bundle.verify().erased) == ["big", "sub/7.txt"]
    assert target.repo("faces").bundle("v1").read("big") == NOISE
    assert_sound(target)


def test_what_was_erased_there_does_not_come_back(source: Store) -> None:
    repo, target = source.repo("faces"), opened(empty("target"), "t")
    repo.push(target, labels=["v1"])
    target.erasure.erase(address="faces@v1:sub/9.txt", reason="request 18", now=True)
    repo.push(target)
    bundle = target.repo("faces").bundle("main")
    assert bundle.version == repo.bundle("main").version
    with pytest.raises(NotFound, match="request 18"):
        bundle.read("sub/9.txt")
    assert_sound(target)


def test_damage_in_the_source_is_not_copied(source: Store) -> None:
    backend = source.connected.core.backend
    pack = next(stat.key for stat in backend.list("packs/"))
    data = bytearray(backend.get(pack))
    data[200] ^= 1
    backend.replace(pack, bytes(data))
    target = opened(empty("target"), "t")
    with pytest.raises(SheafError, match="damaged"):
        source.repo("faces").push(target)
    assert_sound(target)
    assert target.repo("faces").bundles() == []


def test_a_push_may_be_stopped_at_every_write(source: Store) -> None:
    repo = source.repo("faces")

    def run(backend: Backend) -> None:
        with opened(backend, "t") as target:
            repo.push(target)

    def check(backend: Backend) -> None:
        with opened(backend, "checker") as target:
            assert_sound(target)
            repo.push(target)
            assert seen(target.repo("faces")) == seen(repo)
            assert_sound(target)

    assert survives_every_crash(lambda: empty("target"), run, check) > 5


def test_what_arrived_before_it_was_stopped_is_not_sent_again(source: Store) -> None:
    repo = source.repo("faces")
    total = repo.push(opened(empty("other"), "o")).new_bytes
    stopped = (_stopped_after(repo, empty(f"try {n}"), n) for n in range(1, 99))
    inner = next(backend for backend in stopped if any(backend.list("index/")))  # packs are written in any order
    assert "faces" in [info.name for info in opened(inner, "look").repos()]
    with opened(inner, "again") as target:
        assert target.repo("faces").bundles() == []
        assert repo.push(target).new_bytes < total / 2
        assert seen(target.repo("faces")) == seen(repo)


def _stopped_after(repo: Repo, backend: MemoryBackend, writes: int) -> MemoryBackend:
    """A store to which a push has made so many writes before it was cut off."""
    faulty = FaultyBackend(backend, dict.fromkeys(range(writes + 1, 999), Unavailable("cut")))
    with opened(faulty, f"w{writes}") as target, suppress(SheafError):
        repo.push(target)
    return backend
