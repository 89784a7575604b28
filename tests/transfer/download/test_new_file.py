"""A file that can't be written completely is removed, but never another one that has its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sheaf.transfer.download.files import new_file
from sheaf.transfer.download.files.new_file import write_file


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def failing(monkeypatch: pytest.MonkeyPatch, change: object = None) -> None:
    def fail(*_: object) -> None:
        if callable(change):
            change()
        raise OSError(28, "no space")

    monkeypatch.setattr(new_file, "_write_all", fail)


def test_a_file_that_fails_is_removed(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch)
    with pytest.raises(OSError, match="no space"):
        write_file(folder, "a", b"content", 0o644, 0, 0)
    assert not (tmp_path / "a").exists()


def test_a_file_of_another_process_stays(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose download was killed may still write while the next attempt replaces its file."""

    def replace() -> None:
        (tmp_path / "b").write_bytes(b"sound")
        (tmp_path / "b").rename(tmp_path / "a")

    failing(monkeypatch, replace)
    with pytest.raises(OSError, match="no space"):
        write_file(folder, "a", b"content", 0o644, 0, 0)
    assert (tmp_path / "a").read_bytes() == b"sound"


def test_the_error_is_that_of_the_write(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, (tmp_path / "a").unlink)
    with pytest.raises(OSError, match="no space"):
        write_file(folder, "a", b"content", 0o644, 0, 0)
