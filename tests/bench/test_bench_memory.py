"""Memory stays bounded whatever the number of files and their size: the peak of a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from bench.generate.big import half_compressible
from bench.measure import Command, run

MiB = 1 << 20
ENTRY = "from sheaf.cli.main import main; main()"


def plain_files(root: Path, count: int) -> None:
    """Files of 40 bytes: memory goes with their number."""
    for i in range(count):
        if i % 500 == 0:
            (folder := root / f"Part-{i // 500:05}").mkdir(parents=True)
        (folder / f"Item-{i:07}").write_bytes(b"%40d" % i)


class Person:
    """Runs commands and keeps the highest peak."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home = home
        source = os.pathsep.join(path for path in sys.path if path)
        self.env = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": source}

    def peak(self, *argv: str) -> int:
        """Peak resident MiB of a command."""
        return run(Command([sys.executable, "-c", ENTRY, *argv], self.home, self.env)).rss_bytes // MiB


def peaks(home: Path, data: Path, change: bool) -> dict[str, int]:
    """The peaks of what people do with a folder."""
    person = Person(home)
    person.peak("repo", "create", "--repo", "r")
    upload = ("bundle", "upload", "--path", str(data), "--repo", "r", "--message", "m", "--label")
    found = {"upload": person.peak(*upload, "one")}
    if change:
        for part in list(data.iterdir())[::10]:
            next(part.iterdir()).write_bytes(b"changed")
    found["upload again"] = person.peak(*upload, "two")
    found["diff"] = person.peak("diff", "r@one", "r@two")
    found["download"] = person.peak(
        "bundle", "download", "--repo", "r", "--label", "two", "--destination", str(home / "back")
    )
    found["check"] = person.peak("store", "check", "--read-data")
    return found


@pytest.mark.slow
def test_a_hundred_thousand_files_fit_into_256_mib(tmp_path: Path) -> None:
    plain_files(tmp_path / "data", 100_000)
    assert max((found := peaks(tmp_path / "home", tmp_path / "data", True)).values()) <= 256, found


def test_big_files_fit_into_256_mib(tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    for i in range(3):
        half_compressible(data / f"big-{i}", 110 * MiB)
    assert max((found := peaks(tmp_path / "home", data, False)).values()) <= 256, found


@pytest.mark.slow
def test_a_million_files_fit_into_512_mib(tmp_path: Path) -> None:
    plain_files(tmp_path / "data", 1_000_000)
    assert max((found := peaks(tmp_path / "home", tmp_path / "data", True)).values()) <= 512, found
