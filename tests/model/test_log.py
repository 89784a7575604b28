"""What operations make of a log's state."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import AlreadyExists, Conflict, NotFound, SheafError
from sheaf.format.record_v1 import decode_ops, merge, patch
from sheaf.model.records import (
    AddBundle,
    Author,
    BundleRecord,
    CreateRepo,
    DeleteBundle,
    DeleteRepo,
    MoveBranch,
    Promote,
    RedactBundle,
    RefTarget,
    RenameRepo,
    RepoOp,
    RepoState,
    RestoreBundle,
    RestoreRepo,
    Root,
    SetFeatures,
    SetLabel,
    SetReplicas,
    StoreOp,
    StoreState,
    VoidSession,
    replay,
)

ORIGIN = RefTarget("", 7, "2026-11-21T01:02:03.000004Z", Author("a", "a@b"))


def bundle(id: str) -> BundleRecord:
    """A descriptor."""
    return BundleRecord(id, "v" + id, Root("1", 2, 0, 3, 4, "5", "6"), "message", "time", 1)


def committed(*ids: str) -> RepoState:
    """A repo with these bundles, all on branch main."""
    state = RepoState()
    for id in ids:
        expect = state.branches["main"].bundle if "main" in state.branches else None
        state = replay(state, (AddBundle(bundle(id)), MoveBranch("main", id, expect)), ORIGIN)
    return state


def test_a_commit_moves_its_branch() -> None:
    state = committed("a", "b")
    assert state.branches == {"main": msgspec.structs.replace(ORIGIN, bundle="b")}
    assert (state.latest, state.count) == ("b", 2)
    assert state.bundles == {"b": bundle("b")}


def test_what_refs_name_keeps_its_descriptor() -> None:
    state = replay(
        committed("a"), (SetLabel("first", "a"), AddBundle(bundle("b")), MoveBranch("main", "b", "a")), ORIGIN
    )
    assert set(state.bundles) == {"a", "b"}
    assert set(replay(state, (SetLabel("first", None),), ORIGIN).bundles) == {"b"}


def test_a_branch_that_is_elsewhere_is_a_conflict() -> None:
    for expect in (None, "b"):
        with pytest.raises(Conflict, match="'main' changed in the meantime: it points to a"):
            committed("a").apply(MoveBranch("main", "a", expect), ORIGIN)
    with pytest.raises(Conflict, match="points to nothing"):
        committed("a").apply(MoveBranch("other", "a", "b"), ORIGIN)


def test_the_last_to_set_a_label_wins_unless_it_is_checked() -> None:
    state = replay(committed("a"), (SetLabel("x", "a"), AddBundle(bundle("b")), SetLabel("x", "b")), ORIGIN)
    assert state.labels["x"].bundle == "b"
    with pytest.raises(Conflict, match="'x' changed in the meantime"):
        state.apply(SetLabel("x", "b", "a", True), ORIGIN)
    assert state.apply(SetLabel("x", "b", "b", True), ORIGIN).labels["x"].bundle == "b"


@pytest.mark.parametrize("make", [SetLabel, MoveBranch])
def test_a_bundle_that_no_ref_named_brings_its_descriptor(make: type[SetLabel | MoveBranch]) -> None:
    state = committed("a", "b")
    assert state.lacking(bundle("b")) is None
    named = replay(state, (make("old", "a", target=state.lacking(bundle("a"))),), ORIGIN)
    assert named.bundles == {"a": bundle("a"), "b": bundle("b")}
    for op in (make("old", "a"), make("old", "a", target=bundle("c"))):
        with pytest.raises(NotFound, match="'old' can't point to the unknown bundle a"):
            state.apply(op, ORIGIN)


@pytest.mark.parametrize("op", [SetLabel("x", None), MoveBranch("x", None)])
def test_a_ref_that_is_not_there_cant_be_deleted(op: RepoOp) -> None:
    with pytest.raises(NotFound, match="'x'"):
        committed("a").apply(op, ORIGIN)


def test_a_bundle_is_committed_once() -> None:
    with pytest.raises(AlreadyExists, match="a is already committed"):
        committed("a").apply(AddBundle(bundle("a")), ORIGIN)


def test_a_bundle_that_a_ref_names_stays() -> None:
    state = replay(committed("a"), (SetLabel("x", "a"),), ORIGIN)
    with pytest.raises(Conflict, match="label:x, branch:main"):
        state.apply(DeleteBundle("a"), ORIGIN)


def test_a_deleted_bundle_leaves_the_one_before_as_the_latest() -> None:
    state = replay(committed("a"), (AddBundle(bundle("b")),), ORIGIN)
    state = replay(state, (DeleteBundle("b", bundle("a")),), ORIGIN)
    assert (state.latest, state.count, set(state.bundles)) == ("a", 1, {"a"})
    state = replay(state, (RestoreBundle(bundle("b")),), ORIGIN)
    assert (state.latest, state.count) == ("b", 2)


def test_the_end_of_a_session_changes_no_state() -> None:
    assert committed("a").apply(VoidSession("s"), ORIGIN) == committed("a")


# -- the store ---------------------------------------------------------------------------------------------------------


def store(*ops: StoreOp) -> StoreState:
    """A store with a repo "one" of id 1, and what follows."""
    state: StoreState = replay(StoreState(), (CreateRepo("1", "one", "text"), *ops), ORIGIN)
    return state


def test_a_repo_is_found_by_its_name_while_it_lives() -> None:
    entry = store().find("one")
    assert entry is not None
    assert (entry.id, entry.time, entry.author) == ("1", ORIGIN.time, ORIGIN.author)
    assert store(RenameRepo("1", "two")).find("one") is None
    assert store(DeleteRepo("1")).find("one") is None
    assert store(DeleteRepo("1")).repos["1"].deleted == ORIGIN.time
    assert store(DeleteRepo("1"), RestoreRepo("1", "back")).find("back") is not None


def test_a_name_is_taken_once() -> None:
    for op in (CreateRepo("2", "one"), RenameRepo("1", "one")):
        with pytest.raises(AlreadyExists, match="one"):
            store(op)
    assert (
        store(DeleteRepo("1"), CreateRepo("2", "one")).find("one")
        == store(DeleteRepo("1"), CreateRepo("2", "one")).repos["2"]
    )
    with pytest.raises(AlreadyExists):
        store(DeleteRepo("1"), CreateRepo("2", "one"), RestoreRepo("1", "one"))


@pytest.mark.parametrize("op", [RenameRepo("2", "x"), DeleteRepo("2"), RestoreRepo("2", "x")])
def test_a_repo_that_never_was_is_not_found(op: StoreOp) -> None:
    with pytest.raises(NotFound, match="repo 2"):
        store(op)


@pytest.mark.parametrize("op", [RenameRepo("1", "x"), DeleteRepo("1")])
def test_a_deleted_repo_is_not_found(op: StoreOp) -> None:
    with pytest.raises(NotFound, match="repo 1"):
        store(DeleteRepo("1"), op)


def test_a_repo_that_lives_is_not_restored() -> None:
    with pytest.raises(AlreadyExists, match="one"):
        store(RestoreRepo("1", "two"))


def test_an_id_is_used_once() -> None:
    with pytest.raises(AlreadyExists):
        store(CreateRepo("1", "two"))
    with pytest.raises(AlreadyExists):
        store(DeleteRepo("1"), CreateRepo("1", "one"))


def test_settings_replace_each_other() -> None:
    state = store(SetFeatures(("r",), ("w",)), SetReplicas(("s3://b",), "all"), Promote(3))
    assert (state.read_features, state.write_features) == (("r",), ("w",))
    assert (state.replicas, state.policy, state.epoch) == (("s3://b",), "all", 3)


# -- as JSON -----------------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c", "d"])
NAMES = st.sampled_from(["main", "x", "y", "null"])
MAYBE = st.none() | IDS
TARGETS = MAYBE.map(lambda id: bundle(id) if id else None)
REPO_OPS: st.SearchStrategy[Any] = st.one_of(
    IDS.map(lambda id: AddBundle(bundle(id))),
    st.builds(MoveBranch, NAMES, MAYBE, MAYBE, TARGETS),
    st.builds(SetLabel, NAMES, MAYBE, MAYBE, st.booleans(), TARGETS),
    st.builds(DeleteBundle, IDS, TARGETS),
    IDS.map(lambda id: RestoreBundle(bundle(id))),
    IDS.map(lambda id: RedactBundle(id, bundle(id).root, bundle(id).root.id, "s")),
    IDS.map(VoidSession),
)
STORE_OPS: st.SearchStrategy[Any] = st.one_of(
    st.builds(CreateRepo, IDS, NAMES, st.text(max_size=3)),
    st.builds(RenameRepo, IDS, NAMES),
    st.builds(DeleteRepo, IDS),
    st.builds(RestoreRepo, IDS, NAMES),
    st.builds(SetFeatures, st.tuples(NAMES), st.tuples(NAMES)),
    st.builds(SetReplicas, st.tuples(NAMES), NAMES),
    st.builds(Promote, st.integers(0, 9)),
)


def states(empty: Any, ops: list[Any]) -> list[Any]:
    """The states that these operations lead through; those that don't fit are left out."""
    found = [empty]
    for op in ops:
        try:
            found.append(replay(found[-1], (op,), ORIGIN))
        except SheafError:
            continue
    return found


def holds_null(value: Any) -> bool:
    """Whether there is a null anywhere in a JSON value."""
    if isinstance(value, dict):
        return any(map(holds_null, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_null, value))
    return value is None


@given(repo=st.lists(REPO_OPS, max_size=30), whole=st.lists(STORE_OPS, max_size=30))
def test_states_and_operations_survive_json_and_patches_between_any_two(repo: list[Any], whole: list[Any]) -> None:
    kinds: list[tuple[Any, list[Any], Any]] = [(RepoState(), repo, RepoOp), (StoreState(), whole, StoreOp)]
    for empty, ops, one in kinds:
        for op in ops:
            assert decode_ops(msgspec.json.decode(msgspec.json.encode(op)), one, "op") == op
        plain = [msgspec.to_builtins(state) for state in states(empty, ops)]
        for state, value in zip(states(empty, ops), plain, strict=True):
            assert decode_ops(msgspec.json.decode(msgspec.json.encode(value)), type(empty), "state") == state
            assert not holds_null(value)
            assert merge(plain[0], patch(plain[0], value)) == value
            assert merge(plain[-1], patch(plain[-1], value)) == value


@given(st.lists(REPO_OPS, max_size=30))
def test_every_ref_has_its_descriptor_and_nothing_else_has(ops: list[Any]) -> None:
    for state in states(RepoState(), ops):
        named = {target.bundle for target in [*state.branches.values(), *state.labels.values()]}
        if state.latest is not None:
            named.add(state.latest)
        assert set(state.bundles) == named
