"""What killed writers leave in a folder store beside its keys, and what must never be taken from a writer that lives."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sheaf.errors import Refused, Unavailable
from sheaf.storage.folder import backend as folder_module
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.storage.port import Created, Unfinished
from sheaf.storage.wrappers.readonly import ReadOnlyBackend
from sheaf.storage.wrappers.wrapper import WrapperBackend

BODY = b"a secret" * 100


class Stops(Syscalls):
    """A writer that stands still before one of its calls, and says so."""

    def __init__(self, call: str, told: int) -> None:
        self._told = told
        setattr(self, call, self._stop)

    def _stop(self, *_: object) -> None:
        os.write(self._told, b"x")
        signal.pause()


@contextmanager
def writer(root: Path, call: str, write: Callable[[FolderBackend], object]) -> Iterator[Callable[[], None]]:
    """Another process that writes and stands still before a call. Hands out what kills it."""
    heard, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(heard)
            write(FolderBackend(root, syscalls=Stops(call, told)))
        finally:
            os._exit(1)
    os.close(told)
    is_gone = False

    def kill() -> None:
        nonlocal is_gone
        if not is_gone:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            is_gone = True

    try:
        assert os.read(heard, 1) == b"x"
        yield kill
    finally:
        os.close(heard)
        kill()


@pytest.mark.parametrize("call", ["write", "sync_file", "link", "unlink"])
def test_the_file_of_a_killed_writer_is_removed_and_not_before(tmp_path: Path, call: str) -> None:
    backend = FolderBackend(tmp_path)
    with writer(tmp_path, call, lambda other: other.create("packs/a", BODY)) as kill:
        [found] = backend.unfinished(remove=True)
        assert found.kept == "its writer may still be running"
        assert (tmp_path / found.name).exists()
        kill()
        size = (
            0 if call in {"write", "unlink"} else len(BODY)
        )  # an object is at its key already, or nothing was written
        assert backend.unfinished() == [Unfinished(found.name, size)]
        assert (tmp_path / found.name).exists()
        assert backend.unfinished(remove=True) == [Unfinished(found.name, size)]
    assert os.listdir(tmp_path / "tmp") == []
    assert backend.unfinished(remove=True) == []
    assert [stat.key for stat in backend.list()] == (["packs/a"] if call == "unlink" else [])


def test_the_file_of_a_killed_repair_is_removed(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.create("packs/a", b"damaged")
    with writer(tmp_path, "rename", lambda other: other.replace("packs/a", BODY)) as kill:
        kill()
    assert [found.size for found in backend.unfinished(remove=True)] == [len(BODY)]
    assert os.listdir(tmp_path / "tmp") == []


def test_a_thread_of_this_process_is_a_writer_that_lives(tmp_path: Path) -> None:
    class Looks(Syscalls):
        def sync_file(self, fd: int) -> None:
            seen.extend(FolderBackend(tmp_path).unfinished(remove=True))
            super().sync_file(fd)

    seen: list[Unfinished] = []
    assert FolderBackend(tmp_path, syscalls=Looks()).create("a", BODY) is Created.CREATED
    assert [found.kept for found in seen] == ["its writer may still be running"]
    assert os.listdir(tmp_path / "tmp") == []


def test_a_file_that_is_taken_before_its_writer_has_locked_it_costs_another_one(tmp_path: Path) -> None:
    class Late(Syscalls):
        def lock(self, fd: int, *, shared: bool = False) -> bool | None:
            if not taken:
                taken.extend(FolderBackend(tmp_path).unfinished(remove=True))
            return super().lock(fd, shared=shared)

    taken: list[Unfinished] = []
    backend = FolderBackend(tmp_path, syscalls=Late())
    assert backend.create("a", BODY) is Created.CREATED
    assert [found.kept for found in taken] == [""]
    assert backend.get("a") == BODY
    assert os.listdir(tmp_path / "tmp") == []


def test_a_file_system_that_grants_no_lock_is_written_to_nevertheless(tmp_path: Path) -> None:
    class Refusing(Syscalls):
        def lock(self, fd: int, *, shared: bool = False) -> bool | None:
            return False

    assert FolderBackend(tmp_path, syscalls=Refusing()).create("a", BODY) is Created.CREATED
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "virtiofs", ""])
def test_where_locks_may_not_reach_other_machines_a_leftover_must_be_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(folder_module, "filesystem_type", lambda _path: kind)
    left = [_left(tmp_path, name, age_s) for name, age_s in (("old", 5_000), ("young", 10))]
    assert [found.name for found in FolderBackend(tmp_path).unfinished()] == ["tmp/old", "tmp/young"]
    found = FolderBackend(tmp_path).unfinished(remove=True)
    assert [(one.name, bool(one.kept)) for one in found] == [("tmp/old", False), ("tmp/young", True)]
    assert [path.exists() for path in left] == [False, True]


def test_where_there_are_no_locks_a_leftover_must_be_old(tmp_path: Path) -> None:
    class Lockless(Syscalls):
        def lock(self, fd: int, *, shared: bool = False) -> bool | None:
            return None

    backend = FolderBackend(tmp_path, syscalls=Lockless())
    _left(tmp_path, "young", 10)
    assert backend.create("a", BODY) is Created.CREATED
    assert [found.name for found in backend.unfinished(remove=True) if found.kept] == ["tmp/young"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.fcntl", refused)
    assert FolderBackend(tmp_path).create("a", BODY) is Created.CREATED


def test_what_no_store_has_put_there_is_named_and_left(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path)
    backend.create("a", b"")
    (tmp_path / "tmp/folder").mkdir()
    (tmp_path / "tmp/link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "tmp/pipe")
    found = backend.unfinished(remove=True)
    assert [one.name for one in found if "not a file" in one.kept] == ["tmp/folder", "tmp/link", "tmp/pipe"]
    assert sorted(os.listdir(tmp_path / "tmp")) == ["folder", "link", "pipe"]


def test_a_store_that_is_only_read_keeps_them(tmp_path: Path) -> None:
    left = _left(tmp_path, "old", 0)
    backend = ReadOnlyBackend(WrapperBackend(FolderBackend(tmp_path)))
    assert [found.name for found in backend.unfinished()] == ["tmp/old"]
    with pytest.raises(Refused, match="read-only"):
        backend.unfinished(remove=True)
    assert left.exists()


def test_a_writer_that_is_robbed_nevertheless_creates_nothing(tmp_path: Path) -> None:
    class Robbed(Syscalls):
        def write(self, fd: int, parts: Sequence[memoryview]) -> None:
            super().write(fd, parts)
            for path in (tmp_path / "tmp").iterdir():
                path.unlink()

    with pytest.raises(Unavailable, match="write a"):
        FolderBackend(tmp_path, syscalls=Robbed()).create("a", BODY)
    assert list(FolderBackend(tmp_path).list()) == []


def _left(root: Path, name: str, age_s: float) -> Path:
    path = root / "tmp" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half")
    found = path.stat()
    os.utime(path, (found.st_atime - age_s, found.st_mtime - age_s))
    return path
