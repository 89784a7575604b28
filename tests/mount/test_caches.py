"""What a mount keeps: in memory and on disk, bounded, checked, and fetched ahead of who reads on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mount.conftest import Mounts
from tests.mount.trees import make_tree, read_tree
from tests.transfer.bundles import File, Shelf

from sheaf.engine.block_cache import BlockCache
from sheaf.engine.manifest.ranks import Ranks
from sheaf.mount.fuse.port import WaitPolicy
from sheaf.mount.kernel_cache import WHOLE, ByteCache
from sheaf.mount.open_files import BLOCK, BundleReader, OpenFile, Pool
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.count import CountBackend

BIG = random.Random(1).randbytes(20 * BLOCK + 12345)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(CountBackend(MemoryBackend()))


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(ByteCache(64 << 20), WaitPolicy())
    yield made
    made.close()


def _reader(shelf: Shelf, items: dict[str, File], pool: Pool) -> BundleReader:
    return BundleReader(Ranks(shelf.bundle(dict(items))), shelf.contents, pool)


def _opened(reader: BundleReader, path: str) -> OpenFile:
    rank = reader.ranks.find(*path.rpartition("/")[::2])
    assert rank is not None
    leaf = reader.ranks.leaf(rank)
    return OpenFile(leaf, rank - leaf.first)


def _requests(shelf: Shelf) -> int:
    assert isinstance(shelf.backend, CountBackend)
    return shelf.backend.tally("packs").requests


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    cache = ByteCache(100)
    for number in range(10):
        cache.put((bytes([number]), 0), bytes(30))
        cache.get((b"\0", 0))
    assert cache.get((b"\0", 0)) is not None
    assert cache.get((b"\x09", 0)) is not None
    assert sum((bytes([n]), 0) in cache for n in range(10)) == 3


def test_any_range_of_a_big_file(shelf: Shelf, pool: Pool) -> None:
    reader = _reader(shelf, {"big": File(BIG)}, pool)
    file, chance = _opened(reader, "big"), random.Random(2)
    for _ in range(50):
        at, size = chance.randrange(len(BIG) + 5), chance.randrange(3 * BLOCK)
        assert bytes(reader.read(file, at, size)) == BIG[at : at + size]
    for at in range(0, len(BIG), 128 << 10):
        assert bytes(reader.read(file, at, 128 << 10)) == BIG[at : at + (128 << 10)]


def test_who_jumps_about_in_a_big_file_gets_only_what_was_asked_for(shelf: Shelf, pool: Pool) -> None:
    reader = _reader(shelf, {"big": File(BIG)}, pool)
    file = _opened(reader, "big")
    for block in (17, 3, 11, 7):
        reader.read(file, block * BLOCK + 1000, 100)
    assert {n for n in range(21) if (file.content, n) in pool.cache} == {17, 3, 11, 7}


def test_small_files_that_are_read_in_order_come_in_a_few_requests(shelf: Shelf, pool: Pool) -> None:
    chance = random.Random(3)
    items = {f"f/{n:05}": File(chance.randbytes(200)) for n in range(2000)}
    reader = _reader(shelf, items, pool)
    before = _requests(shelf)
    for path, item in sorted(items.items()):
        assert bytes(reader.read(_opened(reader, path), 0, 1000)) == item.content
    assert _requests(shelf) - before < 400


@pytest.mark.parametrize("size", [15 << 10, 17 << 10, 200 << 10])
def test_files_of_some_chunks_that_are_read_in_order_come_together(shelf: Shelf, pool: Pool, size: int) -> None:
    """Above the least size of a chunk each file once cost a request for its recipe, and one for its chunks."""
    count = min(400, (16 << 20) // size)
    items = {f"f/{n:05}": File(random.Random(n).randbytes(size)) for n in range(count)}
    reader = _reader(shelf, items, pool)
    before = _requests(shelf)
    for path, item in sorted(items.items()):
        file = _opened(reader, path)
        halves = [bytes(reader.read(file, at, size // 2)) for at in (0, size // 2)]
        assert b"".join(halves) == item.content
    assert _requests(shelf) - before < count / 2


def test_the_disk_gives_back_what_it_was_given_and_nothing_else(tmp_path: Path) -> None:
    disk = BlockCache(tmp_path, 1 << 20)
    disk.put((b"a" * 32, 3), b"block")
    disk.put((b"b" * 32, WHOLE), b"whole")
    again = BlockCache(tmp_path, 1 << 20)
    assert bytes(again.get((b"a" * 32, 3)) or b"") == b"block"
    assert bytes(again.get((b"b" * 32, WHOLE)) or b"") == b"whole"
    assert again.get((b"a" * 32, 4)) is None
    for place in tmp_path.rglob("*"):
        if place.is_file():
            place.write_bytes(place.read_bytes()[:-1] + b"?")
    assert again.get((b"a" * 32, 3)) is None
    assert not list(tmp_path.rglob("*-3"))


def test_the_disk_is_bounded(tmp_path: Path) -> None:
    disk = BlockCache(tmp_path, 100_000)
    for number in range(200):
        disk.put((bytes([number]) * 32, 0), bytes(5000))
    total = sum(place.stat().st_size for place in tmp_path.rglob("*") if place.is_file())
    assert total <= 120_000
    assert disk.get((bytes([199]) * 32, 0)) is not None


def test_a_second_mount_finds_on_disk_what_the_first_one_fetched(
    mounts: Mounts, tmp_path: Path, s3_endpoint: str, fresh: str
) -> None:
    data = make_tree(tmp_path / "data")
    mounts.url = f"s3://bucket/{fresh}"
    mounts.variables |= {"SHEAF_ENDPOINT": s3_endpoint, "SHEAF_RETRIES": "0"}
    mounts.run("store", "init")
    mounts.run("repo", "create", "--repo", "r")
    mounts.run("bundle", "upload", "--repo", "r", "--path", data, "--message", "m")
    first = mounts.start("bundle", "mount", "--repo", "r")
    assert read_tree(first.folder) == read_tree(data)
    assert first.unmount() == 0
    blocks = list((mounts.home / ".cache/sheaf/blocks").rglob("*"))
    kept = sum(place.stat().st_size for place in blocks if place.is_file())
    assert kept > 8_000_000
    second = mounts.start("bundle", "mount", "--repo", "r")
    assert read_tree(second.folder) == read_tree(data)
