"""Processes that read files: the same bundles with and without them, whatever becomes of them."""

from __future__ import annotations

import gc
import mmap
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest
from blake3 import blake3
from tests.engine.builders import TINY, store_with

from sheaf.engine.chunks.files_in_memory import FilesInMemory
from sheaf.engine.core_limits import Limits
from sheaf.errors import NotFound, Refused
from sheaf.format.frame_v1 import unframe
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.testing.invariants import assert_sound
from sheaf.transfer.local import read as reading
from sheaf.transfer.read_files import worker_pool
from sheaf.transfer.read_files.worker import ROOM
from sheaf.transfer.read_files.worker_pool import ReaderProcess, ScannedFiles
from sheaf.transfer.worker_process import LostWorker


def contents() -> dict[str, bytes]:
    """Files of all kinds: empty ones, equal ones, text, noise, some of several chunks, one that is read as a stream."""
    dice = random.Random(7)
    files = {f"d{i % 7}/{i}": (b"%d words " % i) * dice.randrange(400) for i in range(600)}
    files |= {f"noise/{i}": dice.randbytes(3_000) for i in range(300)} | {"empty": b"", "same": b"s" * 99}
    return (
        files
        | {"d1/same": b"s" * 99, "large": dice.randbytes(1_200_000)}
        | {f"cut/{i}": dice.randbytes(17_000 * i) + b"text " * 9_000 * i for i in range(1, 6)}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in contents().items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "in"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with store_with(tmp_path / "store", Limits(worker_files=1)) as store:
        yield store
        assert_sound(store)


@pytest.fixture
def repo(store: Store) -> Repo:
    return store.create_repo("r")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ReaderProcess]:
    """The processes that uploads start."""
    all_: list[ReaderProcess] = []
    start = ReaderProcess.start

    def starting(python: str) -> ReaderProcess:
        all_.append(start(python))
        return all_[-1]

    monkeypatch.setattr(ReaderProcess, "start", starting)
    return all_


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read in one piece by this process."""
    paths: list[str] = []

    def read(path: str, *scanned: int) -> object:
        paths.append(path)
        return reading.read_whole(path, *scanned)

    monkeypatch.setattr("sheaf.transfer.upload.read_whole", read)
    return paths


def assert_holds(repo: Repo, files: dict[str, bytes]) -> None:
    bundle = repo.bundle()
    found = {entry.path: entry for entry in bundle.ls(recursive=True) if entry.content}
    assert {path: entry.content for path, entry in found.items()} == {
        p: blake3(d).hexdigest() for p, d in files.items()
    }
    assert {path: bundle.read(path) for path in files} == files


def assert_gone(started: list[ReaderProcess]) -> None:
    assert started
    assert all(reader.process.returncode is not None for reader in started)


def test_a_folder_is_stored_as_without_them(
    repo: Repo, folder: Path, started: list[ReaderProcess], read_here: list[str]
) -> None:
    repo.upload(folder, message="m")
    assert not read_here
    assert_gone(started)
    assert_holds(repo, contents())


def test_what_the_store_has_is_not_stored_again(repo: Repo, folder: Path, started: list[ReaderProcess]) -> None:
    first = repo.upload(folder, message="m")
    again = repo.upload(folder, message="m", rehash=True)
    assert len(started) > 2
    assert again.new_bytes < first.new_bytes / 100


@pytest.mark.parametrize("when", ["at once", "after hashes"])
def test_files_are_read_here_once_a_process_is_gone(
    repo: Repo,
    folder: Path,
    started: list[ReaderProcess],
    read_here: list[str],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    call = {"at once": "read", "after hashes": "frames"}[when]
    unhurt = getattr(ReaderProcess, call)

    def killing(reader: ReaderProcess, *args: object) -> object:
        reader.process.kill()
        reader.process.wait()
        return unhurt(reader, *args)

    monkeypatch.setattr(ReaderProcess, call, killing)
    repo.upload(folder, message="m")
    assert len(read_here) == len(contents()) - 1  # all but the large one
    assert_holds(repo, contents())


@pytest.mark.parametrize("executable", ["/opt/program/app", "", None])
def test_a_program_that_has_python_in_it_is_not_started(
    repo: Repo,
    folder: Path,
    started: list[ReaderProcess],
    read_here: list[str],
    monkeypatch: pytest.MonkeyPatch,
    executable: str | None,
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    repo.upload(folder, message="m")
    assert not started
    assert read_here
    assert_holds(repo, contents())


def test_no_room_for_a_process(
    repo: Repo, folder: Path, started: list[ReaderProcess], read_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> ReaderProcess:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(ReaderProcess, "start", refuse)
    repo.upload(folder, message="m")
    assert read_here
    assert_holds(repo, contents())


def test_a_python_without_sheaf(
    repo: Repo, folder: Path, started: list[ReaderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(ReaderProcess, "start", classmethod(_elsewhere(ReaderProcess.start)))
    repo.upload(folder, message="m")
    assert_holds(repo, contents())


def _elsewhere(start: Callable[[str], ReaderProcess]) -> Callable[[type[ReaderProcess], str], ReaderProcess]:
    def starting(_: type[ReaderProcess], python: str) -> ReaderProcess:
        here = Path.cwd()
        os.chdir("/")
        try:
            return start(os.path.realpath(python))
        finally:
            os.chdir(here)

    return starting


def test_what_can_not_be_read_is_named(
    repo: Repo, folder: Path, started: list[ReaderProcess], read_here: list[str]
) -> None:
    (folder / "d3" / "gone").write_text("soon")

    class Vanishing(worker_pool.Readers):
        """Removes a file after the scan."""

        def expect(self, files: int) -> None:
            (folder / "d3" / "gone").unlink(missing_ok=True)
            worker_pool.Readers.expect(self, files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sheaf.transfer.upload.Readers", Vanishing)
        with pytest.raises(NotFound, match="d3/gone was deleted before"):
            repo.upload(folder, message="m")
        assert_gone(started)
        (folder / "d3" / "gone").write_text("soon")
        done = repo.upload(folder, message="m", skip_on_error=True)
    assert [skipped.path for skipped in done.skipped] == ["d3/gone"]
    assert str(folder / "d3" / "gone") in read_here  # again, to name it: which others are depends on who was idle
    assert_holds(repo, contents())


def test_what_was_erased_is_refused_by_name(
    store: Store, repo: Repo, folder: Path, started: list[ReaderProcess]
) -> None:
    repo.upload(folder, message="m")
    store.erasure.erase(content=str(repo.bundle().entry("noise/7").content), reason="asked to", now=True)
    with pytest.raises(Refused, match="noise/7' was erased"):
        repo.upload(folder, message="m", rehash=True)
    assert_gone(started)


@pytest.fixture
def reader() -> Iterator[ReaderProcess]:
    one = ReaderProcess.start(sys.executable)
    yield one
    one.stop()


def files_of(*paths: Path, size: int | None = None) -> ScannedFiles:
    states = [path.stat() for path in paths]
    sizes = [state.st_size if size is None else size for state in states]
    return ScannedFiles(
        list(map(str, paths)), sizes, [state.st_mtime_ns for state in states], [state.st_ctime_ns for state in states]
    )


def test_a_name_that_the_system_can_not_have_fails_alone(reader: ReaderProcess, folder: Path) -> None:
    bad = ScannedFiles(["b\0"], [1], [0], [0])
    assert reader.read(bad, TINY) is None
    assert reader.read(files_of(folder / "same"), TINY) is not None


def test_a_reply_that_is_no_reply_ends_it(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ours, theirs = Pipe()
    reader = ReaderProcess(process, ours, mmap.mmap(-1, 4096))
    theirs.send_bytes(b"\xc1")
    with process, pytest.raises(LostWorker):
        reader.read(files_of(folder / "same"), TINY)
    assert process.returncode is not None
    reader.close()
    theirs.close()


def test_no_descriptor_is_left(repo: Repo, folder: Path, started: list[ReaderProcess]) -> None:
    """Not even until the next run of the garbage collector, which a program may have turned off."""
    gc.disable()
    try:
        left = []
        for _ in range(3):
            repo.upload(folder, message="m", rehash=True)
            assert started
            started.clear()
            left.append(len(os.listdir("/proc/self/fd")))
    finally:
        gc.enable()
    assert left[0] == left[1] == left[2]


def test_a_process_says_chunks_and_frames(reader: ReaderProcess, folder: Path) -> None:
    names = ["d1/1", "empty", "noise/1", "cut/3", "same"]
    read = reader.read(files_of(*(folder / name for name in names)), TINY)
    assert read is not None
    files = FilesInMemory([contents()[name] for name in names], TINY)
    assert (read.hashes, read.counts) == (files.hashes, files.counts)
    assert (read.chunk_hashes, read.chunk_sizes) == (files.chunk_hashes, files.chunk_sizes)
    assert len(read.chunk_hashes) > 50
    for wanted in ([], [1], list(range(0, len(read.chunk_hashes), 3)), list(range(len(read.chunk_hashes)))):
        frames = [(codec, bytes(frame)) for codec, frame in read.frames(wanted)]
        assert frames == [(codec, bytes(frame)) for codec, frame in files.frames(wanted)]
        assert [blake3(unframe(codec + frame, "")).digest() for codec, frame in frames] == [
            read.chunk_hashes[i] for i in wanted
        ]


def test_a_process_takes_nothing_that_has_changed(reader: ReaderProcess, folder: Path) -> None:
    files = files_of(folder / "same", folder / "d1/1")
    (folder / "same").write_bytes(b"t" * 99)
    os.utime(folder / "same", ns=(1, 1))
    assert reader.read(files, TINY) is None
    assert reader.read(files_of(folder / "same"), TINY) is not None


def test_a_process_takes_nothing_that_has_no_room(reader: ReaderProcess, folder: Path) -> None:
    assert reader.read(files_of(folder / "same", size=ROOM + 1), TINY) is None


def test_a_group_has_room() -> None:
    """A group ends with the file that reaches a limit; even if nothing in it compresses its frames have room."""
    limits = Limits()
    assert limits.group_bytes + limits.whole_bytes <= ROOM


def test_groups_of_larger_files_are_read_here(
    store: Store, repo: Repo, folder: Path, started: list[ReaderProcess], read_here: list[str]
) -> None:
    """Threads read them at less cost; a larger file among many small ones goes with them."""
    limit = Limits().worker_file_bytes
    larger = {f"larger/{i}": random.Random(i).randbytes(limit + 1) for i in range(3)}
    for name, data in larger.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "large").unlink()
    repo.upload(folder, message="m", files=sorted(larger))
    assert not started
    assert len(read_here) == len(larger)
    repo.upload(folder, message="m", rehash=True)
    assert started
    assert len(read_here) == len(larger)


def test_a_process_ends_with_who_asks(reader: ReaderProcess) -> None:
    reader.connection.close()
    assert reader.process.wait(10) == 0


def test_a_process_that_is_gone_is_lost(reader: ReaderProcess, folder: Path) -> None:
    reader.process.kill()
    reader.process.wait()
    with pytest.raises(LostWorker):
        reader.read(files_of(folder / "same"), TINY)
