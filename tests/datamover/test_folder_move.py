"""What is saved, what is deleted, and what stays, whatever others do to the folder and the store at each step."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.datamover.conftest import BEFORE, LONG_AGO, NEW, OLD, Hook, Steps, World, files_in, write

import sheaf
from sheaf.datamover.deletion_limits import DeletionBudget
from sheaf.datamover.file_removal import ASIDE
from sheaf.datamover.folder_move import FolderMove
from sheaf.errors import AlreadyExists, Conflict, Corrupt, NotFound, Refused

ALL = {**OLD, **NEW}


def at(step: str, act: Callable[[], object]) -> Hook:
    """A hook that acts at one step."""
    return lambda now: act() if now == step else None


def test_old_files_are_deleted_after_all_files_were_saved(world: World) -> None:
    moved, steps = world.move()
    assert files_in(world.top) == NEW
    assert (moved.files, moved.removable, moved.deleted, moved.kept) == (6, 4, 4, [])
    assert moved.deleted_bytes == moved.removable_bytes == sum(map(len, OLD.values()))
    bundle = world.repo.bundle("label:moved-1")
    assert {name: bundle.read(name) for name in ALL} == ALL
    assert sorted(steps.removed) == sorted(OLD)
    assert sorted(steps.saved) == sorted(f"{world.top}/{name}" for name in ALL)


def test_without_unlink_the_same_files_are_named_and_stay(world: World) -> None:
    moved, steps = world.move(unlink=False)
    assert files_in(world.top) == ALL
    assert (moved.removable, moved.deleted) == (4, 0)
    assert sorted(steps.removed) == sorted(OLD)


def test_paths_can_begin_at_the_root(world: World) -> None:
    world.move(from_root=True)
    assert files_in(world.top) == NEW
    assert world.repo.bundle("label:moved-1").read(f"{world.top}/sub/a".lstrip("/")) == b"first"


def test_a_dry_run_names_exactly_what_is_deleted_and_changes_nothing(world: World) -> None:
    os.mkfifo(world.top / "pipe")
    with (world.top / "old").open("ab"):
        planned, paths = FolderMove(world.request(), Steps(world.top)).plan()
        assert files_in(world.top) == ALL
        assert world.repo.bundles() == []
        moved, steps = world.move()
    assert sorted(os.path.relpath(path, world.top) for path in paths) == sorted(steps.removed)
    assert sorted(planned.kept, key=str) == sorted(moved.kept, key=str)
    assert planned.removable == moved.removable == 3


def test_a_file_of_other_content_stays_even_if_size_and_time_are_those_of_before(world: World) -> None:
    moved, _ = world.move(at("uploaded", lambda: write(world.top / "old", b"OLD")))
    assert files_in(world.top) == {**NEW, "old": b"OLD"}
    assert "not the one in the bundle" in world.reasons(moved)["old"]


def test_a_file_that_was_changed_stays(world: World) -> None:
    moved, _ = world.move(at("progress verify", lambda: write(world.top / "sub/a", b"longer than before", None)))
    assert files_in(world.top) == {**NEW, "sub/a": b"longer than before"}
    assert world.reasons(moved) == {"sub/a": "it changed after it was listed"}


def test_a_file_of_the_same_content_that_was_written_again_stays(world: World) -> None:
    """It is as new as its time says: somebody may still need it there."""
    _, _ = world.move(at("uploaded", lambda: write(world.top / "sub/a", b"first", None)))
    assert files_in(world.top) == {**NEW, "sub/a": b"first"}


def test_a_file_that_is_open_for_writing_stays(world: World) -> None:
    with (world.top / "old").open("ab"):
        moved, _ = world.move()
    assert files_in(world.top) == {**NEW, "old": b"old"}
    assert world.reasons(moved) == {"old": "a program has it open for writing"}


def test_a_file_that_is_opened_for_writing_at_the_last_moment_stays(world: World) -> None:
    def open_it() -> None:
        with pytest.raises(BlockingIOError):  # the lease: without O_NONBLOCK it would wait
            os.open(world.top / "old", os.O_WRONLY | os.O_NONBLOCK)

    moved, _ = world.move(at("removable old", open_it))
    assert files_in(world.top) == {**NEW, "old": b"old"}
    assert world.reasons(moved) == {"old": "a program opened it for writing"}


def test_a_file_that_replaces_another_one_at_the_last_moment_stays(world: World) -> None:
    def replace() -> None:
        os.replace(write(world.top / "fresh", b"NEWER"), world.top / "old")

    moved, _ = world.move(at("removable old", replace))
    assert files_in(world.top) == {**NEW, "old": b"NEWER"}
    assert world.reasons(moved) == {"old": "another file replaced it"}


def test_a_file_whose_name_is_in_use_again_is_kept_under_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def replaced(path: str, **extra: object) -> os.stat_result:
        if str(path).startswith(ASIDE):
            write(world.top / "old", b"NEWEST")
            return real(world.top / "new")
        return real(path, **extra)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", replaced)
        moved, _ = world.move(before=LONG_AGO + 1)
    left = files_in(world.top)
    assert left["old"] == b"NEWEST"
    (aside,) = [name for name in left if name.startswith(ASIDE)]
    assert left[aside] == b"old"
    assert aside in world.reasons(moved)["old"]


def test_a_folder_that_becomes_a_symlink_leads_nowhere(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"

    def swap() -> None:
        (world.top / "sub").rename(outside)
        (world.top / "sub").symlink_to(outside)

    moved, _ = world.move(at("uploaded", swap))
    assert files_in(outside) == {"a": b"first", "deep/b": b"second", "big": OLD["sub/big"], "c": b"third"}
    assert set(world.reasons(moved)) == {"sub/a", "sub/deep/b", "sub/big"}


def test_a_file_that_is_gone_is_named(world: World) -> None:
    moved, _ = world.move(at("uploaded", (world.top / "old").unlink))
    assert world.reasons(moved) == {"old": "it was deleted or moved by another program"}


def lose(world: World, kind: str) -> None:
    """Delete the objects of a kind in the store."""
    backend = world.repo.context.core.backend
    for key in [found.key for found in backend.list(kind)]:
        backend.delete(key)


def test_bytes_that_can_not_be_read_in_the_store_are_no_proof(world: World) -> None:
    moved, _ = world.move(at("uploaded", lambda: lose(world, "packs/")))
    assert files_in(world.top) == ALL
    assert set(world.reasons(moved)) == set(OLD)
    assert all(reason.startswith("not sound in the store") for reason in world.reasons(moved).values())


def test_copies_in_the_cache_of_this_machine_are_no_proof(world: World) -> None:
    with pytest.raises((Corrupt, NotFound)):
        world.move(at("committed", lambda: lose(world, "nodes/")))
    assert files_in(world.top) == ALL


def test_a_bundle_that_was_deleted_in_the_meantime_is_no_proof(world: World) -> None:
    def delete() -> None:
        repo = world.again()  # as another process would
        repo.delete_label("moved-1")
        id = repo.branch("main").bundle
        repo.set_branch("main", f"bundle:{first.id}")
        repo.delete_bundle(f"bundle:{id}")

    write(world.top.parent / "first/x", b"x")
    first = world.repo.upload(world.top.parent / "first", message="first").bundle
    with pytest.raises(Conflict, match="was deleted in the meantime"):
        world.move(at("progress compare", delete))
    assert files_in(world.top) == ALL


@pytest.mark.parametrize(
    ("budget", "flag"),
    [
        (DeletionBudget(files=3), "--max-files"),
        (DeletionBudget(bytes=5_000_000), "--max-bytes"),
        (DeletionBudget(share=0.66), "--max-share"),
    ],
)
def test_more_than_the_limit_is_not_deleted_at_all(world: World, budget: DeletionBudget, flag: str) -> None:
    with pytest.raises(Refused) as refused:
        FolderMove(world.request(budget=budget), Steps(world.top)).plan()
    with pytest.raises(Refused) as again:
        world.move(budget=budget)
    assert flag in again.value.hint and "--yes" in again.value.hint
    assert str(refused.value) == str(again.value)
    assert files_in(world.top) == ALL
    assert world.repo.bundle("label:moved-1").files == 6


def test_a_limit_that_is_just_reached_is_kept(world: World) -> None:
    size = sum(map(len, OLD.values()))
    assert world.move(budget=DeletionBudget(4, size, 4 / 6))[0].deleted == 4


def test_what_is_not_a_regular_file_stays(world: World) -> None:
    (world.top / "link").symlink_to("old")
    (world.top / "dangling").symlink_to("/nowhere")
    os.mkfifo(world.top / "pipe")
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(world.top / "socket"))
    write(world.top / "odd\nname", b"odd")
    write(Path(os.fsdecode(os.fsencode(world.top) + b"/\xff")), b"not text")
    moved, _ = world.move()
    left = sorted(os.listdir(os.fsencode(world.top)))
    assert left == sorted([b"link", b"dangling", b"pipe", b"socket", b"odd\nname", b"\xff", b"new", b"sub"])
    reasons = world.reasons(moved)
    assert "newline" in reasons.pop("odd\nname") and "not UTF-8" in reasons.pop("\\xff")
    assert set(reasons) == {"pipe", "socket"}
    bundle = world.repo.bundle("label:moved-1")
    assert bundle.entry("link").target == "old" and bundle.read("odd\nname") == b"odd"


def test_all_names_of_a_file_are_saved_and_deleted(world: World) -> None:
    os.link(world.top / "old", world.top / "sub/again")
    os.link(world.top / "old", world.top.parent / "outside")
    moved, _ = world.move()
    assert (moved.deleted, moved.kept) == (5, [])
    assert (world.top.parent / "outside").read_bytes() == b"old"
    bundle = world.repo.bundle("label:moved-1")
    assert bundle.read("old") == bundle.read("sub/again") == b"old"


def test_nothing_is_deleted_if_everything_must_be_saved_and_something_was_not(world: World) -> None:
    os.mkfifo(world.top / "pipe")
    moved, _ = world.move(needs_all=True)
    assert files_in(world.top) == ALL
    assert moved.bundle and not moved.removable


def test_a_file_that_could_not_be_saved_stays(world: World) -> None:
    def become_a_pipe() -> None:
        (world.top / "old").unlink()
        os.mkfifo(world.top / "old")

    moved, _ = world.move(at("listed", become_a_pipe))
    assert (world.top / "old").is_fifo()
    assert "old" in world.reasons(moved) and moved.deleted == 3


def test_an_existing_label_is_refused_before_anything_is_uploaded(world: World) -> None:
    world.move()
    with pytest.raises(AlreadyExists, match="moved-1"):
        world.move()
    assert len(world.repo.bundles()) == 1
    world.move(move_label=True)
    assert len(world.repo.bundles()) == 2


def test_a_folder_without_files_makes_no_bundle(world: World) -> None:
    world.top = world.top.parent / "empty"
    world.top.mkdir()
    moved, _ = world.move()
    assert moved.bundle is None and not world.repo.bundles()


def test_two_runs_of_one_folder_are_not_possible(world: World) -> None:
    def second() -> None:
        with pytest.raises(Refused, match="another run"):
            world.move(label="other")

    moved, steps = world.move(at("listed", second))
    assert moved.deleted == 4 and "listed" in steps.steps


def test_the_store_itself_is_never_moved(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "old", b"old")
    with sheaf.init(str(folder / "store"), probe=False) as store:
        world = World(folder, store.create_repo("moved"), str(folder / "store"))
        for path in folder.rglob("*"):
            os.utime(path, ns=(LONG_AGO, LONG_AGO))
        moved, steps = world.move()
        assert steps.removed == ["old"] and moved.files == 1
        assert world.repo.bundle("label:moved-1").read("old") == b"old"
        world.close()


class Crash(Exception):
    """The end of the process."""


def test_a_crash_at_any_step_loses_nothing(world: World) -> None:
    """Every file is in its place, or in the bundle that has the label; a next run completes the work."""
    crashes = 0
    for number in range(1, 100):
        seen: list[str] = []

        def crash(step: str, seen: list[str] = seen, number: int = number) -> None:
            seen.append(step)
            if len(seen) == number:
                raise Crash(step)

        label = f"run-{number}"
        try:
            world.move(crash, label=label)
        except Crash:
            crashes += 1
        left = files_in(world.top)
        assert not [name for name in left if ASIDE in name]
        saved = [world.repo.bundle(f"label:{found.name}") for found in world.repo.labels()]
        for name, data in ALL.items():
            assert left.get(name) == data or any(data == bundle.read(name) for bundle in saved if _has(bundle, name))
        labels = {found.name for found in world.repo.labels()}
        assert (label in labels) == ("committed" in seen)
        if len(seen) < number:
            break
    assert crashes > 8
    assert files_in(world.top) == NEW


def _has(bundle: sheaf.Bundle, name: str) -> bool:
    try:
        return bundle.entry(name).kind == "file"
    except NotFound:
        return False


def test_the_time_is_that_of_the_last_modification(world: World) -> None:
    write(world.top / "edge", b"edge", BEFORE)
    write(world.top / "just before", b"before", BEFORE - 1)
    moved, steps = world.move()
    assert "just before" in steps.removed and "edge" not in steps.removed
    assert moved.deleted == 5


def _store_at(folder: Path) -> Path:
    sheaf.init(f"file://{folder}", probe=False).close()
    return folder


def test_no_folder_of_a_store_is_moved(world: World, tmp_path: Path) -> None:
    store = _store_at(tmp_path / "vault")
    before = files_in(store)
    for folder in (store, store / "tmp"):
        with pytest.raises(Refused, match="is in the store"):
            FolderMove(world.request(folder=folder), Steps(folder)).run()
    assert files_in(store) == before


def test_a_folder_that_contains_a_store_is_not_moved(world: World) -> None:
    _store_at(world.top / "backups" / "replica")
    before = files_in(world.top)
    with pytest.raises(Refused, match="is a store"):
        world.move()
    assert files_in(world.top) == before


def test_the_key_of_the_store_stays(world: World) -> None:
    key = min(OLD)
    moved, _ = world.move(opened_with=(str(world.top / key),))
    assert files_in(world.top) == {**NEW, key: OLD[key]}
    assert world.reasons(moved) == {key: "it opens the store"}


def test_nothing_is_deleted_once_the_repo_is_deleted(world: World) -> None:
    with pytest.raises(Conflict, match="was deleted"):
        world.move(at("progress compare", world.repo.delete))
    assert files_in(world.top) == ALL
