"""A download notes the hashes of what it writes, so that comparisons read no file; but only of files that it can trust."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import sheaf
from sheaf.engine.clock import SystemClock
from sheaf.engine.core import create_store
from sheaf.engine.core_limits import DEFAULT
from sheaf.storage.memory import MemoryBackend
from sheaf.transfer.download.install import Installation

FILES = {"d/a": b"a" * 99, "d/e/b": b"", "d/e/c": random.Random(1).randbytes(300_000), "d/big": bytes(5 << 20)}


class Ahead(SystemClock):
    """A clock that is some seconds ahead, so that files that were just written are old."""

    seconds = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.seconds * 10**9


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path, clock: Ahead) -> Iterator[sheaf.Bundle]:
    limits = replace(DEFAULT, worker_files=1) if request.param else DEFAULT
    backend = MemoryBackend()
    create_store(backend, clock)
    for path, content in FILES.items():
        (file := tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with sheaf.Store(backend, cache=tmp_path / "cache", clock=clock, limits=limits) as store:
        repo = store.create_repo("r")
        repo.upload(tmp_path / "in", message="m", label="v")
        yield repo.bundle("v")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that comparisons read."""
    from sheaf.transfer.local import hashes

    names: list[str] = []
    unhurt = hashes._hash

    def hashing(path: str, *scanned: Any) -> Any:
        names.append(os.path.basename(path))
        return unhurt(path, *scanned)

    monkeypatch.setattr(hashes, "_hash", hashing)
    return names


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_what_was_written_is_not_read_again(bundle: sheaf.Bundle, dest: Path, clock: Ahead, read: list[str]) -> None:
    clock.seconds = 10
    bundle.download(dest)
    assert bundle.diff_folder(dest) == []
    assert read == []


def test_the_folder_is_not_scanned(
    bundle: sheaf.Bundle, dest: Path, clock: Ahead, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.seconds = 10
    with monkeypatch.context() as patch:
        patch.setattr("sheaf.transfer.local.compare.scan", lambda *_, **__: pytest.fail("scanned"))
        bundle.download(dest)
    assert bundle.diff_folder(dest) == []
    assert read == []


def test_files_that_are_moved_one_by_one_are_noted(
    bundle: sheaf.Bundle, dest: Path, clock: Ahead, read: list[str]
) -> None:
    """Their states change by that, so that what was noted as they were written says nothing about them."""
    clock.seconds = 10
    (dest / "d" / "e").mkdir(parents=True)
    bundle.download(dest, force=True)
    assert bundle.diff_folder(dest) == []
    assert read == []


def test_young_files_are_read(bundle: sheaf.Bundle, dest: Path, read: list[str]) -> None:
    bundle.download(dest)
    assert bundle.diff_folder(dest) == []
    assert sorted(read) == ["a", "b", "big", "c"]


def test_a_file_of_an_earlier_attempt_is_noted(
    bundle: sheaf.Bundle, dest: Path, clock: Ahead, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    clock.seconds = 10
    with monkeypatch.context() as patch:
        patch.setattr("sheaf.transfer.download.download.PartialFolder.start_installing", stop)
        with pytest.raises(KeyboardInterrupt):
            bundle.download(dest)
    assert bundle.download(dest).resumed == len(FILES)
    assert bundle.diff_folder(dest) == []
    assert read == []


@pytest.mark.parametrize("path", ["d/a", "d/e/c", "d/big"])
def test_a_file_that_changes_before_the_download_ends_is_found(
    bundle: sheaf.Bundle, dest: Path, clock: Ahead, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Its size and time of modification are as before: only the change of its state shows it."""
    unhurt = Installation.run

    def running(installation: Installation) -> None:
        unhurt(installation)
        file = dest / path
        status = file.stat()
        with file.open("r+b") as stream:
            stream.write(b"X")
        while file.stat().st_ctime_ns == status.st_ctime_ns:
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    monkeypatch.setattr(Installation, "run", running)
    clock.seconds = 10
    bundle.download(dest)
    assert [(change.kind, change.path) for change in bundle.diff_folder(dest)] == [("modified", path)]
