from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transfer.bundles import MTIME, File, Folder, Item, Link, Shelf, look
from tests.transfer.download.test_download import Counting, expected, look_of
from tests.transfer.local.test_compare import PATHS, THINGS, sensible

from sheaf.engine.core_limits import Limits
from sheaf.errors import InvalidInput, Refused
from sheaf.storage.port import Buffer
from sheaf.transfer.download import update as updating
from sheaf.transfer.download.download import download
from sheaf.transfer.download.partial import PartialFolder
from sheaf.transfer.download.update import LocalChanges, Updated, update
from sheaf.transfer.local.name_collisions import Folding
from sheaf.transfer.local.statcache import StatCache

OLD: dict[str, Item] = {
    "same": b"same",
    "changed": b"before",
    "gone/deep/x": b"x",
    "link": Link("same"),
    "file-to-folder": b"file",
    "folder-to-file/x": b"x",
    "link-to-folder": Link("same"),
    "mode": File(b"mode", 0o644),
    "void": Folder(),
}
NEW: dict[str, Item] = {
    "same": File(b"same", 0o600, MTIME + 9),
    "changed": b"after",
    "new/deep/x": b"x",
    "link": Link("changed"),
    "file-to-folder/x": b"x",
    "folder-to-file": b"file",
    "link-to-folder/x": b"x",
    "mode": File(b"mode", 0o755),
    "void2": Folder(0o700, 5),
}
OLD_FILES = ("changed", "gone/deep/x", "folder-to-file/x", "same")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def folder(shelf: Shelf, removable: Path) -> Path:
    download(shelf.bundle(OLD), shelf.contents, removable / "out")
    return removable / "out"


def run(shelf: Shelf, folder: Path, new: dict[str, Item] = NEW, *, knows: bool = True, force: bool = False) -> Updated:
    base = shelf.bundle(OLD) if knows else None
    return update(shelf.bundle(new), shelf.contents, folder, base, force=force)


def alone(folder: Path) -> bool:
    return [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_folder_becomes_the_new_bundle(shelf: Shelf, folder: Path) -> None:
    done = run(shelf, folder)
    assert look(folder) == look_of(NEW)
    assert done.added == ["file-to-folder/x", "link-to-folder/x", "new/deep/x"]
    assert done.modified == ["changed", "file-to-folder", "folder-to-file", "link", "link-to-folder", "mode"]
    assert done.deleted == ["folder-to-file/x", "gone/deep/x"]
    assert alone(folder)


def test_and_back_again(shelf: Shelf, folder: Path) -> None:
    old, new = shelf.bundle(OLD), shelf.bundle(NEW)
    update(new, shelf.contents, folder, old)
    update(old, shelf.contents, folder, new)
    assert look(folder) == look_of(OLD)


def test_nothing_to_do_changes_nothing(shelf: Shelf, folder: Path) -> None:
    before = {path: os.lstat(folder / path).st_ino for path in look(folder)}
    assert run(shelf, folder, OLD) == Updated([], [], [])
    assert {path: os.lstat(folder / path).st_ino for path in look(folder)} == before
    assert alone(folder)


def test_only_what_differs_is_fetched(shelf: Shelf, folder: Path) -> None:
    contents = Counting(shelf)
    update(shelf.bundle(NEW), contents, folder, shelf.bundle(OLD))
    assert sorted(contents.fetched) == ["changed", "folder-to-file", "mode", "x", "x", "x"]


def test_what_came_with_no_bundle_stays(shelf: Shelf, folder: Path) -> None:
    (folder / "mine").write_text("mine")
    (folder / "gone/deep/mine").write_text("mine")
    (folder / "own").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / ".sheafignore").write_text("changed\n")
    run(shelf, folder)
    assert (folder / "mine").read_text() == (folder / "gone/deep/mine").read_text() == "mine"
    assert (folder / "own").is_dir() and (folder / "pipe").exists()
    assert (folder / "changed").read_bytes() == b"after", "an ignored file of the bundle is one of its files"


def test_what_was_deleted_comes_back(shelf: Shelf, folder: Path) -> None:
    (folder / "same").unlink()
    (folder / "gone/deep/x").unlink()
    run(shelf, folder)
    assert look(folder) == look_of(NEW)


# -- local edits -------------------------------------------------------------------------------------------------------


def edit(path: Path) -> None:
    path.write_text("edit!!")


def edit_same_size(path: Path) -> None:
    path.write_text("B" * path.stat().st_size)


def make_executable(path: Path) -> None:
    path.chmod(0o755)


def make_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [edit, edit_same_size, make_executable, make_link, make_folder])
@pytest.mark.parametrize("path", ["changed", "gone/deep/x", "folder-to-file/x", "same"])
def test_edits_that_would_be_lost_are_refused_by_name(shelf: Shelf, folder: Path, change: object, path: str) -> None:
    change(folder / path)  # type: ignore[operator]
    before = look(folder)
    with pytest.raises(Refused) as caught:
        run(shelf, folder)
    assert path in str(caught.value)
    assert "--force" in caught.value.hint
    assert look(folder) == before
    assert alone(folder)
    run(shelf, folder, force=True)
    assert look(folder) == look_of(NEW)


@pytest.mark.parametrize("path", ["new", "new/deep", "new/deep/x", "folder-to-file/mine", "folder-to-file/own/x"])
def test_what_is_in_the_way_is_refused_by_name(shelf: Shelf, folder: Path, path: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("mine")
    before = look(folder)
    with pytest.raises(Refused) as caught:
        run(shelf, folder)
    assert path in str(caught.value)
    assert look(folder) == before
    run(shelf, folder, force=True)
    assert look(folder) == look_of(NEW)


def test_what_cannot_be_read_is_in_the_way_too(shelf: Shelf, folder: Path) -> None:
    os.mkfifo(folder / "folder-to-file" / "pipe")
    with pytest.raises(Refused, match="folder-to-file/pipe"):
        run(shelf, folder)


def test_an_edit_that_equals_the_new_bundle_is_none(shelf: Shelf, folder: Path) -> None:
    (folder / "changed").write_bytes(b"after")
    (folder / "mode").chmod(0o755)
    (folder / "new/deep").mkdir(parents=True)
    (folder / "new/deep/x").write_bytes(b"x")
    run(shelf, folder)
    assert look(folder) == look_of(NEW)


def test_an_edit_of_what_stays_the_same_is_refused_as_well(shelf: Shelf, folder: Path) -> None:
    (folder / "same").write_text("edit")
    with pytest.raises(Refused, match="same"):
        run(shelf, folder)


def test_many_edits_are_not_all_named(shelf: Shelf, removable: Path) -> None:
    items: dict[str, Item] = {f"f{i:02}": b"x" for i in range(30)}
    old = shelf.bundle(items)
    download(old, shelf.contents, removable / "out")
    for name in items:
        (removable / "out" / name).write_text("edit")
    with pytest.raises(Refused, match=r"f00, .*, f09 and 20 more$"):
        update(shelf.bundle({}), shelf.contents, removable / "out", old)


def test_without_the_old_bundle_every_difference_counts_as_an_edit(shelf: Shelf, folder: Path) -> None:
    with pytest.raises(Refused) as caught:
        run(shelf, folder, knows=False)
    assert "changed" in str(caught.value) and "same" not in str(caught.value)
    assert "unknown which bundle" in caught.value.hint
    run(shelf, folder, {**OLD, "more": b"more"}, knows=False)
    assert look(folder) == look_of({**OLD, "more": b"more"})


# -- edits while the bytes are fetched ---------------------------------------------------------------------------------


class Interfering(Counting):
    """Contents that let the user change the folder as soon as some bytes are fetched."""

    def __init__(self, shelf: Shelf, change: Callable[[], object]) -> None:
        super().__init__(shelf)
        self.change = change

    def _count(self, name: str, data: Buffer) -> None:
        if not self.fetched:
            self.change()
        super()._count(name, data)


def create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


def edit_with_old_time(path: Path) -> None:
    before = path.stat()
    edit_same_size(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("aside"))
    path.parent.symlink_to("aside")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        *((change, path) for change in (edit, edit_with_old_time, make_executable, make_link) for path in OLD_FILES),
        *((Path.unlink, path) for path in OLD_FILES),
        *((create, path) for path in ("new/deep/x", "new", "folder-to-file/mine", "void2")),
        (Path.mkdir, "folder-to-file/mine"),
        (replace_folder, "gone/deep/x"),
    ],
)
def test_an_edit_during_the_download_is_refused_by_name(
    shelf: Shelf, folder: Path, change: Callable[[Path], object], path: str
) -> None:
    edited = []

    def interfere() -> None:
        change(folder / path)
        edited.append(look(folder))

    with pytest.raises(LocalChanges) as caught:
        update(shelf.bundle(NEW), Interfering(shelf, interfere), folder, shelf.bundle(OLD))
    assert path.removesuffix("/mine") in str(caught.value)
    assert "--force" in caught.value.hint
    assert [look(folder)] == edited, "nothing of the folder was changed"
    run(shelf, folder, force=True)
    assert {path: item for path, item in look(folder).items() if not path.startswith("gone")} == look_of(NEW)


@pytest.mark.parametrize("path", ["changed", "gone/deep/x", "same", "new/deep/x"])
def test_force_overwrites_an_edit_during_the_download(shelf: Shelf, folder: Path, path: str) -> None:
    contents = Interfering(shelf, lambda: create(folder / path))
    update(shelf.bundle({**NEW, "same": b"other"}), contents, folder, shelf.bundle(OLD), force=True)
    assert look(folder) == look_of({**NEW, "same": b"other"})


def test_force_removes_what_the_user_removes_during_the_download(shelf: Shelf, folder: Path) -> None:
    contents = Interfering(shelf, lambda: shutil.rmtree(folder / "gone"))
    update(shelf.bundle(NEW), contents, folder, shelf.bundle(OLD), force=True)
    assert look(folder) == look_of(NEW)


def test_files_of_the_user_that_are_in_nobodys_way_may_come_during_the_download(shelf: Shelf, folder: Path) -> None:
    def interfere() -> None:
        create(folder / "gone/deep/mine")
        create(folder / "new/mine")

    update(shelf.bundle(NEW), Interfering(shelf, interfere), folder, shelf.bundle(OLD))
    assert (folder / "gone/deep/mine").read_text() == (folder / "new/mine").read_text() == "mine"
    assert (folder / "new/deep/x").read_text() == "x"


def test_a_folder_is_not_compared_while_another_update_runs(
    shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan_is_refused(*args: object, **kwargs: object) -> None:
        pytest.fail("the folder was compared while another update changed it")

    partial = PartialFolder.open(folder, "another process")
    monkeypatch.setattr(updating, "scan", scan_is_refused)
    with pytest.raises(Refused, match="another process is downloading into"):
        run(shelf, folder)
    partial.close(is_done=True)


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_stopped_update_is_simply_run_again(shelf: Shelf, folder: Path) -> None:
    old, new = shelf.bundle(OLD), shelf.bundle(NEW)
    before = look(folder)
    with pytest.raises(KeyboardInterrupt):
        update(new, Counting(shelf, stop_after=2), folder, old)
    assert look(folder) == before, "nothing changes before everything is there"
    contents = Counting(shelf)
    update(new, contents, folder, old)
    assert len(contents.fetched) < 6
    assert look(folder) == look_of(NEW)
    assert alone(folder)


def test_what_an_earlier_attempt_left_never_replaces_what_is_right(shelf: Shelf, folder: Path) -> None:
    old, new = shelf.bundle(OLD), shelf.bundle(NEW)
    with pytest.raises(KeyboardInterrupt):
        update(new, Counting(shelf, stop_after=2), folder, old)
    staged = folder.parent / ".out.sheaf-partial" / "tree"
    for path in staged.rglob("*"):
        if path.is_file():
            path.write_text("torn")
    (folder / "changed").write_bytes(b"after")
    update(new, shelf.contents, folder, old)
    assert look(folder) == look_of(NEW)


def test_links_planted_in_the_folder_are_never_followed(shelf: Shelf, folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "x").write_text("victim")
    (folder / "gone/deep/x").unlink()
    (folder / "gone/deep").rmdir()
    (folder / "gone/deep").symlink_to(outside)
    (folder / "new").symlink_to(outside)
    run(shelf, folder, force=True)
    assert look(outside) == {"x": File(b"victim", 0o644, (outside / "x").stat().st_mtime_ns)}
    assert look(folder) == look_of(NEW)


def test_names_that_become_one_are_refused_before_anything_changes(
    shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "probe_folding", lambda fd: Folding(case=True, form=False))
    before = look(folder)
    with pytest.raises(Refused, match="'CHANGED' and 'changed'"):
        run(shelf, folder, {**NEW, "CHANGED": b"x"})
    assert look(folder) == before
    assert alone(folder)


def test_a_missing_folder_is_made(shelf: Shelf, removable: Path) -> None:
    done = update(shelf.bundle(NEW), shelf.contents, removable / "not/there", None)
    assert look(removable / "not/there") == look_of(NEW)
    assert "same" in done.added and not (done.modified or done.deleted)


@pytest.mark.parametrize("executes", [False, True])
@pytest.mark.parametrize("content", [b"old", b"new"])
def test_permissions_that_were_changed_locally_stay(
    shelf: Shelf, removable: Path, content: bytes, executes: bool
) -> None:
    old: dict[str, Item] = {"d/a": File(b"old", 0o755 if executes else 0o644), "d": Folder(0o755)}
    new: dict[str, Item] = {"d/a": File(content, 0o775 if executes else 0o664), "d": Folder(0o775)}
    folder = removable / "out"
    download(shelf.bundle(old), shelf.contents, folder)
    mine = 0o700 if executes else 0o600
    (folder / "d/a").chmod(mine)
    (folder / "d").chmod(0o711)
    for _ in range(2):
        update(shelf.bundle(new), shelf.contents, folder, shelf.bundle(old))
        assert (folder / "d/a").read_bytes() == content
        assert ((folder / "d/a").stat().st_mode & 0o777, (folder / "d").stat().st_mode & 0o777) == (mine, 0o711)
    update(shelf.bundle(new), shelf.contents, folder, shelf.bundle(old), force=True)
    assert look(folder) == look_of(new)


def test_permissions_that_the_bundle_changes_come_where_nobody_changed_them(shelf: Shelf, removable: Path) -> None:
    old: dict[str, Item] = {"a": File(b"old", 0o644), "b": File(b"b", 0o600)}
    new: dict[str, Item] = {"a": File(b"new", 0o600), "b": File(b"b", 0o640)}
    download(shelf.bundle(old), shelf.contents, removable / "out")
    update(shelf.bundle(new), shelf.contents, removable / "out", shelf.bundle(old))
    assert look(removable / "out") == look_of(new)


@pytest.mark.parametrize("content", [b"old", b"new"])
def test_a_changed_execute_bit_and_changed_permissions_are_refused(
    shelf: Shelf, removable: Path, content: bytes
) -> None:
    old: dict[str, Item] = {"a": File(b"old", 0o644)}
    new: dict[str, Item] = {"a": File(content, 0o755)}
    folder = removable / "out"
    download(shelf.bundle(old), shelf.contents, folder)
    (folder / "a").chmod(0o600)
    with pytest.raises(Refused, match="local changes that would be lost: a"):
        update(shelf.bundle(new), shelf.contents, folder, shelf.bundle(old))
    assert (folder / "a").stat().st_mode & 0o777 == 0o600
    update(shelf.bundle(new), shelf.contents, folder, shelf.bundle(old), force=True)
    assert look(folder) == look_of(new)


def test_a_file_in_the_place_of_the_folder_is_named(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="file is not a folder"):
        run(shelf, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_known_contents_are_not_read_again(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        cache = StatCache.open(tmp_path / "cache", folder, 1 << 62)
        update(shelf.bundle(OLD), shelf.contents, folder, shelf.bundle(OLD), cache=cache)
        assert cache.save()
    assert cache.news == 0


@settings(deadline=None)
@given(
    st.dictionaries(PATHS, THINGS).map(sensible),
    st.dictionaries(PATHS, THINGS).map(sensible),
    st.dictionaries(PATHS, THINGS).map(sensible),
    st.integers(1, 5),
)
def test_whatever_was_there_nothing_of_the_user_is_lost_unasked(
    old: dict[str, Item], new: dict[str, Item], local: dict[str, Item], rows: int
) -> None:
    shelf = Shelf(limits=Limits(scan_rows=rows))
    before, after = shelf.bundle(old), shelf.bundle(new)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp) / "out"
        download(shelf.bundle(local), shelf.contents, folder)
        try:
            update(after, shelf.contents, folder, before)
        except Refused:
            assert look(folder) == expected(local)
            update(after, shelf.contents, folder, before, force=True)
            kept = look(folder)
        else:
            kept = look(folder)
            for path, item in expected(local).items():
                known = [expected(each).get(path) for each in (old, new)]
                assert kept.get(path) == item or item in known or isinstance(item, Folder), f"{path} is lost"
        wanted = expected(new)
        assert {path: kept.get(path) for path in wanted} == wanted
        extra = kept.keys() - wanted.keys()
        assert all(path in expected(local) for path in extra)
        assert not [path for path in extra if path in expected(old) and not isinstance(kept[path], Folder)]
