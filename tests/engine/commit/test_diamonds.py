"""Many writers, one bundle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.builders import Interrupted, Place, commit, noise, replaced

import sheaf
from sheaf.engine.commit.diamonds import MODES, Mode
from sheaf.errors import AlreadyExists, Conflict, Corrupt, InvalidInput, NotFound
from sheaf.format import keys
from sheaf.repo.diamond import Diamond
from sheaf.repo.repo import Repo
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Crash
from sheaf.testing.invariants import assert_complete, assert_sound
from sheaf.testing.model_repo import FOLDER, ModelEntry, tree_of, write_folder

ONE = {"both": b"one", "one": b"1", "folder/x": b"x", "same": b"same"}
TWO = {"both": b"two", "two": b"2", "folder/y": b"y", "same": b"same"}


def file(content: bytes) -> ModelEntry:
    return ModelEntry("file", content)


JOINED = {
    "both": file(b"two"),
    "one": file(b"1"),
    "two": file(b"2"),
    "same": file(b"same"),
    "folder": FOLDER,
    "folder/x": file(b"x"),
    "folder/y": file(b"y"),
}


@pytest.fixture
def repo(place: Place) -> Repo:
    return place.repo()


def begun(place: Place, repo: Repo, *splits: dict[str, bytes]) -> Diamond:
    """A diamond with these splits, each by a process of its own: "s0", "s1" and so on."""
    diamond = repo.create_diamond()
    for n, files in enumerate(splits):
        folder = place.folder(f"{diamond.id}-{n}", files)
        place.repo().diamond(diamond.id).add_split(folder, split_id=f"s{n}")
    return diamond


# -- joining -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_what_does_not_clash_is_joined_in_every_mode(place: Place, repo: Repo, mode: Mode) -> None:
    one, two = dict(ONE), dict(TWO)
    del one["both"], two["both"]
    bundle = begun(place, repo, one, two).commit(message="joined", mode=mode, label="v1")
    assert tree_of(bundle) == {path: entry for path, entry in JOINED.items() if path != "both"}
    assert (repo.bundle("main").id, repo.bundle("v1").id, bundle.message) == (bundle.id, bundle.id, "joined")
    assert_complete(bundle)


def test_the_later_split_wins_and_the_other_is_kept_beside(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE, TWO)
    bundle = diamond.commit(message="m")
    kept = {".conflicts": FOLDER, ".conflicts/s0": FOLDER, ".conflicts/s0/both": file(b"one")}
    assert tree_of(bundle) == {**JOINED, **kept}
    assert (diamond.info.has_conflicts, diamond.info.has_checkpoints) == (True, False)
    assert_complete(bundle)


def test_the_other_may_be_kept_as_a_checkpoint(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE, TWO)
    bundle = diamond.commit(message="m", mode="enable-checkpoints")
    kept = {".checkpoints": FOLDER, ".checkpoints/s0": FOLDER, ".checkpoints/s0/both": file(b"one")}
    assert tree_of(bundle) == {**JOINED, **kept}
    assert (diamond.info.has_conflicts, diamond.info.has_checkpoints) == (False, True)
    assert_complete(bundle)


def test_the_other_may_be_dropped(place: Place, repo: Repo) -> None:
    bundle = begun(place, repo, ONE, TWO).commit(message="m", mode="ignored")
    assert tree_of(bundle) == JOINED
    assert_complete(bundle)


def test_clashes_may_be_forbidden_and_then_nothing_is_decided(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE, TWO)
    with pytest.raises(Conflict, match="'both'"):
        diamond.commit(message="m", mode="forbids-conflicts")
    assert diamond.info.state == "initialized"
    assert repo.bundles() == []
    assert tree_of(diamond.commit(message="m", mode="ignored")) == JOINED


def test_three_splits_that_clash_are_all_kept(place: Place, repo: Repo) -> None:
    bundle = begun(place, repo, {"x": b"0"}, {"x": b"1"}, {"x": b"2"}).commit(message="m")
    kept = {path: entry.content for path, entry in tree_of(bundle).items() if entry.kind == "file"}
    assert kept == {"x": b"2", ".conflicts/s0/x": b"0", ".conflicts/s1/x": b"1"}


def test_what_is_equal_is_no_clash(place: Place, repo: Repo) -> None:
    bundle = begun(place, repo, ONE, ONE).commit(message="m", mode="forbids-conflicts")
    assert bundle.files == len(ONE)


def test_a_file_and_a_link_with_its_text_are_not_equal(place: Place, repo: Repo) -> None:
    diamond = repo.create_diamond()
    for name, kind in (("file", file(b"target")), ("link", ModelEntry("symlink", b"target"))):
        folder = write_folder(place.scratch / name, {"x": kind})
        place.repo().diamond(diamond.id).add_split(folder, split_id=name)
    with pytest.raises(Conflict, match="'x'"):
        diamond.commit(message="m", mode="forbids-conflicts")
    kept = tree_of(diamond.commit(message="m"))
    assert kept["x"].kind != kept[".conflicts/file/x"].kind


def test_a_program_and_a_file_of_its_bytes_are_not_equal(place: Place, repo: Repo) -> None:
    diamond = repo.create_diamond()
    for name, x in (("plain", False), ("program", True)):
        tree = {"x": ModelEntry("file", b"bytes", x)}
        diamond.add_split(write_folder(place.scratch / name, tree), split_id=name)
    with pytest.raises(Conflict, match="'x'"):
        diamond.commit(message="m", mode="forbids-conflicts")


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_and_a_file_can_not_be_joined_and_then_nothing_is_decided(
    place: Place, repo: Repo, mode: Mode
) -> None:
    diamond = begun(place, repo, {"x": b"file"}, {"x/below": b"in a folder"})
    with pytest.raises(InvalidInput, match="'x'"):
        diamond.commit(message="m", mode=mode)
    assert diamond.info.state == "initialized"
    assert repo.bundles() == []
    diamond.cancel()


def test_a_joined_bundle_follows_its_branch(place: Place, repo: Repo) -> None:
    first = commit(repo, {"a": b"a"})
    diamond = begun(place, repo, ONE)
    second = commit(repo, {"b": b"b"})
    bundle = diamond.commit(message="m")
    assert bundle.id == diamond.id
    assert [one.id for one in repo.log()] == [bundle.id, second, first]


def test_many_and_big_splits(place: Place, repo: Repo) -> None:
    splits = [
        {f"{n}/{i}": noise(50 + i, n * 100 + i) for i in range(40)} | {f"{n}/big": noise(400_000, n)} for n in range(6)
    ]
    bundle = begun(place, repo, *splits).commit(message="m", mode="forbids-conflicts")
    assert {path: entry.content for path, entry in tree_of(bundle).items() if entry.kind == "file"} == {
        path: content for split in splits for path, content in split.items()
    }
    assert_complete(bundle)


# -- splits ------------------------------------------------------------------------------------------------------------


def test_a_split_says_what_it_took(place: Place, repo: Repo) -> None:
    diamond = repo.create_diamond()
    info = diamond.add_split(place.folder("in", ONE), split_id="s", tag="t")
    assert (info.id, info.state, info.count, info.tag) == ("s", "done", 4, "t")
    assert diamond.split("s") == info
    with pytest.raises(NotFound):
        diamond.split("other")


def test_a_split_may_be_filtered(place: Place, repo: Repo) -> None:
    diamond = repo.create_diamond()
    diamond.add_split(place.folder("in", ONE), name_filter="^folder/")
    with pytest.raises(InvalidInput, match="regular expression"):
        diamond.add_split(place.folder("in", ONE), name_filter="(")
    assert [entry.path for entry in diamond.commit(message="m").ls(recursive=True)] == ["folder", "folder/x"]


def test_a_name_is_used_once(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    with pytest.raises(AlreadyExists, match="'s0'"):
        diamond.add_split(place.folder("again", TWO), split_id="s0")


def test_a_split_that_was_not_finished_begins_anew(place: Place, repo: Repo) -> None:
    diamond = repo.create_diamond()
    with pytest.raises(NotFound):
        diamond.add_split(place.scratch / "nowhere", split_id="s0")
    assert diamond.split("s0").state == "running"
    diamond.add_split(place.folder("in", ONE), split_id="s0")
    assert [split.state for split in diamond.splits()] == ["done"]


def test_a_split_that_is_not_done_is_not_in_the_bundle(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    with pytest.raises(NotFound):
        diamond.add_split(place.scratch / "nowhere", split_id="unfinished")
    assert diamond.commit(message="m").files == len(ONE)


def test_a_diamond_without_splits_is_not_committed(place: Place, repo: Repo) -> None:
    with pytest.raises(NotFound, match="has no finished split"):
        repo.create_diamond().commit(message="m")


@pytest.mark.parametrize("closing", ["commit", "cancel"])
def test_a_split_that_comes_too_late_is_told(place: Place, repo: Repo, closing: str) -> None:
    diamond = begun(place, repo, ONE)
    backend = Interrupted(place.backend)
    late = place.repo(backend).diamond(diamond.id)
    close = diamond.cancel if closing == "cancel" else lambda: diamond.commit(message="m")
    backend.before("nodes/", close)
    with pytest.raises(Conflict, match="closed"):
        late.add_split(place.folder("late", TWO), split_id="late")
    with pytest.raises(Conflict, match=r"closed|ended"):
        place.repo().diamond(diamond.id).add_split(place.folder("later", TWO))
    if closing == "commit":
        assert tree_of(repo.bundle()) == {path: file(content) for path, content in ONE.items()} | {"folder": FOLDER}
    assert_sound(place.store())


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_canceled_diamond_stays_canceled(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    diamond.cancel("changed my mind")
    diamond.cancel()
    assert (diamond.info.state, diamond.info.tag) == ("canceled", "changed my mind")
    with pytest.raises(Conflict, match="canceled"):
        diamond.commit(message="m")
    assert not list(place.backend.list("sessions/"))


def test_a_committed_diamond_is_not_canceled(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    diamond.commit(message="m")
    with pytest.raises(Conflict):
        diamond.cancel()
    assert diamond.info.state == "done"


def test_a_committed_diamond_is_not_committed_again(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    diamond.commit(message="m")
    with pytest.raises(Conflict, match=diamond.id):
        place.repo().diamond(diamond.id).commit(message="m")
    assert len(repo.bundles()) == 1


def crashed_commit(place: Place, diamond: Diamond, prefix: str) -> None:
    """A commit whose process dies right before it creates the first object below a prefix."""

    def die() -> None:
        raise Crash

    backend = Interrupted(place.backend)
    repo = place.repo(backend)
    backend.before(prefix, die)
    with pytest.raises(Crash):
        repo.diamond(diamond.id).commit(message="m")


def test_a_commit_that_crashed_is_done_by_whoever_asks_next(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE, TWO)
    for prefix in ("nodes/", f"repos/{repo.id}/log/", f"repos/{repo.id}/log/"):
        crashed_commit(place, diamond, prefix)
        assert repo.diamond(diamond.id).info.state == "initialized"
    with pytest.raises(Conflict, match="being committed"):
        repo.diamond(diamond.id).cancel()
    bundle = place.repo().diamond(diamond.id).commit(message="m", mode="ignored")
    assert ".conflicts/s0/both" in tree_of(bundle), "how it ends was decided before"
    assert_sound(place.store())


def test_a_commit_that_crashed_before_it_decided_may_end_otherwise(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE, TWO)
    crashed_commit(place, diamond, f"repos/{repo.id}/diamonds/")
    place.repo().diamond(diamond.id).add_split(place.folder("late", {"late": b"late"}), split_id="late")
    bundle = diamond.commit(message="m", mode="ignored")
    assert tree_of(bundle) == {**JOINED, "late": file(b"late")}


def test_two_that_end_a_diamond_differently_agree(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE, TWO)
    backend = Interrupted(place.backend)
    mine = place.repo(backend).diamond(diamond.id)

    def theirs() -> None:
        place.repo().diamond(diamond.id).add_split(place.folder("late", {"late": b"late"}), split_id="late")
        crashed_commit(place, diamond, f"repos/{repo.id}/log/")

    backend.before(f"repos/{repo.id}/diamonds/", theirs)
    bundle = mine.commit(message="mine", mode="ignored")
    assert {"late", ".conflicts/s0/both"} <= tree_of(bundle).keys()
    assert_sound(place.store())


def test_a_diamond_that_is_canceled_while_it_is_joined_is_not_committed(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    backend = Interrupted(place.backend)
    mine = place.repo(backend).diamond(diamond.id)
    backend.before("nodes/", diamond.cancel)
    with pytest.raises(Conflict, match="canceled"):
        mine.commit(message="m")
    assert repo.bundles() == []


def test_two_that_commit_at_once_make_one_bundle(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    backend = Interrupted(place.backend)
    mine = place.repo(backend).diamond(diamond.id)
    backend.before("nodes/", lambda: diamond.commit(message="theirs"))
    with pytest.raises(Conflict, match="already committed"):
        mine.commit(message="mine")
    assert [bundle.message for bundle in repo.bundles()] == ["theirs"]
    assert_sound(place.store())


def test_a_bundle_is_not_committed_a_second_time_after_others_came(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    backend = Interrupted(place.backend)
    mine = place.repo(backend).diamond(diamond.id)

    def theirs() -> None:
        diamond.commit(message="theirs")
        commit(place.repo(), {"next": b"next"})

    backend.before("nodes/", theirs)
    with pytest.raises(Conflict, match="already committed"):
        mine.commit(message="mine")
    assert [bundle.message for bundle in repo.bundles()] == ["theirs", "m"]
    assert repo.info.bundles == 2
    assert_sound(place.store())


def test_a_split_that_an_end_names_and_nobody_has_is_damage(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    crashed_commit(place, diamond, f"repos/{repo.id}/log/")
    for stat in list(place.backend.list(f"{keys.repo(repo.id)}diamonds/{diamond.id}/splits/")):
        if stat.key.endswith("done.json"):
            replaced(place.backend, stat.key, None)
    with pytest.raises(Corrupt, match="split"):
        place.repo().diamond(diamond.id).commit(message="m")


def test_diamonds_are_found_by_their_ids(place: Place, repo: Repo) -> None:
    diamonds = [repo.create_diamond() for _ in range(3)]
    assert {info.id for info in place.repo().diamonds()} == {diamond.id for diamond in diamonds}
    with pytest.raises(NotFound):
        repo.diamond(SteeredClock("nobody").new_id())
    with pytest.raises(InvalidInput):
        repo.diamond("x")


def test_a_diamond_of_a_repo_that_was_deleted_is_not_committed(place: Place, repo: Repo) -> None:
    diamond = begun(place, repo, ONE)
    place.repo().delete()
    with pytest.raises(NotFound):
        diamond.commit(message="m")


# -- processes ---------------------------------------------------------------------------------------------------------

SPLITTER = """
import sys, sheaf
store, diamond, folder, name = sys.argv[1:]
with sheaf.connect(store) as opened:
    print(opened.repo("faces").diamond(diamond).add_split(folder, split_id=name).count)
"""


def test_splits_of_several_processes_become_one_bundle(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    with sheaf.connect(url, create=True) as store:
        diamond = store.create_repo("faces").create_diamond()
        expected: dict[str, ModelEntry] = {}
        running = []
        for n in range(3):
            tree = {f"p{n}/{i}": file(noise(2000, n * 10 + i)) for i in range(5)} | {f"p{n}": FOLDER}
            expected |= tree
            folder = write_folder(tmp_path / f"in-{n}", tree)
            command = [sys.executable, "-c", SPLITTER, url, diamond.id, str(folder), f"s{n}"]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert [process.communicate()[0] for process in running] == ["5\n"] * 3
        bundle = diamond.commit(message="m", mode="forbids-conflicts")
        assert tree_of(bundle) == expected
        assert_sound(store)
