"""Processes that were forked from one that uses a store: by hand, by multiprocessing, by loaders and by servers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.moto import make_bucket, moto_s3

import fsspec
import sheaf
from sheaf.errors import Refused
from sheaf.repo.bundle import Bundle
from sheaf.repo.store import Store

#: Seconds after which a child is taken to hang; a busy machine is slow, and a child that works ends long before.
HANGS = 120


def wait_for(pid: int) -> int:
    """The status of a child; one that hangs is killed."""
    killer = threading.Timer(HANGS, os.kill, (pid, signal.SIGKILL))
    killer.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        killer.cancel()


def in_child(work: Callable[[], object]) -> None:
    """Do something in a forked process, which has to end without an error."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            print("in the child:", repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    assert wait_for(pid) == 0


def test_a_child_reads_and_edits(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "s"), probe=False) as store:
        repo = store.create_repo("r")
        with repo.edit(message="m") as edit:
            edit.put("a", b"1")
            bundle = edit.commit()

        def work() -> None:
            assert bundle.read("a") == b"1"
            with repo.edit(message="child") as edit:
                edit.put("b", b"2")
                edit.commit()

        in_child(work)
        assert repo.bundle("main").read("b") == b"2"


def test_a_child_leaves_its_parents_session_alone(tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "s"), probe=False) as store, store.create_repo("r").edit(message="m") as edit:
        edit.put("a", b"1")

        def work() -> None:
            with pytest.raises(Refused, match="forked"):
                edit.put("b", b"2")
            with pytest.raises(Refused, match="forked"):
                edit.commit()
            edit.__exit__(None, None, None)

        in_child(work)
        assert list((tmp_path / "s" / "sessions").iterdir())
        assert edit.commit().read("a") == b"1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with sheaf.init(str(tmp_path / "s"), probe=False) as store:
        yield store


@pytest.fixture
def bundle(store: Store, tmp_path: Path) -> Bundle:
    """100 small files and one of many chunks."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:03}").write_bytes(b"%d" % number * 50)
    (folder / "big").write_bytes(os.urandom(1 << 20))
    return store.create_repo("r").upload(folder, message="m").bundle


def test_children_of_a_process_whose_threads_read_work(bundle: Bundle) -> None:
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            bundle.read("big")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            in_child(lambda: bundle.read("007"))
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _total(bundle: Bundle, queue: Any, shard: tuple[int, int]) -> None:
    queue.put(sum(len(sample.data) for batch in bundle.batches("*", 8, shard=shard) for sample in batch))


def test_workers_of_a_loader_share_a_bundle_out(bundle: Bundle) -> None:
    """As PyTorch's DataLoader does it with fork: each worker uses the object that its parent has made."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_total, args=(bundle, queue, (number, 3))) for number in range(3)]
    for worker in workers:
        worker.start()
    totals = [queue.get(timeout=HANGS) for _ in workers]
    for worker in workers:
        worker.join(HANGS)
        assert worker.exitcode == 0
    assert sum(totals) == bundle.size


def test_a_server_that_forks_after_it_has_connected_serves_and_uploads(
    store: Store, bundle: Bundle, tmp_path: Path
) -> None:
    def serve(number: int) -> None:
        assert bundle.read(f"{number:03}") == b"%d" % number * 50
        folder = tmp_path / f"from-{number}"
        folder.mkdir()
        (folder / "answer").write_text(str(number))
        store.repo("r").upload(folder, message="m", branch=f"b{number}")

    pids = []
    for number in range(3):
        pid = os.fork()
        if not pid:
            try:
                serve(number)
            except BaseException:
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    assert [wait_for(pid) for pid in pids] == [0, 0, 0]
    heads = {branch.name: branch.bundle for branch in store.repo("r").branches()}
    assert len({heads[f"b{number}"] for number in range(3)}) == 3  # nor do they roll the same dice
    assert store.check(read_data=1.0).problems == []


def test_a_file_that_was_open_before_the_fork_is_read_on_by_both(bundle: Bundle) -> None:
    file = bundle.open("big")
    first = file.read(1000)
    rest = bundle.read("big")[1000:]

    def work() -> None:
        assert file.read() == rest

    in_child(work)
    assert first + file.read() == bundle.read("big")


def test_what_is_being_written_through_fsspec_is_committed_by_the_parent_only(tmp_path: Path) -> None:
    fs = fsspec.filesystem("sheaf", store=str(tmp_path / "s"), skip_instance_cache=True)
    with sheaf.init(str(tmp_path / "s"), probe=False) as store:
        store.create_repo("r")
        with fs.open("r@main/a", "wb") as file:
            file.write(b"1" * (2 << 20))  # more than stays in memory

            def work() -> None:
                with pytest.raises(Refused, match="forked"):
                    file.write(b"2")
                file.close()

            in_child(work)
            assert store.repo("r").bundles() == []
        assert fs.cat_file("r@main/a") == b"1" * (2 << 20)
        with fs.transaction:
            with fs.open("r@main/b", "wb") as file:
                file.write(b"1" * (2 << 20))
            in_child(lambda: fs.transaction.complete(commit=False))
        assert fs.cat_file("r@main/b") == b"1" * (2 << 20)
        assert len(list(store.repo("r").bundles())) == 2


def test_a_child_of_a_process_that_has_asked_a_bucket_is_refused_rather_than_left_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with moto_s3() as endpoint:
        make_bucket(endpoint, "forked")
        options = sheaf.StorageOptions(endpoint=endpoint, region="us-east-1")
        store = sheaf.init("s3://forked/s", options=options, probe=False)

        def work() -> None:
            with pytest.raises(Refused, match="forked") as caught:
                store.repos()
            assert "forkserver" in caught.value.hint

        in_child(work)
        assert store.repos() == []
        store.close()


def test_a_child_makes_ids_of_its_own(store: Store) -> None:
    reader, writer = os.pipe()
    clock = store._core.clock
    clock.new_id()
    in_child(lambda: os.write(writer, clock.new_id().encode()))
    assert os.read(reader, 27).decode() != clock.new_id()
    os.close(reader)
    os.close(writer)
