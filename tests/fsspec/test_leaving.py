"""A program that ends while a library's threads still hold a file."""

from __future__ import annotations

import threading
from weakref import WeakSet

import pytest

from sheaf.fsspec import SheafFileSystem, leaving

AT = "sheaf://acme/faces@main/a.txt"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No files of other tests."""
    monkeypatch.setattr(leaving, "_HELD", WeakSet())


def test_who_leaves_waits_for_threads_that_hold_files(fs: SheafFileSystem) -> None:
    pytest.importorskip("pyarrow")
    fs.pipe(AT, b"abc")
    held = [fs.open(AT)]
    held[0].read()
    assert not leaving.let_go(0.01)

    another = threading.Timer(0.05, held.clear)
    another.start()
    assert leaving.let_go(30)
    another.join()


def test_nobody_waits_for_nothing(fs: SheafFileSystem) -> None:
    fs.pipe(AT, b"abc")
    assert fs.cat(AT) == b"abc"
    with fs.open(AT) as stream:
        assert stream.read() == b"abc"
    del stream
    assert leaving.let_go(0)
