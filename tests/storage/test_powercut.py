"""What a folder store promises when the power goes; and that the test would notice if it broke the promise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sheaf.errors import SheafError
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.port import Backend, Created
from sheaf.testing.powercut import VARIANTS, PowerCut, RecordingSyscalls, survives_every_power_cut

OBJECTS = {
    "sheaf.json": b"{}",
    "packs/ab/one": bytes(range(256)) * 20,
    "packs/ab/two": b"two",
    "packs/cd/three": b"",
    "log/999/998.json": b"record 1",
    "log/999/997.json": b"record 2",
    "log/998/996.json": b"record 3",
}
DELETED = ("packs/ab/two", "log/999/998.json")


def write_objects(backend: Backend, acknowledged: list[Any]) -> None:
    for key, data in OBJECTS.items():
        parts = [data[:3], data[3:]]
        assert backend.create(key, parts) is Created.CREATED
        acknowledged.append(("created", key))
    assert backend.create("packs/ab/one", OBJECTS["packs/ab/one"]) is Created.MINE
    for key in DELETED:
        acknowledged.append(("deleting", key))
        backend.delete(key)
        acknowledged.append(("deleted", key))


def nothing_lost(backend: Backend, acknowledged: list[Any]) -> None:
    found = {stat.key: backend.get(stat.key) for stat in backend.list()}
    for key, data in found.items():
        assert data == OBJECTS[key], f"{key} is torn"
    for key in OBJECTS:
        if ("created", key) in acknowledged and ("deleting", key) not in acknowledged:
            assert key in found, f"{key} is lost"
        assert not (key in found and ("deleted", key) in acknowledged), f"{key} came back"
    # Nothing that was left over stands in the way of doing it again.
    assert {backend.create(key, data) for key, data in OBJECTS.items()} <= {Created.CREATED, Created.MINE}


class ForgetsFiles(RecordingSyscalls):
    def sync_file(self, fd: int) -> None:
        pass


class ForgetsFolders(RecordingSyscalls):
    def sync_folder(self, path: str) -> None:
        pass


class ForgetsUpperFolders(RecordingSyscalls):
    """Syncs the folder of the object and none above it."""

    def sync_folder(self, path: str) -> None:
        if Path(path).name != "store":
            super().sync_folder(path)


class ForgetsSomeFiles(RecordingSyscalls):
    def sync_file(self, fd: int) -> None:
        if self.made % 2:
            super().sync_file(fd)


def test_no_cut_loses_or_tears_anything(tmp_path: Path) -> None:
    cuts = survives_every_power_cut(tmp_path, write_objects, nothing_lost)
    assert cuts > 9 * len(OBJECTS)


class NoHardLinks(RecordingSyscalls):
    def link(self, source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")


def test_no_cut_loses_anything_where_there_are_no_hard_links(tmp_path: Path) -> None:
    survives_every_power_cut(tmp_path, write_objects, nothing_lost, calls=NoHardLinks)


@pytest.mark.parametrize("calls", [ForgetsFiles, ForgetsFolders, ForgetsUpperFolders, ForgetsSomeFiles])
def test_a_forgotten_sync_is_noticed(tmp_path: Path, calls: type[RecordingSyscalls]) -> None:
    with pytest.raises(AssertionError, match=r"lost|torn|came back"):
        survives_every_power_cut(tmp_path, write_objects, nothing_lost, calls=calls)


def test_without_durability_the_loss_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"lost|torn"):
        survives_every_power_cut(tmp_path, write_objects, nothing_lost, durability="none")


class Dying(RecordingSyscalls):
    """One disk, on which the first writer dies before it syncs any folder."""

    dying = False

    def sync_folder(self, path: str) -> None:
        if self.dying:
            raise PowerCut("only this process")
        super().sync_folder(path)


@pytest.mark.parametrize("same_key", [True, False])
def test_an_object_in_a_folder_that_another_process_made_is_durable(tmp_path: Path, same_key: bool) -> None:
    disk = Dying(tmp_path)
    disk.dying = True
    with pytest.raises(PowerCut):
        FolderBackend(tmp_path / "store", syscalls=disk).create("deep/er/mine", b"1")
    disk.dying = False
    key = "deep/er/mine" if same_key else "deep/er/other"
    answer = FolderBackend(tmp_path / "store", syscalls=disk).create(key, b"1")
    assert answer is (Created.MINE if same_key else Created.CREATED)
    after = tmp_path.with_name(f"{tmp_path.name}-after")
    disk.after_cut(after, VARIANTS[0], random.Random(0))
    assert FolderBackend(after / "store").get(key) == b"1"


class FullDisk(RecordingSyscalls):
    def write(self, fd: int, parts: Sequence[memoryview]) -> None:
        super().write(fd, [part[: part.nbytes // 2] for part in parts])
        raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_neither_an_object_nor_a_leftover(tmp_path: Path) -> None:
    backend = FolderBackend(tmp_path / "store", syscalls=FullDisk(tmp_path))
    with pytest.raises(SheafError) as caught:
        backend.create("packs/x", b"12345678")
    assert caught.value.kind == "no-space"
    assert [path.name for path in (tmp_path / "store").rglob("*")] == ["tmp"]
