from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest

from sheaf.engine.core_limits import DEFAULT
from sheaf.transfer.local import statcache
from sheaf.transfer.local.scan import ScanBatch, scan
from sheaf.transfer.local.statcache import StatCache, prune

NOW = 1_800_000_000_000_000_000
LATER = NOW * 2  #: no file of a test is as young as this


def hashes(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)


def rows(root: Path) -> ScanBatch:
    (batch,) = scan(root)
    return batch


def learn(
    cache_dir: Path,
    root: Path,
    contents: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
    in_memory: int = DEFAULT.stat_rows,
) -> None:
    batch, cache = rows(root), StatCache.open(cache_dir, root, LATER, in_memory)
    cache.add(batch, contents, np.ones(len(batch), np.bool_))
    assert cache.save()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def known(cache_dir: Path, root: Path) -> list[str]:
    batch = rows(root)
    _, hit = StatCache.open(cache_dir, root, LATER).match(batch)
    return [batch.name[row] for row in np.flatnonzero(hit)]


def test_what_was_learned_is_known(root: Path, cache_dir: Path) -> None:
    contents = hashes(3)
    learn(cache_dir, root, contents)
    found, hit = StatCache.open(cache_dir, root, LATER).match(rows(root))
    assert hit.all()
    assert (found == contents).all()


def test_an_empty_cache_knows_nothing(root: Path, cache_dir: Path) -> None:
    assert known(cache_dir, root) == []


def test_only_files_are_known(root: Path, cache_dir: Path) -> None:
    (root / "d").mkdir()
    (root / "e").symlink_to("a")
    learn(cache_dir, root, hashes(5))
    assert known(cache_dir, root) == ["a", "b", "c"]


def rewrite(path: Path) -> None:
    path.write_text("z")


def rewrite_and_restore_mtime(path: Path) -> None:
    status = path.stat()
    path.write_text("z")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name(".other")
    other.write_text("z")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def grow(path: Path) -> None:
    path.write_text("more")


@pytest.mark.parametrize("change", [rewrite, rewrite_and_restore_mtime, replace, grow])
def test_a_changed_file_is_not_known(root: Path, cache_dir: Path, change: object) -> None:
    learn(cache_dir, root, hashes(3))
    os.utime(root / "b", ns=(5, 5))  # moves the ctime, so that the change below can't share its tick
    learn(cache_dir, root, hashes(3))
    before = rows(root)
    while rows(root).ctime[1] == before.ctime[1]:
        change(root / "b")  # type: ignore[operator]
    assert known(cache_dir, root) == ["a", "c"]


@pytest.mark.parametrize("racy", ["mtime", "ctime"])
def test_a_file_that_changed_just_before_the_scan_is_not_kept(root: Path, cache_dir: Path, racy: str) -> None:
    batch = rows(root)
    old, young = NOW - 2_000_000_001, NOW - 2_000_000_000
    batch.mtime[:], batch.ctime[:] = old, old
    getattr(batch, racy)[1] = young
    cache = StatCache.open(cache_dir, root, NOW)
    cache.add(batch, hashes(3), np.ones(3, np.bool_))
    cache.save()
    _, hit = StatCache.open(cache_dir, root, NOW).match(batch)
    assert hit.tolist() == [True, False, True]


def test_a_file_from_the_future_is_not_kept(root: Path, cache_dir: Path) -> None:
    os.utime(root / "a", ns=(LATER, LATER))
    learn(cache_dir, root, hashes(3))
    assert known(cache_dir, root) == ["b", "c"]


def test_only_masked_rows_are_kept(root: Path, cache_dir: Path) -> None:
    cache = StatCache.open(cache_dir, root, LATER)
    cache.add(rows(root), hashes(3), np.array([True, False, True]))
    cache.save()
    assert known(cache_dir, root) == ["a", "c"]


def test_hard_links_share_a_row(root: Path, cache_dir: Path) -> None:
    os.link(root / "a", root / "d")
    contents = hashes(4)
    contents[3] = contents[0]
    learn(cache_dir, root, contents)
    found, hit = StatCache.open(cache_dir, root, LATER).match(rows(root))
    assert hit.all() and (found == contents).all()


def test_folders_have_caches_of_their_own(root: Path, cache_dir: Path, tmp_path: Path) -> None:
    learn(cache_dir, root, hashes(3))
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").touch()
    learn(cache_dir, other, hashes(1))
    assert known(cache_dir, root) == ["a", "b", "c"]


def test_every_flipped_bit_makes_it_empty(root: Path, cache_dir: Path) -> None:
    learn(cache_dir, root, hashes(3))
    (file,) = (cache_dir / "stat").iterdir()
    sound = file.read_bytes()
    for at in range(len(sound)):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        assert known(cache_dir, root) == []
    for length in range(len(sound)):
        file.write_bytes(sound[:length])
        assert known(cache_dir, root) == []
    file.write_bytes(sound)
    assert known(cache_dir, root) == ["a", "b", "c"]


def test_the_file_is_private_and_replaced_whole(root: Path, cache_dir: Path) -> None:
    learn(cache_dir, root, hashes(3))
    (file,) = (cache_dir / "stat").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.stat().st_ino
    open_one = StatCache.open(cache_dir, root, LATER)
    (root / "d").touch()
    learn(cache_dir, root, hashes(4, seed=1))
    assert file.stat().st_ino != before
    assert [path.name for path in (cache_dir / "stat").iterdir()] == [file.name]
    (root / "d").unlink()
    assert open_one.match(rows(root))[1].all(), "an open cache is not disturbed"


def test_nothing_new_writes_nothing(root: Path, cache_dir: Path) -> None:
    contents = hashes(3)
    learn(cache_dir, root, contents)
    (file,) = (cache_dir / "stat").iterdir()
    before = file.stat().st_ino
    learn(cache_dir, root, contents)
    assert file.stat().st_ino == before


def test_what_is_gone_from_the_folder_is_forgotten(root: Path, cache_dir: Path) -> None:
    learn(cache_dir, root, hashes(3))
    (root / "b").unlink()
    learn(cache_dir, root, hashes(2))
    (file,) = (cache_dir / "stat").iterdir()
    assert len(statcache._load(file)["key"]) == 2


def test_a_cache_that_cannot_be_written_is_no_failure(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    batch, cache = rows(root), StatCache.open(tmp_path / "cache", root, LATER)
    cache.add(batch, hashes(3), np.ones(3, np.bool_))
    assert cache.save() is False


def test_pruning_removes_what_was_used_longest_ago(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "mid", "old", "kept"]):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, ns=(0, 10 - age))
    prune(tmp_path, 20, keep=tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "new"]


def test_many_rows_are_found_again(tmp_path: Path) -> None:
    n = 50_000
    random = np.random.default_rng(3)
    batch = ScanBatch(
        [""] * n,
        [str(i) for i in range(n)],
        np.zeros(n, np.uint8),
        np.zeros(n, np.uint16),
        random.integers(0, NOW, n, np.int64),
        random.integers(0, 1000, n, np.int64),
        random.integers(0, 3, n, np.uint64),
        random.permutation(n).astype(np.uint64),
        random.integers(0, NOW, n, np.int64),
        [None] * n,
    )
    contents = hashes(n)
    cache = StatCache.open(tmp_path, tmp_path, LATER)
    cache.add(batch, contents, np.ones(n, np.bool_))
    cache.save()
    found, hit = StatCache.open(tmp_path, tmp_path, LATER).match(batch)
    assert hit.all() and (found == contents).all()


@pytest.mark.parametrize("in_memory", [1, 2, 1000])
def test_what_waits_on_disk_is_saved_like_what_waits_in_memory(
    root: Path, cache_dir: Path, tmp_path: Path, in_memory: int
) -> None:
    saved = []
    for folder, rows_in_memory in ((cache_dir, 1000), (tmp_path / "other", in_memory)):
        batch, cache = rows(root), StatCache.open(folder, root, LATER, rows_in_memory)
        for row in range(3):
            cache.add(batch, hashes(3), np.arange(3) == row)
        assert cache.save()
        saved.append(cache.path.read_bytes())
    assert saved[0] == saved[1]


def test_without_room_on_the_disk_rows_wait_in_memory(
    root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    learn(cache_dir, root, hashes(3), in_memory=1)
    assert known(cache_dir, root) == ["a", "b", "c"]


def test_a_hash_that_turned_out_wrong_is_replaced(tmp_path: Path) -> None:
    """``--rehash`` reads files that look unchanged; the next upload must not believe the old hash again."""
    root, cache_dir = tmp_path / "in", tmp_path / "cache"
    root.mkdir()
    (root / "a").write_text("a")
    batch = rows(root)
    for content in (1, 2):
        cache = StatCache.open(cache_dir, root, LATER)
        cache.add(batch, np.full((1, 32), content, np.uint8), np.ones(1, np.bool_))
        assert cache.save()
    found, hit = StatCache.open(cache_dir, root, LATER).match(batch)
    assert hit.all() and (found == 2).all()
