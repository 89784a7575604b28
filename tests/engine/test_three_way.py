"""The three-way comparison of trees, compared with a model that merges dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.merge_model import PATHS, Tree, merged_model, three_trees, valid

from sheaf.engine.manifest.comparison.diff_entries import Difference, diff_entries
from sheaf.engine.manifest.comparison.three_way import Outcome, Preference, is_alike, three_way
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.ids import ZERO_HASH
from sheaf.model.paths import order_key, split


def entry(path: str, value: str) -> ManifestEntry:
    folder, name = split(path)
    if value == "/":
        return ManifestEntry(folder, name, Kind.FOLDER, 0o755, content=ZERO_HASH)
    kind, mode = (Kind.SYMLINK, 0o777) if value[0] == "@" else (Kind.FILE, 0o755 if "*" in value else 0o644)
    return ManifestEntry(folder, name, kind, mode, content=value.strip("*").encode().ljust(32))


def value_of(entry: ManifestEntry | None) -> str | None:
    if entry is None:
        return None
    return "/" if entry.kind == Kind.FOLDER else entry.content.decode().strip() + "*" * entry.executable


def entries(tree: Tree) -> list[ManifestEntry]:
    return [entry(path, tree[path]) for path in sorted(tree, key=lambda path: order_key(*split(path)))]


def differences(old: Tree, new: Tree) -> list[Difference]:
    return list(diff_entries(entries(old), entries(new)))


def compared(
    base: Tree, ours: Tree, theirs: Tree, prefer: Preference | None = None, doubtful: frozenset[str] = frozenset()
) -> list[Outcome]:
    return list(three_way(differences(base, ours), differences(base, theirs), prefer=prefer, doubtful=doubtful))


def applied(tree: Tree, found: list[Outcome]) -> Tree:
    results = {outcome.path: value_of(outcome.result) for outcome in found}
    assert len(results) == len(found)
    return {path: value for path, value in {**tree, **results}.items() if value is not None}


def conflicts(found: list[Outcome]) -> dict[str, str]:
    return {outcome.path: outcome.conflict for outcome in found if outcome.conflict}


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result", "named"),
    [
        pytest.param({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}, {}, id="changed there"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"}, {}, id="changed here"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}, {}, id="same change"),
        pytest.param({"a": "1"}, {"a": "1*"}, {"a": "2"}, {"a": "2*"}, {}, id="mode here, content there"),
        pytest.param({"a": "1*"}, {"a": "2*"}, {"a": "1"}, {"a": "2"}, {}, id="content here, mode there"),
        pytest.param({"a": "1"}, {"a": "2*"}, {"a": "2"}, {"a": "2*"}, {}, id="same content, mode here"),
        pytest.param({"a": "1"}, {"a": "2*"}, {"a": "1*"}, {"a": "2*"}, {}, id="same mode, content here"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a": "3"}, None, {"a": "both-modified"}, id="both modified"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a": "@1"}, None, {"a": "both-modified"}, id="file and symlink"),
        pytest.param({}, {"a": "2"}, {"a": "3"}, None, {"a": "both-added"}, id="both added"),
        pytest.param({}, {"a": "2"}, {"a": "2*"}, None, {"a": "both-added"}, id="added with other modes"),
        pytest.param({"a": "1"}, {}, {"a": "3"}, None, {"a": "deleted-by-us"}, id="deleted here"),
        pytest.param({"a": "1"}, {"a": "3"}, {}, None, {"a": "deleted-by-them"}, id="deleted there"),
        pytest.param({}, {"p": "1"}, {"p": "/", "p/x": "1"}, None, {"p": "file-folder"}, id="file and folder"),
        pytest.param({"p": "/"}, {"p": "1"}, {"p": "/", "p/x": "1"}, None, {"p": "file-folder"}, id="file, new inside"),
        pytest.param({"p": "1"}, {"p": "/"}, {"p": "2"}, None, {"p": "file-folder"}, id="folder, file modified"),
        pytest.param({"p": "/"}, {"p": "1"}, {"p": "/"}, {"p": "1"}, {}, id="file in place of a folder"),
        pytest.param({"p": "/", "p/x": "1"}, {}, {"p": "/", "p/x": "1"}, {}, {}, id="folder removed"),
        pytest.param(
            {"p": "/", "p/x": "1"}, {}, {"p": "/", "p/x": "1", "p/y": "2"}, {"p": "/", "p/y": "2"}, {}, id="new in removed"
        ),
        pytest.param({"p": "/"}, {}, {"p": "2"}, {"p": "2"}, {}, id="file where a folder was removed"),
        pytest.param({"p": "1"}, {"p": "/", "p/x": "1"}, {}, {"p": "/", "p/x": "1"}, {}, id="folder where file was deleted"),
    ],
)  # fmt: skip
def test_each_kind_of_change(base: Tree, ours: Tree, theirs: Tree, result: Tree | None, named: dict[str, str]) -> None:
    found = compared(base, ours, theirs)
    assert conflicts(found) == named
    assert [outcome.how == "conflict" for outcome in found if outcome.conflict] == [True] * len(named)
    if result is not None:
        assert applied(ours, found) == result


@pytest.mark.parametrize(
    ("prefer", "result", "copies"),
    [
        ("ours", {"a": "2", "r": "/", "r/x": "1"}, {}),
        ("theirs", {"a": "3", "d": "3", "p": "/", "p/x": "1"}, {}),
        ("both", {"a": "2", "d": "3", "p": "/", "p/x": "1", "r": "/", "r/x": "1"}, {"a": "3", "p": "2", "r": "3"}),
    ],
)
def test_a_preference_settles_conflicts(prefer: Preference, result: Tree, copies: Tree) -> None:
    base = {"a": "1", "d": "1", "p": "/", "r": "1"}
    ours = {"a": "2", "p": "2", "r": "/", "r/x": "1"}
    theirs = {"a": "3", "d": "3", "p": "/", "p/x": "1", "r": "3"}
    found = compared(base, ours, theirs, prefer)
    if prefer == "ours":
        result = {**result, "p": "2"}
    if prefer == "theirs":
        result = {**result, "r": "3"}
    assert applied(ours, found) == result == applied(theirs, found)
    assert {outcome.path: value_of(outcome.copy) for outcome in found if outcome.copy} == copies
    assert {"a", "d", "r"} <= set(conflicts(found))


def test_a_path_with_an_unknown_base_is_a_conflict_unless_both_sides_agree() -> None:
    base, ours, theirs = {"a": "1", "r": "1"}, {"a": "1", "r": "2"}, {"a": "2", "r": "2"}
    assert conflicts(compared(base, ours, theirs, doubtful=frozenset("ar"))) == {"a": "both-added"}


def test_a_removed_folder_comes_after_what_is_below_it() -> None:
    base = {"p": "/", "p/q": "/", "p/q/z": "1", "p/x": "1", "r": "/", "r/x": "1"}
    found = compared(base, {}, base)
    assert [outcome.path for outcome in found] == ["p/x", "p/q/z", "p/q", "p", "r/x", "r"]


# -- compared with the model -------------------------------------------------------------------------------------------


@given(three_trees())
def test_trees_are_merged_as_the_model_merges_dictionaries(trees: tuple[Tree, Tree, Tree]) -> None:
    found = compared(*trees)
    merged, wrong = merged_model(*trees)
    assert set(conflicts(found)) == wrong
    if not wrong:
        assert applied(trees[1], found) == merged == applied(trees[2], found)
    for outcome in found:
        base, ours, theirs = (tree.get(outcome.path) for tree in trees)
        assert (value_of(outcome.base), value_of(outcome.ours), value_of(outcome.theirs)) == (base, ours, theirs)


@given(three_trees(), st.sampled_from(("ours", "theirs", "both")), st.sets(st.sampled_from(PATHS)))
def test_every_preference_gives_one_valid_tree_for_both_sides(
    trees: tuple[Tree, Tree, Tree], prefer: Preference, doubtful: set[str]
) -> None:
    found = compared(*trees, prefer, frozenset(doubtful))
    assert all(outcome.how != "conflict" for outcome in found)
    merged = applied(trees[1], found)
    assert merged == applied(trees[2], found)
    assert valid(merged) == merged
    for outcome in found:
        assert outcome.changes_ours == (not is_alike(outcome.result, outcome.ours))
        if outcome.how in ("ours", "theirs") and outcome.result is not None:
            assert outcome.result is getattr(outcome, outcome.how)


@given(three_trees())
def test_no_change_of_either_side_is_lost_where_both_are_kept(trees: tuple[Tree, Tree, Tree]) -> None:
    base, *sides = trees
    for outcome in compared(*trees, "both"):
        kept = {value_of(entry) for entry in (outcome.result, outcome.copy) if entry is not None}
        contents = {value.strip("*") for value in kept if value}
        for side in sides:
            new = side.get(outcome.path, "/")
            if new != "/" and new.strip("*") != base.get(outcome.path, "").strip("*"):
                assert new.strip("*") in contents


@given(three_trees())
def test_the_sides_can_be_exchanged(trees: tuple[Tree, Tree, Tree]) -> None:
    base, ours, theirs = trees
    for prefer, other in (("ours", "theirs"), (None, None)):
        one = {outcome.path: value_of(outcome.result) for outcome in compared(base, ours, theirs, prefer)}  # type: ignore[arg-type]
        two = {outcome.path: value_of(outcome.result) for outcome in compared(base, theirs, ours, other)}  # type: ignore[arg-type]
        assert one == two
