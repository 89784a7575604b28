"""Data to measure with is the same for the same seed, and as it is described."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from bench.generate.sources import Missing, source_files
from bench.generate.tables import csv_rows, keyed_rows
from bench.generate.trees import edit_mixed, equal_files, image_files, mixed_files, tiny_files

KiB = 1 << 10


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def keyed(root: Path) -> None:
    root.mkdir()
    for version in range(2):
        keyed_rows(root / "rows.db", version)
        csv_rows(root / "rows.csv", version)


@pytest.mark.parametrize(
    "write",
    [
        lambda root: mixed_files(root, 300),
        lambda root: image_files(root, 5),
        lambda root: equal_files(root, 5, 17 * KiB),
        lambda root: tiny_files(root, 20),
        keyed,
    ],
    ids=["mixed", "images", "equal", "tiny", "tables"],
)
def test_the_same_seed_gives_the_same_files(write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_mixed_files_have_the_sizes_and_folders_of_s1(tmp_path: Path) -> None:
    total = mixed_files(tmp_path, 4_000)
    files = tree(tmp_path)
    sizes = [len(data) for data in files.values()]
    assert len(sizes) == 4_000 and sum(sizes) == total
    assert 3.5 * KiB < median(sizes) < 4.5 * KiB
    assert 0.08 < sum(size > 16 * KiB for size in sizes) / len(sizes) < 0.12
    assert max(sizes) <= 200 * KiB
    folders = Counter(name.rpartition("/")[0] for name in files).values()
    assert max(folders) > 5 * median(folders)


def test_editing_mixed_files_changes_one_in_a_hundred(tmp_path: Path) -> None:
    mixed_files(tmp_path, 500)
    before = tree(tmp_path)
    assert edit_mixed(tmp_path, 500, 1) == 5
    after = tree(tmp_path)
    assert before.keys() == after.keys()
    assert sum(before[name] != after[name] for name in before) == 5


def test_each_version_of_a_table_with_random_keys_has_more_rows(tmp_path: Path) -> None:
    counts = []
    for version in range(2):
        keyed_rows(tmp_path / "rows.db", version)
        with sqlite3.connect(tmp_path / "rows.db") as db:
            counts.append(db.execute("select count(*) from sample").fetchone()[0])
        db.close()
    assert counts == [20_000, 40_000]


def archive(path: Path, names: list[str]) -> str:
    """Make an archive; returns its SHA-256."""
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(link)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_source_files_are_the_first_regular_ones_of_the_pinned_archives(tmp_path: Path) -> None:
    one, two = (archive(tmp_path / f"{name}.tar.gz", [f"{name}/a", f"{name}/b"]) for name in ("x", "y"))
    archive(tmp_path / "z.tar.gz", ["z/a"])
    pins = tmp_path / "pins.txt"
    pins.write_text(f"y==1 \\\n    --hash=sha256:{two}\nx==1 \\\n    --hash=sha256:{one}\n")
    assert source_files(tmp_path / "out", tmp_path, 3, pins) == 3
    assert tree(tmp_path / "out").keys() == {"y/a", "y/b", "x/a"}


def test_an_archive_that_is_not_as_pinned_is_missing(tmp_path: Path) -> None:
    archive(tmp_path / "x.tar.gz", ["x/a"])
    with pytest.raises(Missing, match="no archive with the SHA-256"):
        source_files(tmp_path / "out", tmp_path, 10)
