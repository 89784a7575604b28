"""What is kept beside the data, on a disk that gets full: nothing is kept by half, and nothing is left of a failure."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.engine.builders import noise
from tests.repair.disks import Disk, mounted

from sheaf.engine.object_cache import FolderCache, room_of, set_room
from sheaf.errors import NoSpace
from sheaf.private_files import write_private
from sheaf.repo.access.known_replicas_file import recall, remember
from sheaf.settings.secrets import write_key_file
from sheaf.storage.folder.scratch import Scratch
from sheaf.transfer.local import origins
from sheaf.transfer.local.origins import Origin
from sheaf.transfer.local.statcache import Rows
from sheaf.transfer.spool import Spool

ROWS = 1 << 17  #: more than the stat cache holds in memory


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A small disk, on which temporary files are made, too."""
    with mounted("tmpfs", tmp_path) as found:
        monkeypatch.setattr(tempfile, "tempdir", str(found.root))
        yield found


def left(disk: Disk) -> list[str]:
    return sorted(path.name for path in disk.root.rglob("*") if path.is_file() and path.name != "ballast")


def batch(number: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"n": [number] * 500, "noise": [noise(100, number * 500 + i) for i in range(500)]}
    )


# -- what is appended to -----------------------------------------------------------------------------------------------


def test_an_append_that_does_not_fit_leaves_nothing(disk: Disk) -> None:
    scratch = Scratch()
    scratch.append(b"first ", b"batch")
    disk.fill(10_000)
    with pytest.raises(OSError, match="No space") as caught:
        scratch.append(b"x" * 3000, bytes(200_000))
    assert caught.value.errno == errno.ENOSPC
    assert (scratch.size, scratch.read(0, 11)) == (11, b"first batch")
    disk.make_room()
    assert scratch.append(b"second") == 11
    assert scratch.read(0, 17) == b"first batchsecond"
    scratch.close()


@pytest.mark.parametrize("room", [0, 5000, 100_000, 1_000_000])
def test_rows_of_an_upload_that_wait(disk: Disk, room: int) -> None:
    disk.fill(room)
    expected = [batch(number) for number in range(30)]
    with Spool(100_000) as spool:
        for one in expected:
            spool.add(one)
        assert list(spool) == expected
        disk.make_room()
        spool.add(batch(30))
        assert list(spool) == [*expected, batch(30)]


def test_few_rows_that_do_not_fit_do_not_follow_later(disk: Disk) -> None:
    """Bytes that a buffer has kept after a failed write must not come out in the middle of others."""
    expected = [pa.RecordBatch.from_pydict({"n": [number]}) for number in range(40)]
    disk.fill(0)
    with Spool(0) as spool:
        for one in expected:
            spool.add(one)
        assert list(spool) == expected


@pytest.mark.parametrize("room", [0, 5000, 1_000_000])
def test_rows_of_the_stat_cache(disk: Disk, room: int) -> None:
    disk.fill(room)
    rows = Rows()
    for start in range(0, ROWS, 10_000):
        rows.add({"key": np.arange(start, start + 10_000, dtype=np.uint64)})
    with pytest.raises(OSError, match="No space"):
        rows.all()
    disk.make_room()
    assert rows.all()["key"].tolist() == list(range(rows.count))
    rows.close()


# -- what is replaced --------------------------------------------------------------------------------------------------


def test_a_cache_keeps_whole_copies_or_none(disk: Disk) -> None:
    cache = FolderCache(disk.root / "cache")
    cache.put("nodes/aa/old", b"old")
    disk.fill(0)
    for _ in range(5):
        cache.put("nodes/aa/new", noise(50_000))
    assert left(disk) == ["old"]
    assert (cache.get("nodes/aa/old"), cache.get("nodes/aa/new")) == (b"old", None)


def test_a_file_that_is_replaced_stays_as_it_was(disk: Disk) -> None:
    file = disk.root / "file"
    write_private(file, b"old")
    disk.fill(0)
    with pytest.raises(OSError, match="No space"):
        write_private(file, noise(50_000))
    assert left(disk) == ["file"] and file.read_bytes() == b"old"
    assert file.stat().st_mode & 0o777 == 0o600


def test_settings_of_a_cache(disk: Disk) -> None:
    set_room(disk.root, 1 << 30)
    disk.fill(0)
    try:
        set_room(disk.root, 5)
    except OSError:
        assert room_of(disk.root) == 1 << 30


def test_where_a_folder_came_from_and_replicas(disk: Disk, tmp_path: Path) -> None:
    cache = disk.root / "cache"
    origins.remember(cache, tmp_path, Origin("store", "repo", "bundle"))
    remember(cache, "s3://b/x", ["old"])
    before = left(disk)
    disk.fill(0)
    origins.remember(cache, tmp_path, Origin("store", "repo", "x" * 50_000))
    remember(cache, "s3://b/x", ["x" * 50_000])
    assert left(disk) == before
    assert origins.recall(cache, tmp_path) == Origin("store", "repo", "bundle")
    assert recall(cache, "s3://b/x") == ("old",)


def test_a_key_file_is_whole_or_not_there(disk: Disk) -> None:
    disk.fill(0)
    file = disk.root / "team.key"
    with pytest.raises(NoSpace, match=r"no space for key file .*team\.key"):
        write_key_file(file, bytes(32))
    assert left(disk) == []
    disk.make_room()
    write_key_file(file, bytes(32))
    assert file.read_text() == "00" * 32 + "\n"
