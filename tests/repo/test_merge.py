"""Merges of branches and reverts of bundles, as users of the Python API see them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from tests.engine.builders import Recorder, condemn, new_backend, noise, packs_of
from tests.engine.merge_model import Tree as MergeTree
from tests.engine.merge_model import merged_model, three_trees

from sheaf.api import MergeConflict
from sheaf.engine.core_limits import DEFAULT
from sheaf.errors import Conflict, InvalidInput, NotFound, Refused
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.testing.invariants import assert_complete, assert_sound
from sheaf.testing.model_repo import tree_of


def opened(backend: Backend, seed: str = "repo") -> Repo:
    store = Store(backend, clock=SteeredClock(seed))
    return store.repo("r") if store.repos() else store.create_repo("r")


@pytest.fixture
def repo() -> Repo:
    """A repo with branches main and exp, which point to the same bundle."""
    repo = opened(new_backend())
    change(repo, {"a": b"a", "b": b"b", "d/x": b"x", "d/y": noise(300_000)})
    repo.create_branch("exp")
    return repo


def change(repo: Repo, files: Mapping[str, bytes | None], branch: str = "main", message: str = "change") -> Bundle:
    """Commit files; None removes one."""
    with repo.edit(message=message, branch=branch) as edit:
        for path, content in files.items():
            if content is None:
                edit.remove(path)
            else:
                edit.put(path, content)
        return edit.commit()


def files(repo: Repo, ref: str = "main") -> dict[str, bytes]:
    bundle = repo.bundle(ref)
    assert_complete(bundle)
    found = {entry.path: bundle.read(entry.path) for entry in bundle.ls(recursive=True) if entry.kind == "file"}
    assert bundle.files == len(found)
    return found


def test_changes_of_both_branches_come_together(repo: Repo) -> None:
    ours = change(repo, {"a": b"main", "new/m": b"m"})
    theirs = change(repo, {"b": None, "d/x": b"exp", "new/e": b"e"}, "exp")
    done = repo.merge("exp", "main")
    assert files(repo) == {"a": b"main", "d/x": b"exp", "d/y": noise(300_000), "new/m": b"m", "new/e": b"e"}
    merged = repo.bundle("main")
    assert merged.parents == (ours.id, theirs.id)
    assert merged.message == "Merge exp into main"
    assert (done.how, done.bundle, done.added, done.modified, done.deleted) == ("committed", merged.id, 1, 1, 1)
    assert done.bases == ours.parents
    assert repo.merge("exp", "main").how == "nothing"
    assert repo.merge("main", "exp").how == "fast-forward"
    assert repo.branch("exp").bundle == merged.id


def test_a_branch_without_own_changes_is_only_moved(repo: Repo) -> None:
    theirs = change(repo, {"a": b"exp"}, "exp")
    assert repo.merge("exp", "main").how == "fast-forward"
    assert repo.branch("main").bundle == theirs.id


def test_a_merge_bundle_can_be_required(repo: Repo) -> None:
    before = repo.branch("main").bundle
    theirs = change(repo, {"a": b"exp"}, "exp")
    assert repo.merge("exp", "main", fast_forward=False, message="m").how == "committed"
    merged = repo.bundle("main")
    assert (merged.parents, merged.version, merged.message) == ((before, theirs.id), theirs.version, "m")


CONFLICTING = {"a": b"main", "b": None, "new": b"main"}, {"a": b"exp", "b": b"exp", "new": b"exp", "d/x": b"exp"}


def test_conflicts_are_named_and_nothing_is_committed(repo: Repo) -> None:
    ours = change(repo, CONFLICTING[0])
    change(repo, CONFLICTING[1], "exp")
    expected = [("a", "both-modified"), ("b", "deleted-by-us"), ("new", "both-added")]
    planned = repo.merge("exp", "main", dry_run=True)
    assert [(each.path, each.kind) for each in planned.conflicts] == expected
    with pytest.raises(MergeConflict, match="3 paths are in conflict") as caught:
        repo.merge("exp", "main")
    assert [(each.path, each.kind) for each in caught.value.conflicts] == expected
    assert repo.branch("main").bundle == ours.id
    assert len(repo.bundles()) == 3


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("ours", {"a": b"main", "new": b"main", "d/x": b"exp"}),
        ("theirs", {"a": b"exp", "b": b"exp", "new": b"exp", "d/x": b"exp"}),
        (
            "both",
            {"a": b"main", "a.conflict-exp": b"exp", "b": b"exp", "new": b"main", "new.conflict-exp": b"exp"}
            | {"d/x": b"exp"},
        ),
    ],
)
def test_a_side_can_be_preferred(repo: Repo, prefer: str, expected: dict[str, bytes]) -> None:
    change(repo, CONFLICTING[0])
    change(repo, CONFLICTING[1], "exp")
    planned = repo.merge("exp", "main", prefer=prefer, dry_run=True)  # type: ignore[arg-type]
    done = repo.merge("exp", "main", prefer=prefer)  # type: ignore[arg-type]
    assert files(repo) == {**expected, "d/y": noise(300_000)}
    assert planned.conflicts == done.conflicts
    assert (planned.how, planned.added, planned.deleted) == (done.how, done.added, done.deleted)


def test_a_copy_gets_a_free_name_and_keeps_its_ending(repo: Repo) -> None:
    change(repo, {"d": None})
    change(repo, {"t.tar": b"1", "t.conflict-exp.tar": b"2", ".env": b"1"})
    change(repo, {"t.tar": b"3", ".env": b"3"}, "exp")
    repo.merge("exp", "main", prefer="both")
    assert {"t.tar": b"1", "t.conflict-exp-2.tar": b"3", ".env.conflict-exp": b"3"}.items() <= files(repo).items()


def test_a_file_and_a_folder_are_both_kept(repo: Repo) -> None:
    change(repo, {"p/q": b"folder"})
    change(repo, {"p": b"file"}, "exp")
    repo.merge("exp", "main", prefer="both")
    assert {"p/q": b"folder", "p.conflict-exp": b"file"}.items() <= files(repo).items()


def test_content_of_one_side_and_mode_of_the_other_are_combined(repo: Repo) -> None:
    with repo.edit(message="m") as edit:
        edit.put("a", b"a", mode=0o755)
        edit.commit()
    change(repo, {"a": b"exp"}, "exp")
    repo.merge("exp", "main")
    assert repo.bundle("main").read("a") == b"exp"
    assert repo.bundle("main").entry("a").executable


def test_a_merge_of_what_was_merged_before_compares_with_the_last_merge(repo: Repo) -> None:
    change(repo, {"a": b"exp 1"}, "exp")
    change(repo, {"b": b"main 1"})
    repo.merge("exp", "main")
    change(repo, {"a": b"exp 2"}, "exp")
    change(repo, {"a": b"exp 1", "b": b"main 2"})
    repo.merge("exp", "main")
    assert (files(repo)["a"], files(repo)["b"]) == (b"exp 2", b"main 2")


def crossed(repo: Repo) -> None:
    """Merge two branches into each other, so that they have two nearest common ancestors that differ in ``a``."""
    one, two = change(repo, {"a": b"1"}), change(repo, {"a": b"2", "b": b"2"}, "exp")
    repo.merge(two.id, "main", prefer="ours")
    repo.merge(one.id, "exp", prefer="ours")


def test_where_several_ancestors_differ_nothing_is_guessed(repo: Repo) -> None:
    crossed(repo)
    change(repo, {"d/x": b"main"})
    planned = repo.merge("exp", "main", dry_run=True)
    assert len(planned.bases) == 2
    assert [(each.path, each.kind) for each in planned.conflicts] == [("a", "both-added")]
    change(repo, {"a": b"2"})
    repo.merge("exp", "main")
    assert (files(repo)["a"], files(repo)["b"], files(repo)["d/x"]) == (b"2", b"2", b"main")


def test_unrelated_histories_are_refused_unless_allowed(repo: Repo) -> None:
    change(repo, {"other": b"o", "a": b"other"}, "orphan")
    with pytest.raises(Refused, match="no common ancestor"):
        repo.merge("orphan", "main")
    done = repo.merge("orphan", "main", allow_unrelated=True, dry_run=True)
    assert [(each.path, each.kind) for each in done.conflicts] == [("a", "both-added")]
    repo.merge("orphan", "main", allow_unrelated=True, prefer="ours")
    assert (files(repo)["a"], files(repo)["other"]) == (b"a", b"o")


def test_a_deleted_ancestor_is_named_and_no_older_one_is_used(repo: Repo) -> None:
    ancestor = change(repo, {"a": b"2"})
    repo.set_branch("exp", ancestor.id)
    change(repo, {"a": b"a"}, "exp")
    change(repo, {"b": b"main"})
    repo.delete_bundle(ancestor.id)
    with pytest.raises(NotFound, match=f"{ancestor.id}.*was deleted") as caught:
        repo.merge("exp", "main")
    assert "undelete" in caught.value.hint
    repo.undelete_bundle(ancestor.id)
    repo.merge("exp", "main")
    assert files(repo)["a"] == b"a"


@pytest.mark.parametrize(("source", "target"), [("nothing", "main"), ("exp", "nothing"), ("main", "v1")])
def test_names_that_do_not_exist_are_refused(repo: Repo, source: str, target: str) -> None:
    repo.set_label("v1", "main")
    with pytest.raises(NotFound):
        repo.merge(source, target)


class Interrupting:
    """Commits to main before each of the first ``times`` records that another process writes."""

    def __init__(self, other: Repo, times: int, path: str) -> None:
        self.left, self.other, self.path = times, other, path

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            change(self.other, {self.path: b"%d" % self.left})


def test_a_branch_that_moves_is_merged_again(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    from sheaf.engine.commit.writer import Writer

    change(repo, {"b": b"main"})
    change(repo, {"a": b"exp"}, "exp")
    other, commit = opened(repo.context.core.backend, "other"), Writer.commit
    racing = Interrupting(other, 2, "d/x")

    def commit_late(self: Writer, *args: object, **kwargs: object) -> object:
        if self._log is repo.context.log:
            racing()
        return commit(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "commit", commit_late)
    repo.merge("exp", "main")
    assert (files(repo)["a"], files(repo)["b"], files(repo)["d/x"]) == (b"exp", b"main", b"0")
    racing.left = 99
    change(other, {"b": b"late"}, "exp")
    with pytest.raises((Conflict, MergeConflict)):
        repo.merge("exp", "main")


def test_contents_are_not_read_and_equal_subtrees_are_skipped() -> None:
    small = replace(DEFAULT, min_rows=16, max_rows=64, min_children=4, max_children=16)
    backend = Recorder(new_backend())
    with Store(backend, clock=SteeredClock("count"), limits=small) as store:
        repo = store.create_repo("r")
        change(repo, {f"f{number:04}": b"%d" % number for number in range(300)})
        repo.create_branch("exp")
        change(repo, {"f0001": b"main"})
        change(repo, {"f0299": b"exp"}, "exp")
    with Store(backend, clock=SteeredClock("merge"), limits=small) as store:
        before = len(backend.calls)
        store.repo("r").merge("exp", "main")
        keys = [key for call, key in backend.calls[before:] if call.startswith("get")]
    assert not [key for key in keys if key.startswith("packs/")]
    assert len([key for key in keys if key.startswith("nodes/")]) < 20


# -- erasures and gc ---------------------------------------------------------------------------------------------------


def test_a_merge_does_not_bring_back_erased_bytes(repo: Repo) -> None:
    store = Store(repo.context.core.backend, clock=SteeredClock("eraser"))
    change(repo, {"b": b"main"})
    theirs = change(repo, {"secret": b"secret" * 100, "good": b"good"}, "exp")
    store.erasure.erase(content=theirs.entry("secret").content or "", reason="r", now=True)
    repo.merge("exp", "main")
    assert repo.bundle("main").read("good") == b"good"
    with pytest.raises(NotFound, match="erased"):
        repo.bundle("main").read("secret")
    assert_sound(store)


def test_a_row_that_gc_is_about_to_sweep_is_refused(repo: Repo) -> None:
    change(repo, {"b": b"main"})
    theirs = change(repo, {"new": b"new"}, "exp")
    before = repo.branch("main").bundle
    condemn(repo.context.core.backend, dead=packs_of(theirs) - packs_of(repo.bundle("main")))
    with pytest.raises(Conflict, match="'new' can't be reused now"):
        repo.merge("exp", "main")
    assert repo.branch("main").bundle == before
    assert not list(repo.context.core.backend.list("sessions/"))


def test_what_a_merge_needs_survives_gc(repo: Repo) -> None:
    store = Store(repo.context.core.backend, clock=SteeredClock("gc"))
    change(repo, {"b": b"main"})
    theirs = change(repo, {"new": noise(100_000, 5)}, "exp")
    repo.merge("exp", "main")
    repo.delete_branch("exp")
    repo.delete_bundle(theirs.id)
    store.gc()
    assert files(opened(repo.context.core.backend, "reader"))["new"] == noise(100_000, 5)
    assert_sound(store)
    with pytest.raises(NotFound, match=theirs.id):
        repo.revert("main", mainline=2)


# -- reverts -----------------------------------------------------------------------------------------------------------


def test_a_revert_undoes_one_bundle_and_keeps_later_ones(repo: Repo) -> None:
    bad = change(repo, {"a": b"bad", "b": None, "new/n": b"bad"}, message="bad\nidea")
    change(repo, {"d/x": b"later"})
    head = repo.branch("main").bundle
    done = repo.revert(bad.id)
    assert files(repo) == {"a": b"a", "b": b"b", "d/x": b"later", "d/y": noise(300_000)}
    made = repo.bundle("main")
    assert made.parents == (head,)
    assert made.message == f'Revert "bad"\n\nThis reverts bundle {bad.id}.'
    assert (done.added, done.modified, done.deleted) == (1, 1, 1)
    assert repo.revert(bad.id).how == "nothing"
    repo.revert("main")
    assert files(repo)["a"] == b"bad"


def test_a_revert_names_what_changed_since(repo: Repo) -> None:
    bad = change(repo, {"a": b"bad", "n": b"bad"})
    change(repo, {"a": b"later", "n": b"later"})
    with pytest.raises(MergeConflict) as caught:
        repo.revert(bad.id)
    assert [(each.path, each.kind) for each in caught.value.conflicts] == [
        ("a", "both-modified"),
        ("n", "deleted-by-them"),
    ]
    repo.revert(bad.id, prefer="theirs")
    assert (files(repo)["a"], "n" in files(repo)) == (b"a", False)


def test_the_first_bundle_can_be_reverted(repo: Repo) -> None:
    change(repo, {"later": b"l"})
    repo.revert("main~1")
    assert files(repo) == {"later": b"l"}


def test_a_merge_is_reverted_to_one_of_its_parents(repo: Repo) -> None:
    change(repo, {"a": b"main"})
    change(repo, {"b": b"exp"}, "exp")
    repo.merge("exp", "main")
    for wrong in (None, 0, 3):
        with pytest.raises(InvalidInput, match="parent"):
            repo.revert("main", mainline=wrong)
    repo.revert("main", mainline=1)
    assert (files(repo)["a"], files(repo)["b"]) == (b"main", b"b")


# -- compared with a model ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> Repo:
    return opened(new_backend(), "many")


def write(repo: Repo, tree: MergeTree, branch: str) -> None:
    """Make a branch's head equal to a tree."""
    with repo.edit(message="m", branch=branch) as edit:
        for entry in repo.bundle(branch).ls() if branch in {found.name for found in repo.branches()} else ():
            edit.remove(entry.path)
        for path, value in tree.items():
            if value == "/":
                edit.mkdir(path)
            elif value[0] == "@":
                edit.symlink(path, value[1:])
            else:
                edit.put(path, value.strip("*").encode(), mode=0o755 if "*" in value else 0o644)
        edit.commit()


def written(bundle: Bundle) -> MergeTree:
    marks = {"folder": "/", "symlink": "@", "file": ""}
    return {
        path: marks[entry.kind] + entry.content.decode() + "*" * entry.executable
        for path, entry in tree_of(bundle).items()
    }


@settings(max_examples=8)
@given(three_trees())
def test_merges_of_random_trees_agree_with_a_model(many: Repo, trees: tuple[MergeTree, MergeTree, MergeTree]) -> None:
    ours, theirs = (f"b{len(many.bundles())}-{side}" for side in (0, 1))
    write(many, trees[0], ours)
    many.create_branch(theirs, ours)
    write(many, trees[1], ours)
    write(many, trees[2], theirs)
    merged, wrong = merged_model(*trees)
    planned = many.merge(theirs, ours, dry_run=True)
    assert {each.path for each in planned.conflicts} == wrong
    if not wrong:
        many.merge(theirs, ours)
        assert written(many.bundle(ours)) == merged
        return
    there = many.branch(theirs).bundle
    many.merge(theirs, ours, prefer="ours")
    many.merge(many.bundle(ours).parents[0], theirs, prefer="theirs")
    assert many.bundle(ours).parents[1] == there
    assert many.bundle(ours).version == many.bundle(theirs).version
    assert_complete(many.bundle(ours))


def test_a_revert_undoes_the_bundle_that_was_named_though_the_branch_moves(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sheaf.transfer.bundles import merge_branches

    wrong = change(repo, {"a": b"wrong"})
    original, others = merge_branches._combined, [{"b": b"theirs"}]

    def combined(*args: object) -> object:
        if others:
            change(repo, others.pop())
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(merge_branches, "_combined", combined)
    repo.revert("main")
    assert files(repo)["a"] == b"a"
    assert files(repo)["b"] == b"theirs"
    assert wrong.id in repo.bundle("main").message
