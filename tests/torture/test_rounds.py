"""Rounds with whole stores: sound places keep everything, and what is not kept is said."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import pytest

from sheaf.errors import Unavailable
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Created
from sheaf.storage.storage_options import StorageOptions
from sheaf.torture.scratch_location import ScratchLocation, scratch
from sheaf.torture.timing import Timings
from sheaf.torture.whole_store.chaos import Chaos, Stopped
from sheaf.torture.whole_store.claims import Broken
from sheaf.torture.whole_store.ledger import Acknowledged, Ledger, claim_kept
from sheaf.torture.whole_store.rounds import play
from sheaf.torture.whole_store.simulated_clients import client, new_folder
from sheaf.torture.whole_store.worker_processes import workers

_numbers = itertools.count()


@pytest.mark.parametrize("seed", range(3))
def test_a_round_in_memory(seed: int) -> None:
    played = play(ScratchLocation(f"memory://round-{next(_numbers)}", StorageOptions()), str(seed), Timings())
    assert played.trouble == ""
    assert played.counts["bundles"] > 0
    assert sum(played.faults.values()) > 0


def test_a_round_in_a_folder_with_processes_that_are_killed(tmp_path: Path) -> None:
    timings = Timings()
    with scratch(ScratchLocation(tmp_path.as_uri(), StorageOptions(durability="none"))) as location:
        played = play(location, "folder", timings)
    assert played.trouble == ""
    assert {"bundles", "kills"} <= played.counts.keys()
    assert {"create", "get", "list"} <= {figure.operation for figure in timings.figures()}


# -- what was told ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    import sheaf

    return sheaf.init(str(tmp_path / "store"), probe=False)


@pytest.fixture
def ledger(store: Store, tmp_path: Path) -> Ledger:
    """Three bundles, a label and a branch."""
    ledger, repo = Ledger(), store.create_repo("team/a")
    for n in range(3):
        acknowledged = Acknowledged("team/a", new_folder(tmp_path / f"{n}", random.Random(n), b"own"), "main")
        ledger.commit(repo.upload(tmp_path / f"{n}", message="up").bundle.id, acknowledged)
    first = next(iter(ledger.bundles))
    repo.set_label("latest", f"bundle:{first}")
    ledger.label("team/a", "latest", first)
    repo.create_branch("b0", f"bundle:{first}")
    ledger.branch("team/a", "b0", "p0")
    return ledger


def test_what_was_told_and_holds_is_kept(store: Store, ledger: Ledger) -> None:
    claim_kept(store, ledger)


def test_a_lost_bundle_is_said(store: Store, ledger: Ledger) -> None:
    ledger.commit("0" * 27, Acknowledged("team/a", {}, None))
    with pytest.raises(Broken, match="1 of 4 acknowledged bundles are missing"):
        claim_kept(store, ledger)
    ledger.doubt("0" * 27)
    claim_kept(store, ledger)


def test_other_files_are_said(store: Store, ledger: Ledger) -> None:
    id, acknowledged = next(iter(ledger.bundles.items()))
    ledger.bundles[id] = Acknowledged(acknowledged.repo, {**acknowledged.files, "own": "0" * 64}, "main")
    with pytest.raises(Broken, match=f"the files of bundle {id}"):
        claim_kept(store, ledger)


def test_a_lost_label_branch_or_history_is_said(store: Store, ledger: Ledger, tmp_path: Path) -> None:
    ledger.label("team/a", "never", next(iter(ledger.bundles)))
    with pytest.raises(Broken, match="moves of labels"):
        claim_kept(store, ledger)
    ledger.labels.pop()
    store.repo("team/a").delete_branch("b0")
    with pytest.raises(Broken, match=r"acknowledged branches are missing: .*b0"):
        claim_kept(store, ledger)
    ledger.branches.clear()
    files = new_folder(tmp_path / "aside", random.Random(7))
    aside = store.repo("team/a").upload(tmp_path / "aside", message="aside", branch=None).bundle
    ledger.commit(aside.id, Acknowledged("team/a", files, "main"))
    with pytest.raises(Broken, match="bundles are missing in the history"):
        claim_kept(store, ledger)


def test_a_branch_that_two_were_told_they_made_is_said(ledger: Ledger) -> None:
    with pytest.raises(Broken, match="both p0 and p1"):
        ledger.branch("team/a", "b0", "p1")


# -- the bad network ---------------------------------------------------------------------------------------------------


def test_chaos_disturbs_as_its_seed_says_and_late_writes_arrive() -> None:
    inner = MemoryBackend()
    chaos = Chaos(inner, random.Random(5), 0.5)
    for n in range(200):
        try:
            assert chaos.create(f"k{n}", b"x") is Created.CREATED
        except Unavailable:
            continue
    chaos.close()
    assert {"not made", "answer lost", "arrives late", "503"} <= chaos.counts.keys()
    kept = 200 - chaos.counts["not made"] - chaos.counts["503"]
    assert len(list(inner.list())) == kept


def test_chaos_without_a_rate_disturbs_nothing() -> None:
    chaos = Chaos(MemoryBackend(), random.Random(1), 0.0)
    for n in range(500):
        chaos.create(f"k{n}", b"x")
    assert not chaos.counts


def test_a_round_that_is_over_stops_everybody() -> None:
    stop = threading.Event()
    chaos = Chaos(MemoryBackend(), random.Random(1), 0.0, stop)
    chaos.create("a", b"x")
    stop.set()
    for call in (lambda: chaos.get("a"), lambda: chaos.create("b", b"")):
        with pytest.raises(Stopped):
            call()


def test_clients_have_clocks_of_their_own(store: Store, tmp_path: Path) -> None:
    hours = set()
    for name in "abcdefgh":
        with client(ScratchLocation.at(str(tmp_path / "store"), StorageOptions()).open(), name, 0.0) as its:
            hours.add(its.store.connected.core.clock.now_ns() // (3600 * 10**9))
    assert len(hours) > 2


def _dies(pipe: object, location: ScratchLocation) -> None:
    import os

    os._exit(1)


def _fails(pipe: object, location: ScratchLocation) -> None:
    raise Broken("on purpose")


def test_what_becomes_of_another_process_is_heard(tmp_path: Path) -> None:
    with workers(ScratchLocation(tmp_path.as_uri(), StorageOptions()), 2) as (one, other):
        one.begin(_dies)
        other.begin(_fails)
        with pytest.raises(Unavailable, match="worker process died"):
            one.next()
        with pytest.raises(Broken, match="on purpose"):
            other.next()
