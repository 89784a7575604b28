"""What happens to users who may not do everything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.transfer.bundles import File, Folder, Item, Shelf, look
from tests.transfer.download.test_download import ITEMS, Counting, expected, look_of

from sheaf.errors import Denied, NotFound
from sheaf.transfer.download.download import download
from sheaf.transfer.download.update import update
from sheaf.transfer.local.compare import changes
from sheaf.transfer.local.scan import Skipped, scan


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def found(root: Path, **options: object) -> list[str]:
    return [batch.path(row) for batch in scan(root, **options) for row in range(len(batch))]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o600])
def test_a_folder_that_cannot_be_read_is_named(humble: Path, mode: int) -> None:
    (humble / "a").mkdir()
    (humble / "a" / "x").touch()
    (humble / "b").touch()
    (humble / "a").chmod(mode)
    with pytest.raises(Denied, match="a"):
        found(humble)
    skipped: list[Skipped] = []
    assert found(humble, on_error=skipped.append) == ["a", "b"]
    assert [each.path for each in skipped] == ["a/x" if mode == 0o600 else "a"]


def test_a_root_that_cannot_be_read_is_named(humble: Path) -> None:
    (humble / "a").mkdir(mode=0)
    with pytest.raises(Denied, match="a"):
        found(humble / "a")


def test_read_only_files_and_folders_come_out_as_they_went_in(shelf: Shelf, humble: Path) -> None:
    tree = shelf.bundle(ITEMS)
    before = os.umask(0o027)
    try:
        download(tree, shelf.contents, humble / "out")
    finally:
        os.umask(before)
    assert look(humble / "out") == expected(ITEMS)


def test_read_only_files_are_no_obstacle_to_going_on(shelf: Shelf, humble: Path) -> None:
    items: dict[str, Item] = {f"d/f{i}": File(str(i).encode(), (0o444, 0o000, 0o200)[i % 3]) for i in range(30)}
    tree = shelf.bundle({**items, "d": Folder(0o555)})
    with pytest.raises(KeyboardInterrupt):
        download(tree, Counting(shelf, stop_after=15), humble / "out", concurrency=1)
    download(tree, shelf.contents, humble / "out")
    assert {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (humble / "out" / "d").iterdir()} == {
        f"f{i}": (0o444, 0o000, 0o200)[i % 3] for i in range(30)
    }
    assert os.listdir(humble) == ["out"]


def test_read_only_folders_are_no_obstacle_to_an_update(shelf: Shelf, humble: Path) -> None:
    old = shelf.bundle({"d/x": File(b"1", 0o444), "d/y": b"1", "d": Folder(0o555), "e/f/x": b"1", "e": Folder(0o500)})
    new = shelf.bundle({"d/x": File(b"2", 0o444), "d/z": b"2", "d": Folder(0o555, 5)})
    download(old, shelf.contents, humble / "out")
    update(new, shelf.contents, humble / "out", old)
    assert look(humble / "out") == look_of({"d/x": File(b"2", 0o444), "d/z": b"2", "d": Folder(0o555, 5)})


def test_a_destination_whose_parent_is_not_ours_is_filled_from_inside(shelf: Shelf, humble: Path) -> None:
    tree = shelf.bundle({"a/x": b"x"})
    (humble / "p" / "out").mkdir(parents=True)
    (humble / "p").chmod(0o555)
    with pytest.raises(KeyboardInterrupt):
        download(tree, Counting(shelf, stop_after=0), humble / "p" / "out")
    download(tree, shelf.contents, humble / "p" / "out")
    assert look(humble / "p" / "out") == look_of({"a/x": b"x"})


@pytest.mark.parametrize("out", ["locked", "locked/new", "locked/deep/er"])
def test_a_destination_that_cannot_be_written_is_named(shelf: Shelf, humble: Path, out: str) -> None:
    tree = shelf.bundle({"a/x": b"x"})
    (humble / "locked").mkdir(mode=0o555)
    with pytest.raises(Denied, match="locked"):
        download(tree, shelf.contents, humble / out)
    assert os.listdir(humble) == ["locked"]
    assert os.listdir(humble / "locked") == []


def test_a_file_that_cannot_be_compared_is_named(shelf: Shelf, humble: Path) -> None:
    tree = shelf.bundle({"a": b"x"})
    (humble / "a").write_text("y")
    (humble / "a").chmod(0)
    with pytest.raises(Denied, match="a"):
        list(changes(tree, humble))
    skipped: list[Skipped] = []
    list(changes(tree, humble, on_error=skipped.append))
    assert [each.path for each in skipped] == ["a"]
    with pytest.raises(NotFound):
        list(changes(tree, humble / "no"))
