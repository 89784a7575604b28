"""Logs: many writers, one order; found again from nothing, and never believed when damaged."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.engine.builders import Recorder, descriptor, flipped, new_backend, open_core, replaced

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, Log, repo_log
from sheaf.engine.object_cache import FolderCache
from sheaf.errors import Conflict, Corrupt, NotFound, Refused, Unavailable
from sheaf.format import keys, limits
from sheaf.format.record_v1 import PAGE_RECORDS, decode_record, encode_record
from sheaf.model.records import AddBundle, MoveBranch, RepoOp, RepoState, SetLabel
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.readonly import ReadOnlyBackend
from sheaf.storage.wrappers.retry import RetryBackend, RetryPolicy
from sheaf.testing.clock import SteeredClock
from sheaf.testing.faults import Fault, FaultyBackend

REPO = SteeredClock("repo").new_id()
ids = SteeredClock("bundles").new_id

RepoLog = Log[RepoState, RepoOp]


def label(name: str, bundle: str) -> Callable[[Head[RepoState]], tuple[RepoOp, ...]]:
    """Sets a label on a bundle that the log has."""
    return lambda head: (SetLabel(name, bundle),)


def bundle(id: str, message: str = "") -> Callable[[Head[RepoState]], tuple[RepoOp, ...]]:
    """Adds a bundle and moves main to it."""

    def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
        at = head.state.branches.get("main")
        return AddBundle(descriptor(id, message)), MoveBranch("main", id, at.bundle if at else None)

    return decide


def key(n: int) -> str:
    return keys.log_record(keys.repo(REPO), n)


@pytest.fixture
def log(core: Core) -> RepoLog:
    return repo_log(core, REPO)


def test_an_empty_log_has_an_empty_state(log: RepoLog) -> None:
    assert log.head() == Head(-1, "", RepoState())
    assert list(log.records()) == []


# -- writers -----------------------------------------------------------------------------------------------------------


def test_changes_that_do_not_touch_each_other_do_not_conflict(core: Core) -> None:
    mine, theirs = repo_log(core, REPO), repo_log(core, REPO)
    first = ids()
    mine.append(bundle(first))
    theirs.head()
    mine.append(label("mine", first))
    head = theirs.append(label("theirs", first))
    assert (head.n, sorted(head.state.labels)) == (2, ["mine", "theirs"])
    assert mine.head() == head


def test_the_loser_decides_again_on_what_won(core: Core) -> None:
    mine, theirs = repo_log(core, REPO), repo_log(core, REPO)
    seen: list[int] = []

    def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
        seen.append(head.n)
        if head.n < 2:
            theirs.append(bundle(ids()))
        return (AddBundle(descriptor(ids())),)

    assert mine.append(decide).n == 3
    assert seen == [-1, 0, 1, 2]


def test_a_record_that_nobody_would_read_is_not_written(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    log = repo_log(core, REPO)
    log.append(bundle(ids()))
    monkeypatch.setitem(limits.LIMITS, "log/", 10_000)
    with pytest.raises(Refused, match=f"{key(1)} would have .* bytes, but at most 10000"):
        log.append(bundle(ids(), "long " * 2000))
    assert repo_log(core, REPO).head().n == 0
    log.append(bundle(ids(), "short"))


def test_a_record_that_is_too_long_is_damage_and_not_read(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    repo_log(core, REPO).append(bundle(ids(), "long " * 2000))
    monkeypatch.setitem(limits.LIMITS, "log/", 1_000)
    with pytest.raises(Corrupt, match=f"{key(0)} has .* bytes, but such objects have at most 1000"):
        repo_log(core, REPO).head()


def test_an_operation_that_does_not_fit_any_more_writes_nothing(core: Core) -> None:
    mine, theirs = repo_log(core, REPO), repo_log(core, REPO)
    mine.append(bundle(ids()))
    move = MoveBranch("main", ids(), mine.head().state.branches["main"].bundle)

    def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
        if head.n == 0:
            theirs.append(bundle(ids()))
        return AddBundle(descriptor(str(move.bundle))), move

    with pytest.raises(Conflict, match="'main' changed in the meantime"):
        mine.append(decide)
    assert repo_log(core, REPO).head().n == 1


def test_many_threads_append_and_every_record_follows_the_one_before(core: Core) -> None:
    repo_log(core, REPO).append(bundle(first := ids()))

    def work(thread: int) -> None:
        log = repo_log(core, REPO)
        for n in range(6):
            log.append(label(f"t{thread}-{n}", first))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    log = repo_log(core, REPO)
    records = list(log.records())
    assert len(log.head().state.labels) == 48
    assert [record.n for record in records] == list(range(49))
    assert [record.prev for record in records[1:]] == [record.write for record in records[:-1]]


# -- answers that are lost ---------------------------------------------------------------------------------------------


def test_a_lost_answer_makes_one_record() -> None:
    faulty = FaultyBackend(new_backend(), {1: Fault.LOST})
    core = open_core(RetryBackend(faulty, RetryPolicy(sleep=lambda seconds: None)))
    log = repo_log(core, REPO)
    log.append(bundle(ids()))
    assert log.head().n == 0
    assert repo_log(core, REPO).head() == log.head()


def test_a_writer_that_never_got_its_answer_finds_its_record_later() -> None:
    core = open_core(FaultyBackend(new_backend(), {1: Fault.LOST}))
    log = repo_log(core, REPO)
    with pytest.raises(Unavailable):
        log.append(bundle(first := ids()))
    assert log.append(label("v1", first)).n == 1


# -- readers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", [1, 8, 9, 30])
def test_a_reader_finds_what_was_appended_meanwhile(core: Core, missed: int) -> None:
    writer, reader = repo_log(core, REPO), repo_log(core, REPO)
    writer.append(bundle(first := ids()))
    assert reader.head().n == 0
    for n in range(missed):
        writer.append(label(f"l{n}", first))
    assert reader.head() == writer.head()


def test_still_current_is_one_request(core: Core) -> None:
    recorder = Recorder(core.backend)
    log = repo_log(open_core(recorder), REPO)
    log.append(bundle(ids()))
    recorder.calls.clear()
    log.head()
    assert recorder.calls == [("get", key(1))]


@pytest.mark.parametrize("late", [1, 7, 12, 19])
def test_a_listing_that_is_late_takes_nobody_back(late: int) -> None:
    backend = FaultyBackend(new_backend())
    core = open_core(backend)
    writer, reader = repo_log(core, REPO), repo_log(core, REPO)
    writer.append(bundle(first := ids()))
    assert reader.head().n == 0
    for n in range(20):
        writer.append(label(f"l{n}", first))
    backend.hide_newest = late
    assert reader.head() == writer.head()
    assert repo_log(core, REPO).head() == writer.head()


# -- checkpoints and deltas --------------------------------------------------------------------------------------------


def test_a_large_state_is_written_as_changes_since_a_checkpoint(core: Core) -> None:
    writer = repo_log(core, REPO)
    kinds = []
    for n in range(150):
        writer.append(lambda head, n=n: (AddBundle(descriptor(id := ids(), "x" * 500)), SetLabel(f"label-{n}", id)))  # type: ignore[misc]
        record = decode_record(core.backend.get(key(n)), "record")
        kinds.append("state" if record.state is not None else "delta")
        assert (record.state is None) == (record.since >= 0)
        if n % 10 == 0:
            assert repo_log(core, REPO).head() == writer.head(), n
    runs = [(kind, len(list(group))) for kind, group in itertools.groupby(kinds)]
    assert runs[0][0] == "state" and runs[0][1] > 3, "a small state stands in every record"
    assert max(length for kind, length in runs if kind == "delta") > 10, "a large one does not"
    assert len(runs) >= 4, "when the changes have become many, they are gathered"
    assert len(writer.head().state.labels) == 150


def test_what_is_deleted_is_gone_from_a_delta_too(core: Core) -> None:
    writer = repo_log(core, REPO)
    for n in range(60):
        writer.append(lambda head, n=n: (AddBundle(descriptor(id := ids(), "x" * 900)), SetLabel(f"label-{n}", id)))  # type: ignore[misc]
    assert decode_record(core.backend.get(key(59)), "record").state is None
    writer.append(lambda head: tuple(SetLabel(f"label-{n}", None) for n in range(59)))
    assert repo_log(core, REPO).head() == writer.head()
    assert list(writer.head().state.labels) == ["label-59"]
    assert len(writer.head().state.bundles) == 1


# -- pages -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_backend() -> Backend:
    """A log of 2,010 records."""
    backend = new_backend()
    core = open_core(backend)
    log = repo_log(core, REPO)
    log.append(bundle(first := ids()))
    for n in range(2009):
        log.append(label(f"l{n % 3}", first))
    core.close()
    return backend


def copy_of(backend: Backend) -> Backend:
    copy = new_backend()
    for stat in backend.list("repos/"):
        copy.create(stat.key, backend.get(stat.key))
    return copy


def test_a_long_log_is_read_in_pages(long_backend: Backend) -> None:
    backend = Recorder(copy_of(long_backend))
    log = repo_log(open_core(backend), REPO)
    whole = list(log.records())
    assert [record.n for record in whole] == list(range(2010))
    again = repo_log(open_core(backend, "again"), REPO)
    backend.calls.clear()
    assert [record.ops for record in again.records()] == [record.ops for record in whole]
    assert len(backend.calls) < 20
    assert [record.n for record in again.records(1999)] == list(range(1999, 2010))


def test_a_page_is_the_same_from_anyone(long_backend: Backend) -> None:
    pages = []
    for seed in ("one", "two"):
        backend = copy_of(long_backend)
        log = repo_log(open_core(backend, seed), REPO)
        log.roll()
        pages.append([(stat.key, backend.get(stat.key)) for stat in backend.list(f"{keys.repo(REPO)}pages/")])
        log.roll()
    assert pages[0] == pages[1]
    assert [k for k, _ in pages[0]] == [keys.log_page(keys.repo(REPO), 1)]


def test_a_damaged_page_does_no_harm(long_backend: Backend) -> None:
    backend = copy_of(long_backend)
    expected = [record.ops for record in repo_log(open_core(backend, "first"), REPO).records()]
    page = keys.log_page(keys.repo(REPO), 0)
    whole = backend.get(page)
    for at in range(0, len(whole), max(1, len(whole) // 30)):
        replaced(backend, page, flipped(whole, at))
        assert [record.ops for record in repo_log(open_core(backend, "reader"), REPO).records()] == expected


def test_rolling_is_a_courtesy(long_backend: Backend) -> None:
    backend = FaultyBackend(copy_of(long_backend), {1: Fault.FAIL})
    log = repo_log(open_core(backend), REPO)
    log.roll()
    assert len(list(log.records())) == 2010


def test_a_short_log_is_not_rolled(core: Core, log: RepoLog) -> None:
    log.append(bundle(first := ids()))
    for n in range(PAGE_RECORDS - 2):
        log.append(label("l", first))
        assert n >= 0
    log.roll()
    assert not list(core.backend.list(f"{keys.repo(REPO)}pages/"))
    log.append(label("l", first))
    log.roll()
    assert len(list(core.backend.list(f"{keys.repo(REPO)}pages/"))) == 1


# -- damage ------------------------------------------------------------------------------------------------------------


def test_no_bit_of_a_record_can_turn_unnoticed(core: Core, log: RepoLog) -> None:
    log.append(bundle(ids()))
    whole = core.backend.get(key(0))
    for at in range(len(whole)):
        replaced(core.backend, key(0), flipped(whole, at, at % 8))
        with pytest.raises(Corrupt, match=key(0)):
            repo_log(core, REPO).head()


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_record_that_was_cut_short_is_named(core: Core, log: RepoLog, length: int) -> None:
    log.append(bundle(ids()))
    replaced(core.backend, key(0), core.backend.get(key(0))[:length])
    with pytest.raises(Corrupt, match=key(0)):
        repo_log(core, REPO).head()


def test_a_record_under_the_wrong_number_is_named(core: Core, log: RepoLog) -> None:
    log.append(bundle(ids()))
    core.backend.create(key(1), core.backend.get(key(0)))
    with pytest.raises(Corrupt, match="contains record 0"):
        repo_log(core, REPO).head()


def test_a_record_of_another_history_is_not_followed(core: Core, log: RepoLog) -> None:
    log.append(bundle(ids()))
    other = repo_log(open_core(other_store := new_backend(), "other"), REPO)
    other.append(bundle(ids()))
    other.append(bundle(ids()))
    core.backend.create(key(1), other_store.get(key(1)))
    with pytest.raises(Corrupt, match="does not follow"):
        log.head()


def test_a_record_that_is_gone_is_an_error_and_no_silence(core: Core, log: RepoLog) -> None:
    for _ in range(3):
        log.append(bundle(ids()))
    core.backend.delete(key(1))
    with pytest.raises((Corrupt, NotFound)):
        list(repo_log(core, REPO).records())


def test_a_damaged_copy_in_the_cache_is_read_again(core: Core, tmp_path: Path) -> None:
    log = repo_log(core, REPO)
    log.append(bundle(ids()))
    cache = FolderCache(tmp_path)
    for damage in (b"", b"garbage", flipped(core.backend.get(key(0)), 12)):
        cache.put(key(0), damage)
        fresh = Core(core.backend, core.config, cache=cache)
        assert repo_log(fresh, REPO).head().n == 0
        assert cache.get(key(0)) == core.backend.get(key(0))


def test_a_delta_that_belongs_to_another_checkpoint_is_not_applied(core: Core, log: RepoLog) -> None:
    log.append(bundle(ids()))
    log.append(bundle(ids()))
    record = decode_record(core.backend.get(key(1)), "record")
    replaced(core.backend, key(1), encode_record(replace(record, state=None, since=5, delta={})))
    for reader in (repo_log(core, REPO), at_record_0(core, log)):
        with pytest.raises((Corrupt, NotFound)):
            reader.head()


def at_record_0(core: Core, log: RepoLog) -> RepoLog:
    """A reader that knows record 0 only."""
    reader = repo_log(core, REPO)
    newer = core.backend.get(key(1))
    core.backend.delete(key(1))
    assert reader.head().n == 0
    core.backend.create(key(1), newer)
    return reader


def test_three_deltas_in_a_row_are_not_followed(core: Core, log: RepoLog) -> None:
    for _ in range(4):
        log.append(bundle(ids()))
    for n in (1, 2, 3):
        record = decode_record(core.backend.get(key(n)), "record")
        replaced(core.backend, key(n), encode_record(replace(record, state=None, since=n - 1, delta={"count": n + 1})))
    for n in (3, 2):
        reader = repo_log(core, REPO)
        if n == 3:
            with pytest.raises(Corrupt, match="does not lead to a checkpoint"):
                reader.head()
            core.backend.delete(key(3))
        else:
            assert (reader.head().n, reader.head().state.count) == (2, 3)


def test_a_delta_that_begins_at_itself_or_later_is_damage(core: Core, log: RepoLog) -> None:
    log.append(bundle(ids()))
    log.append(bundle(ids()))
    record = decode_record(core.backend.get(key(1)), "record")
    for since in (1, 2, -1):
        replaced(core.backend, key(1), encode_record(replace(record, state=None, since=since, delta={})))
        with pytest.raises(Corrupt):
            repo_log(core, REPO).head()


def test_writers_that_race_write_deltas_that_everybody_reads(core: Core) -> None:
    """The loser of a race begins its delta again, at what won, whether that is a checkpoint or a delta."""
    first, second = repo_log(core, REPO), repo_log(core, REPO)
    depths = set()
    for n in range(120):
        raced: list[int] = []

        def decide(head: Head[RepoState], n: int = n, raced: list[int] = raced) -> tuple[RepoOp, ...]:
            if not raced:
                raced.append(second.append(lambda head: (*named(f"theirs-{n}"),)).n)
            return named(f"mine-{n}")

        depths.add(len(first.append(decide).bases))
        record = decode_record(core.backend.get(key(first.head().n)), "record")
        depths.add(-1 if record.state is not None else first.head().n - record.since)
        assert repo_log(core, REPO).head() == first.head() == second.head(), n
    assert len(first.head().state.labels) == 240
    assert {1, 2} <= depths


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_whoever_may_only_read_reads_a_long_log_too(long_backend: Backend) -> None:
    backend = ReadOnlyBackend(copy_of(long_backend))
    assert len(list(repo_log(open_core(backend), REPO).records())) == 2010


def test_a_long_log_is_not_kept_in_memory(core: Core) -> None:
    log = repo_log(core, REPO)
    log.append(lambda head: tuple(op for n in range(60) for op in named(f"label-{n}")))
    assert len(core.backend.get(key(0))) > 20_000
    for _ in range(300):
        log.append(label("label-1", next(iter(log.head().state.bundles))))
    reader = repo_log(core, REPO)
    tracemalloc.start()
    try:
        assert sum(1 for _ in reader.records()) == sum(1 for _ in reader.originals(300)) == 301
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def named(name: str) -> tuple[RepoOp, RepoOp]:
    """A bundle with a long message and a label on it."""
    return AddBundle(descriptor(id := ids(), "x" * 20)), SetLabel(name, id)


def test_records_are_not_read_twice(core: Core) -> None:
    writer = repo_log(core, REPO)
    for _ in range(20):
        writer.append(bundle(ids()))
    recorder = Recorder(core.backend)
    reader = repo_log(open_core(recorder, "reader"), REPO)
    list(reader.records())
    recorder.calls.clear()
    list(reader.records())
    assert len(recorder.calls) == 1, "the look for a newer one"


def test_many_labels_cost_a_commit_little(core: Core) -> None:
    """Bytes of a commit, of the whole log, and requests to open a repo, with 2,000 labels on bundles of their own."""
    writer = repo_log(core, REPO)
    writer.append(lambda head: tuple(op for n in range(2000) for op in named(f"label-{n}")))
    state = len(core.backend.get(key(0))) - len(core.backend.get(key(0))) // 3
    sizes, requests = [], 0
    for n in range(1, 301):
        writer.append(lambda head, n=n: named(f"new-{n}"))  # type: ignore[misc]
        sizes.append(len(core.backend.get(key(n))))
        if n % 60 == 0:
            recorder = Recorder(core.backend)
            reader = repo_log(open_core(recorder, f"reader {n}"), REPO)
            recorder.calls.clear()  # the configuration of the store
            assert reader.head() == writer.head()
            requests = max(requests, len(recorder.calls))
    assert state > 500_000
    assert max(sizes) < state / 4
    assert sum(sizes) / len(sizes) < 12_000
    assert requests <= 5, "the newest, the one after it, and three records"


def test_a_reopened_log_writes_no_more_than_one_that_stayed_open(core: Core) -> None:
    """Parents are a list in JSON: a delta must not count them as changed because they were read again."""
    parent, many = ids(), [ids() for _ in range(100)]
    bundles = tuple(AddBundle(descriptor(id, "x" * 20, (parent,))) for id in many)
    labels = tuple(SetLabel(f"label-{id}", id) for id in many)
    repo_log(core, REPO).append(lambda head: (*bundles, *labels))
    repo_log(core, REPO).append(lambda head: named("new"))
    assert len(core.backend.get(key(1))) < 3000
