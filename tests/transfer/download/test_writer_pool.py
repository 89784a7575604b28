"""Processes that write files: the same folders with and without them, whatever becomes of them."""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
import random
import select
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from msgspec.structs import replace
from tests.transfer.bundles import MTIME, File, Folder, Item, Link, Shelf, look

from sheaf.engine.core_limits import DEFAULT
from sheaf.errors import Corrupt, NoSpace, SheafError
from sheaf.fork import Threads
from sheaf.model.paths import ancestors
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.count import Call, CountBackend
from sheaf.transfer.download.download import Downloaded, download
from sheaf.transfer.download.files import new_file
from sheaf.transfer.download.files.writer_pool import WriterProcess
from sheaf.transfer.download.files.writer_process import WriteRequest
from sheaf.transfer.progress import Meter
from sheaf.transfer.worker_process import LostWorker


def items() -> dict[str, Item]:
    """Files of all kinds: empty ones, text, noise, zeros, several chunks, odd modes, and symlinks."""
    dice = random.Random(7)
    made: dict[str, Item] = {f"d{i % 7}/{i}": File((b"%d words " % i) * dice.randrange(400)) for i in range(300)}
    made |= {f"noise/{i}": File(dice.randbytes(1_000 * i), mtime=MTIME + i) for i in range(90)}
    made |= {"empty": File(b""), "secret": File(b"x", 0o400), "open": File(b"x" * 20_000, 0o666)}
    made |= {"zeros": File(bytes(300_000)), "d1/link": Link("0"), "n\u0303": File(b"nfd")}
    return made


def expected() -> dict[str, Item]:
    folders: dict[str, Item] = {folder: Folder() for path in items() for folder in ancestors(path)}
    return folders | items()


def shelf_with(**limits: int) -> Shelf:
    return Shelf(CountBackend(MemoryBackend()), replace(DEFAULT, **limits))


@pytest.fixture
def shelf() -> Shelf:
    return shelf_with(worker_files=1)


@pytest.fixture
def dest(removable: Path) -> Path:
    return removable / "out"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WriterProcess]:
    """The processes that downloads start."""
    all_: list[WriterProcess] = []
    start = WriterProcess.start

    def starting(*given: object) -> WriterProcess:
        all_.append(start(*given))  # type: ignore[arg-type]
        return all_[-1]

    monkeypatch.setattr(WriterProcess, "start", starting)
    return all_


@pytest.fixture
def written_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are written by this process."""
    names: list[str] = []

    def write(folder: int, name: str, *given: object) -> os.stat_result:
        names.append(name)
        return unhurt(folder, name, *given)

    unhurt: Callable[..., os.stat_result] = new_file.write_file
    monkeypatch.setattr("sheaf.transfer.download.files.file_group.write_file", write)
    return names


def assert_gone(started: list[WriterProcess]) -> None:
    assert started
    assert all(writer.process.returncode is not None for writer in started)


def fetched(shelf: Shelf, dest: Path) -> Downloaded:
    return download(shelf.bundle(items()), shelf.contents, dest)


def files() -> list[File]:
    return [item for item in items().values() if isinstance(item, File)]


def test_a_bundle_is_written_as_without_them(
    shelf: Shelf, dest: Path, started: list[WriterProcess], written_here: list[str]
) -> None:
    meter = Meter()
    done = download(shelf.bundle(items()), shelf.contents, dest, meter=meter)
    assert not written_here
    assert_gone(started)
    assert look(dest) == expected()
    assert (done.files, done.bytes) == (len(items()), sum(len(file.content) for file in files()))
    assert (meter.state.files, meter.state.bytes) == (done.files, done.bytes)


def test_zeros_need_no_space_on_the_disk(shelf: Shelf, dest: Path, started: list[WriterProcess]) -> None:
    fetched(shelf, dest)
    assert (dest / "zeros").stat().st_blocks * 512 < 100_000


@pytest.mark.parametrize("limit", ["worker_files", "worker_bytes"])
def test_many_files_or_many_bytes_start_them(dest: Path, started: list[WriterProcess], limit: str) -> None:
    fetched(shelf_with(**{limit: 100}), dest)
    assert started
    started.clear()
    fetched(shelf_with(), dest.with_name("few"))
    assert not started


def test_a_mode_that_the_umask_forbids(shelf: Shelf, dest: Path, started: list[WriterProcess]) -> None:
    before = os.umask(0o077)
    try:
        fetched(shelf, dest)
    finally:
        os.umask(before)
    assert look(dest) == expected()


# -- what becomes of them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_files_are_written_here_once_a_process_is_gone(
    shelf: Shelf, dest: Path, started: list[WriterProcess], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A process that ends may have written some files, or all of them, without saying so."""
    unhurt = WriterProcess.write

    def killing(writer: WriterProcess, *given: object) -> object:
        if when == "after":
            unhurt(writer, *given)  # type: ignore[arg-type]
        writer.process.kill()
        writer.process.wait()
        if when == "after":
            raise LostWorker
        return unhurt(writer, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(WriterProcess, "write", killing)
    done = fetched(shelf, dest)
    assert look(dest) == expected()
    assert (done.files, done.resumed) == (len(items()), 0)
    assert_gone(started)


@pytest.mark.parametrize("executable", ["/opt/program/app", "", None])
def test_a_program_that_has_python_in_it_is_not_started(
    shelf: Shelf,
    dest: Path,
    started: list[WriterProcess],
    written_here: list[str],
    monkeypatch: pytest.MonkeyPatch,
    executable: str | None,
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    fetched(shelf, dest)
    assert not started
    assert len(written_here) == len(files())
    assert look(dest) == expected()


def test_no_room_for_a_process(
    shelf: Shelf, dest: Path, written_here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> WriterProcess:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(WriterProcess, "start", refuse)
    fetched(shelf, dest)
    assert len(written_here) == len(files())
    assert look(dest) == expected()


def test_a_group_that_has_no_room_in_the_memory_is_written_here(dest: Path, written_here: list[str]) -> None:
    fetched(shelf_with(worker_files=1, worker_room=10_000), dest)
    assert len(written_here) == len(files())
    assert look(dest) == expected()


def test_the_folder_stays_locked_until_a_process_has_ended(tmp_path: Path) -> None:
    """If the download is killed, the next one must not write while a process of the first one still does."""
    (tmp_path / "lock").touch()
    root, held = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    writer = WriterProcess.start(sys.executable, root, held, 0, 1 << 20)
    os.close(held)
    other = os.open(tmp_path / "lock", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        writer.connection.close()
        assert writer.process.wait(30) == 0, "it ends with the process that started it"
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        writer.stop()
        for fd in (other, root):
            os.close(fd)


def test_it_ends_with_its_parent_though_the_socket_is_open(tmp_path: Path) -> None:
    """A process that the killed one had forked holds the socket, too."""
    code = f"""
import os, sys
from sheaf.transfer.download.files.writer_pool import WriterProcess
root = os.open({str(tmp_path)!r}, os.O_RDONLY)
writer = WriterProcess.start(sys.executable, root, root, 0, 1 << 20)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(writer.process.pid, flush=True)
os._exit(0)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdin
        pid = int(parent.stdout.readline())
        orphan = os.pidfd_open(pid)
        ended, _, _ = select.select([orphan], [], [], 60)
        os.close(orphan)
        parent.stdin.close()
    assert ended


def test_a_reply_that_is_no_reply_ends_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ours, theirs = Pipe()
    writer = WriterProcess(process, ours, mmap.mmap(-1, 4096))
    theirs.send_bytes(b"\xc1")
    with process, pytest.raises(LostWorker):
        writer.write(request(), [])
    assert process.returncode is not None
    writer.close()
    theirs.close()


def test_no_descriptor_is_left(shelf: Shelf, dest: Path, started: list[WriterProcess]) -> None:
    """Not even until the next run of the garbage collector, which a program may have turned off."""
    tree = shelf.bundle(items())
    gc.disable()
    try:
        left = []
        for i in range(3):
            download(tree, shelf.contents, dest.with_name(f"out{i}"))
            started.clear()
            left.append(sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors()))
    finally:
        gc.enable()
    assert len(left[0]) == len(left[1]) == len(left[2]), left


def descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]


def request(*names: str) -> WriteRequest:
    """A request for files without chunks, whose contents are empty."""
    n = len(names)
    return WriteRequest([""] * n, list(names), [0o644] * n, [0] * n, [0] * n, [EMPTY] * n, [0] * n, [], [], [])


EMPTY = blake3(b"").digest()


def test_a_name_that_the_system_can_not_have_fails_alone(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    writer = WriterProcess.start(sys.executable, root, root, 0, 1 << 20)
    try:
        assert writer.write(request("a", "b\0", "c"), []).failed == [1]
    finally:
        writer.stop()
        writer.close()
        os.close(root)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "c"]


# -- what they can't write ---------------------------------------------------------------------------------------------


def damage(shelf: Shelf, every: int) -> None:
    objects = shelf.backend.inner._shelf.objects  # type: ignore[attr-defined]
    for key in [key for key in objects if key.startswith("packs/")]:
        data = bytearray(objects[key])
        for at in range(every, len(data) - 100_000, every):
            data[at] ^= 1
        objects[key] = bytes(data)


def test_damaged_files_are_named_and_the_others_written(
    shelf: Shelf, dest: Path, started: list[WriterProcess], written_here: list[str]
) -> None:
    tree = shelf.bundle(items())
    damage(shelf, 700_000)
    with pytest.raises(Corrupt, match="can't be read"):
        download(tree, shelf.contents, dest)
    assert not dest.exists()
    written_here.clear()
    done = download(tree, shelf.contents, dest, skip_on_error=True)
    bad = {each.path for each in done.damaged}
    assert 1 <= len(bad) < 10
    assert look(dest) == {path: item for path, item in expected().items() if path not in bad}
    assert_gone(started)


def test_a_full_disk_is_named_and_the_next_try_resumes(shelf: Shelf, tiny: Path, started: list[WriterProcess]) -> None:
    tree = shelf.bundle(items())
    with pytest.raises(NoSpace, match="can't write"):
        download(tree, shelf.contents, tiny / "out")
    assert_gone(started)
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny)], check=True)
    assert download(tree, shelf.contents, tiny / "out").resumed > 0
    assert look(tiny / "out") == expected()


def test_a_failed_download_ends_them(shelf: Shelf, dest: Path, started: list[WriterProcess]) -> None:
    class Failing(Meter):
        def add(self, *, files: int = 0, size: int = 0, new: int = 0) -> None:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SheafError)):
        download(shelf.bundle(items()), shelf.contents, dest, meter=Failing())
    assert_gone(started)


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [15 << 10, 17 << 10])
def test_requests_and_tasks_go_with_bytes_not_with_files(
    dest: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The two sizes stand on both sides of the smallest chunk, where each file once cost a recipe and a task."""
    tasks: list[object] = []
    submit = Threads.submit

    def counted(pool: Threads, *given: Any) -> Future[Any]:
        tasks.append(given)
        return submit(pool, *given)

    monkeypatch.setattr(Threads, "submit", counted)
    shelf = shelf_with()
    count = (12 << 20) // size
    tree = shelf.bundle({f"{i // 200}/{i:04}": random.Random(i).randbytes(size) for i in range(count)})
    tree = type(tree)(shelf.nodes, tree.root)
    backend = shelf.backend
    assert isinstance(backend, CountBackend)
    backend.reset()
    tasks.clear()
    assert download(tree, shelf.contents, dest).files == count
    assert backend.requests[Call("get_ranges", "packs")] <= 6
    assert len(tasks) <= 12
