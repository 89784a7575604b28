"""What a write waits for, and what is said when it can't have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.replicas.builders import Place, build

from sheaf.errors import AlreadyExists, Conflict, Denied, InvalidInput, NotFound, Refused, SheafError, Unavailable
from sheaf.storage.memory import MemoryBackend


def test_with_all_a_commit_is_everywhere(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", "mem:c")
    with world.process() as store:
        world.upload(store)
        store.repo("faces").set_label("v1", "branch:main")
        assert [info.state for info in store.replicas.list()] == ["in step"] * 2
    for url in ("mem:a", "mem:b", "mem:c"):
        assert world.messages(url) == ["first", "up"]
        assert world.bare(url) == world.bare("mem:a")


def test_with_all_a_replica_that_is_cut_off_is_named_and_nothing_is_committed(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", "mem:c")
    world.places["mem:c"].is_cut = True
    with world.process() as store:
        with pytest.raises(Unavailable, match=r"nothing was committed.*mem:c"):
            world.upload(store)
        with pytest.raises(Unavailable, match=r"nothing was committed.*mem:c"):
            store.repo("faces").set_label("v1", "branch:main")
    assert world.messages("mem:a") == ["first"]
    world.places["mem:c"].is_cut = False
    with world.process() as store:
        world.upload(store)
    assert world.messages("mem:c") == ["first", "up"]


def test_with_all_a_replica_that_is_lost_after_the_decision_is_said(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    primary, replica = world.places["mem:a"], world.places["mem:b"]

    def cut_after_record(call: str, key: str) -> None:
        replica.is_cut |= call == "create" and "/log/" in key

    primary.at = cut_after_record
    with (
        world.process() as store,
        pytest.raises(Unavailable, match="committed to mem:a, but not to replica mem:b") as caught,
    ):
        world.upload(store)
    assert "don't repeat the command" in caught.value.hint
    primary.at, replica.is_cut = (lambda call, key: None), False
    assert world.messages("mem:a") == ["first", "up"] and world.messages("mem:b") == ["first"]
    with world.process() as store:  # the next writer brings what is missing
        world.upload(store, "third", "next")
    assert world.messages("mem:b") == ["first", "up", "next"]


@pytest.mark.parametrize("policy", ["majority", "primary"])
def test_with_less_a_replica_that_is_cut_off_is_left_behind_until_it_catches_up(tmp_path: Path, policy: str) -> None:
    world = build(tmp_path, "mem:b", "mem:c", policy=policy)
    world.places["mem:c"].is_cut = True
    with world.process() as store:
        world.upload(store)
    world.places["mem:c"].is_cut = False
    with world.process() as store:
        world.upload(store, "third", "next")
        assert [info.state for info in store.replicas.list()] == ["in step", "behind"]
    assert world.messages("mem:b") == ["first", "up", "next"] and world.messages("mem:c") == ["first"]
    with world.process() as store:
        store.replicas.replicate()
        assert [info.state for info in store.replicas.list()] == ["in step"] * 2
        store.repo("faces").set_label("v1", "branch:main")
    assert world.messages("mem:c") == ["first", "up", "next"]
    assert world.bare("mem:c") == world.bare("mem:a")


@pytest.mark.parametrize(
    "calls", [{"create", "delete"}, {"create", "delete", "get", "get_ranges", "stat", "list", "newest"}]
)
def test_users_who_may_not_write_to_a_replica_leave_it_behind(tmp_path: Path, calls: set[str]) -> None:
    world = build(tmp_path, "mem:b", policy="primary")

    def deny(call: str, key: str) -> None:
        if call in calls:
            raise Denied("access denied", "get the permissions")

    world.places["mem:b"].at = deny
    with world.process() as store:
        world.upload(store)
    with world.process() as store:
        world.upload(store, "third", "next")
    world.places["mem:b"].at = lambda call, key: None
    with world.process() as store:  # another user, who may write there
        assert [info.state for info in store.replicas.list()] == ["behind"]
        store.replicas.replicate()
        assert [info.state for info in store.replicas.list()] == ["in step"]
    assert world.messages("mem:b") == ["first", "up", "next"]


def test_a_majority_is_more_than_half(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", "mem:c", policy="majority")
    world.places["mem:b"].is_cut = world.places["mem:c"].is_cut = True
    with world.process() as store, pytest.raises(Unavailable, match="nothing was committed"):
        world.upload(store)
    assert world.messages("mem:a") == ["first"]


def test_packs_of_an_upload_that_failed_while_the_replica_was_away_are_not_missed_later(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", policy="primary")
    world.places["mem:b"].is_cut = True

    def stop(call: str, key: str) -> None:
        if call == "create" and key.startswith("repos/"):
            raise Unavailable("the process stops here")

    world.places["mem:a"].at = stop
    with world.process() as store, pytest.raises(SheafError):
        world.upload(store)
    world.places["mem:a"].at, world.places["mem:b"].is_cut = (lambda call, key: None), False
    with world.process() as store:  # finds the packs through the index, and the replica does not have them
        world.upload(store)
    assert world.messages("mem:b") == ["first"]
    with world.process() as store:
        store.replicas.replicate()
    assert world.messages("mem:b") == ["first", "up"]


def test_an_upload_that_began_before_a_replica_was_added_does_not_spoil_it(tmp_path: Path) -> None:
    world = build(tmp_path)
    seen: list[str] = []

    def add(call: str, key: str) -> None:
        if call == "create" and key.startswith(("index/", "nodes/")) and not seen:
            seen.append(key)
            with world.process() as store:
                store.replicas.add("mem:b", policy="primary")

    world.places["mem:a"].at = add
    with world.process() as store:
        world.upload(store)
    with world.process() as store:
        world.upload(store, "third", "next")
    assert world.messages("mem:b") in (["first"], ["first", "up", "next"])
    with world.process() as store:
        store.replicas.replicate()
    assert world.messages("mem:b") == ["first", "up", "next"]


def test_a_replica_takes_no_writes(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    with world.process("mem:b") as store:
        for write in (lambda: world.upload(store), lambda: store.create_repo("x"), lambda: store.replicas.add("mem:c")):
            with pytest.raises(Refused, match="mem:b is a replica of mem:a") as caught:
                write()
            assert "sheaf store promote mem:b" in caught.value.hint


def test_adding_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    world, other = build(tmp_path / "one", "mem:b"), build(tmp_path / "two", id="another")
    world.places["mem:other"] = Place(other.places["mem:a"].inner, "mem:other")
    with world.process() as store:
        with pytest.raises(Refused, match="another store"):
            store.replicas.add("mem:other")
        with pytest.raises(InvalidInput, match="this store itself"):
            store.replicas.add("mem:a")
        with pytest.raises(InvalidInput, match="invalid policy"):
            store.replicas.set_policy("most")  # type: ignore[arg-type]
        with pytest.raises(NotFound, match="is not a replica"):
            store.replicas.remove("mem:other")
        world.places["mem:full"] = Place(MemoryBackend(), "mem:full")
        world.places["mem:full"].create("something", b"")
        with pytest.raises(Refused, match="not empty"):
            store.replicas.add("mem:full")


def test_a_replica_that_was_removed_gets_nothing_more(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    with world.process() as store:
        store.replicas.remove("mem:b")
        world.upload(store)
    assert world.messages("mem:b") == ["first"]


def test_a_place_whose_copy_is_gone_counts_as_cut_off(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b")
    del world.places["mem:b"]
    with world.process() as store, pytest.raises(Unavailable, match="no copy of this store at mem:b"):
        world.upload(store)


def test_reads_go_to_a_replica_while_the_primary_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = build(tmp_path, "mem:b")
    with world.process() as store:
        bundle = store.repo("faces").bundle("branch:main")
        world.places["mem:a"].is_cut = True
        assert bundle.read("a") == b"a"
        assert [found.message for found in store.repo("faces").bundles()] == ["first"]
        with pytest.raises(Unavailable, match="mem:a"):
            world.upload(store)
    assert caplog.text.count("which may be behind") == 1


def test_promotion_hands_over_and_the_old_primary_follows(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", "mem:c")
    with world.process() as late, world.process("mem:b") as store:
        promoted = store.replicas.promote()
        assert (promoted.epoch, promoted.unreachable) == (1, ())
        with pytest.raises(Refused, match="mem:a is a replica of mem:b"):
            world.upload(late)
        world.upload(store)
        with pytest.raises(AlreadyExists):
            store.replicas.promote()
    for url in ("mem:a", "mem:b", "mem:c"):
        assert world.messages(url) == ["first", "up"]


def test_an_old_primary_that_comes_back_can_commit_nothing(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", policy="primary")
    with world.process() as late:
        world.places["mem:a"].is_cut = True
        with world.process("mem:b") as store:
            assert store.replicas.promote().unreachable == ("mem:a",)
            world.upload(store, "third", "new")
        world.places["mem:a"].is_cut = False
        for _ in range(2):
            with pytest.raises(Refused, match="mem:b was promoted"):
                world.upload(late)
        with pytest.raises(Refused, match="promoted"):
            late.replicas.replicate()
    with world.process("mem:b") as store:  # it had nothing that the new one lacks: it may follow now
        store.replicas.add("mem:a")
    assert world.messages("mem:a") == world.messages("mem:b") == ["first", "new"]


def test_what_has_diverged_is_said_and_never_merged(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", policy="primary")
    world.places["mem:b"].is_cut = True
    with world.process() as store:
        world.upload(store, "third", "only here")
    world.places["mem:b"].is_cut, world.places["mem:a"].is_cut = False, True
    with world.process("mem:b") as store:
        store.replicas.promote()
        world.upload(store)
    world.places["mem:a"].is_cut = False
    with world.process() as store, pytest.raises(Refused, match="mem:b was promoted"):
        store.repo("faces").set_label("v1", "branch:main")
    with world.process("mem:b") as store, pytest.raises(Conflict, match="diverged"):
        store.replicas.add("mem:a")
    assert world.messages("mem:a") == ["first", "only here"] and world.messages("mem:b") == ["first", "up"]


def test_what_was_cached_of_one_place_is_not_believed_of_another(tmp_path: Path) -> None:
    world = build(tmp_path, "mem:b", policy="primary")
    world.places["mem:b"].is_cut = True
    with world.process(cache=tmp_path / "cache") as store:
        world.upload(store, "third", "only here")
        assert len(store.repo("faces").bundles()) == 2
    with world.process(cache=tmp_path / "cache") as store:
        assert store.repo("faces").bundle("branch:main").message == "only here"
    world.places["mem:b"].is_cut, world.places["mem:a"].is_cut = False, True
    with world.process("mem:b") as store:
        store.replicas.promote()
    with world.process("mem:b", tmp_path / "cache") as store:
        assert store.repo("faces").bundle("branch:main").message == "first"


def test_a_commit_that_races_with_a_promotion_is_on_the_new_primary_or_refused(tmp_path: Path) -> None:
    for nth in range(1, 40):
        world = build(tmp_path / str(nth), "mem:b")
        calls, promoted = 0, False

        def promote(call: str, key: str, world=world, nth=nth) -> None:  # type: ignore[no-untyped-def]
            nonlocal calls, promoted
            calls += 1
            if calls == nth:
                promoted = True
                with world.process("mem:b") as other:
                    other.replicas.promote()

        with world.process() as store:
            world.places["mem:a"].at = promote
            try:
                world.upload(store)
                committed = True
            except SheafError:
                committed = False
            world.places["mem:a"].at = lambda call, key: None
        shown = world.messages("mem:b")
        assert shown == ["first", "up"] if committed else shown in (["first"], ["first", "up"])
        if not promoted:
            return
    raise AssertionError("an upload makes more calls than that")
