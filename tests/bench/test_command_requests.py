"""What commands ask of a bucket, counted from the command line: all requests, and the longest chain of them.

Requests that are made together overlap only where threads are awake in time, so a busy machine may show a longer chain:
the shortest of three counts is what a command needs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bench.counting import far_away, remote_place
from tests.cli.conftest import Cli

from sheaf.cli.verbs import SHEAF, sheaf

URL = "memory://bucket"
FILES = 5_000
ROUNDS = 3


class Bucket:
    """A command line whose store is counted, and far away while it is counted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._home = folder / "home"
        self._home.mkdir()
        self._cli = Cli(self._home, sheaf, SHEAF, {"SHEAF_STORE": URL})
        self._patch = monkeypatch
        self.empty()

    def empty(self) -> None:
        """Replace the store by an empty location."""
        self.backend = backend = remote_place()
        self._patch.setattr(backend, "close", lambda: None)  # each command closes what it has opened
        self._patch.setattr("sheaf.repo.connect.open_backend", lambda *_: backend)

    def run(self, *args: object) -> tuple[int, int]:
        """Run a command with a cold cache; return its requests and the longest chain of them."""
        shutil.rmtree(self._home / ".cache", ignore_errors=True)
        with far_away(self.backend):
            self._cli(*args)
        tally = self.backend.tally()
        return tally.requests, tally.round_trips


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return Bucket(tmp_path, monkeypatch)


def folder_of(path: Path, files: int) -> Path:
    for number in range(files):
        file = path / f"{number // 100:03}" / f"{number:05}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"%d " % number * 20)
    return path


def assert_fewest(found: list[tuple[int, int]], requests: int, chain: int) -> None:
    assert max(total for total, _ in found) <= requests, found
    assert min(longest for _, longest in found) <= chain, found


def test_creating_a_store(bucket: Bucket) -> None:
    found = []
    for _ in range(ROUNDS):
        bucket.empty()
        found.append(bucket.run("store", "init", URL))
    assert_fewest(found, 40, 20)


def test_uploading_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", FILES)
    found = []
    for _ in range(ROUNDS):
        bucket.empty()
        bucket.run("store", "init", URL)
        bucket.run("repo", "create", "--repo", "r")
        found.append(bucket.run("bundle", "upload", "--repo", "r", "--path", data, "-m", "m"))
    assert_fewest(found, 24, 14)


def test_committing_and_reading_one_file(bucket: Bucket, tmp_path: Path) -> None:
    data = folder_of(tmp_path / "data", FILES)
    bucket.run("store", "init", URL)
    bucket.run("repo", "create", "--repo", "r")
    bucket.run("bundle", "upload", "--repo", "r", "--path", data, "-m", "m")
    read = [bucket.run("cat", "r@main:010/01001") for _ in range(ROUNDS)]
    assert_fewest(read, 11, 7)
    found = []
    for number in range(ROUNDS):
        (file := tmp_path / str(number)).write_text(f"one {number}")
        found.append(bucket.run("cp", file, f"r:{number}", "-m", "m"))
    assert_fewest(found[:1], 28, 18)
