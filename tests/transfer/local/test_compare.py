from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transfer.bundles import File, Folder, Item, Link, Shelf

from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import InvalidInput, NotFound
from sheaf.transfer.download.download import download
from sheaf.transfer.local.compare import changes, guess_base, learn
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.scan import Skipped, scan
from sheaf.transfer.local.statcache import StatCache

ITEMS: dict[str, Item] = {
    "a/x": b"x",
    "a/y": b"y",
    "run": File(b"run", 0o755),
    "link": Link("a"),
    "void": Folder(),
    ".conflicts/one/a": b"kept by a diamond",
}
LATER = 1 << 62


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def folder(shelf: Shelf, tmp_path: Path) -> Path:
    download(shelf.bundle(ITEMS), shelf.contents, tmp_path / "out")
    return tmp_path / "out"


def found(tree: Tree, folder: Path, **options: Any) -> list[tuple[str, str]]:
    return [(change.how, change.path) for change in changes(tree, folder, **options)]


def test_a_download_does_not_differ(shelf: Shelf, folder: Path) -> None:
    assert found(shelf.bundle(ITEMS), folder) == []


def test_times_and_most_mode_bits_do_not_count(shelf: Shelf, folder: Path) -> None:
    os.utime(folder / "a/x", ns=(0, 0))
    os.chmod(folder / "a/x", 0o600)
    os.chmod(folder / "a", 0o700)
    assert found(shelf.bundle(ITEMS), folder) == []


def test_every_kind_of_edit_is_seen_in_order(shelf: Shelf, folder: Path) -> None:
    (folder / "a/x").write_text("z")
    (folder / "a/new").write_text("new")
    (folder / "a/y").unlink()
    (folder / "run").chmod(0o644)
    (folder / "link").unlink()
    (folder / "link").symlink_to("b")
    (folder / "void").rmdir()
    (folder / "void").touch()
    assert found(shelf.bundle(ITEMS), folder) == [
        ("modified", "link"),
        ("modified", "run"),
        ("modified", "void"),
        ("added", "a/new"),
        ("modified", "a/x"),
        ("deleted", "a/y"),
    ]


def test_both_sides_are_told(shelf: Shelf, folder: Path) -> None:
    (folder / "a/x").write_text("longer")
    (change,) = changes(shelf.bundle(ITEMS), folder)
    assert change.old is not None and change.new is not None
    assert (change.old.size, change.new.size) == (1, 6)
    assert change.old.content != change.new.content


def test_ignored_files_are_not_added(shelf: Shelf, folder: Path) -> None:
    (folder / ".sheafignore").write_text("*.tmp\n")
    (folder / "x.tmp").touch()
    assert found(shelf.bundle(ITEMS), folder) == [("added", ".sheafignore")]


def test_what_others_leave_in_the_root_is_not_added(shelf: Shelf, folder: Path) -> None:
    (folder / ".datamon").mkdir()
    (folder / ".datamon" / "x.yaml").touch()
    (folder / ".sheaf-partial").mkdir()
    assert found(shelf.bundle(ITEMS), folder) == []
    (folder / ".conflicts/one/a").write_text("edited")
    assert found(shelf.bundle(ITEMS), folder) == [("modified", ".conflicts/one/a")]


def test_what_the_cache_knows_is_not_read(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    tree = shelf.bundle(ITEMS)
    cache = StatCache.open(tmp_path / "cache", folder, LATER)
    assert found(tree, folder, cache=cache) == []
    assert cache.save()
    assert cache.news == 4
    again = StatCache.open(tmp_path / "cache", folder, LATER)
    before = os.stat(folder / "a/x").st_atime_ns
    assert found(tree, folder, cache=again) == []
    assert again.news == 0
    assert os.stat(folder / "a/x").st_atime_ns == before


def test_what_cannot_be_compared_is_refused_or_told(shelf: Shelf, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidInput, match="pipe"):
        found(shelf.bundle(ITEMS), folder)
    told: list[Skipped] = []
    assert found(shelf.bundle(ITEMS), folder, on_error=told.append) == []
    assert [each.path for each in told] == ["pipe"]


def test_a_missing_folder_is_named(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        found(shelf.bundle(ITEMS), tmp_path / "nowhere")


def test_an_empty_folder_lacks_everything(shelf: Shelf, tmp_path: Path) -> None:
    tree = shelf.bundle(ITEMS)
    assert [how for how, _ in found(tree, tmp_path)] == ["deleted"] * tree.root.rows
    assert found(shelf.bundle({}), tmp_path) == []


PATHS = st.sampled_from(["a", "b", "a/x", "a/y", "a/b/z", "ab", "a-b/x", "c/d/e", "c/d/f", "z"])
THINGS: st.SearchStrategy[Item] = st.one_of(
    st.builds(File, st.sampled_from([b"", b"1", b"22"]), st.sampled_from([0o644, 0o755])),
    st.builds(Link, st.sampled_from(["a", "b"])),
    st.just(Folder()),
)


def sensible(items: dict[str, Item]) -> dict[str, Item]:
    """Without paths below what is no folder."""
    return {
        path: item
        for path, item in items.items()
        if all(isinstance(items.get(above, Folder()), Folder) for above in above_all(path))
    }


def above_all(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


@settings(deadline=None)
@given(st.dictionaries(PATHS, THINGS).map(sensible), st.dictionaries(PATHS, THINGS).map(sensible), st.integers(1, 5))
def test_a_folder_differs_as_the_bundle_of_it_does(old: dict[str, Item], new: dict[str, Item], rows: int) -> None:
    shelf = Shelf()
    before, after = shelf.bundle(old), shelf.bundle(new)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp) / "out"
        download(after, shelf.contents, folder)
        ours = found(before, folder, scanned=scan(folder, ignore=Ignore(), batch_rows=rows))
    assert sorted(ours) == sorted((each.how, each.path) for each in diff_trees(before, after, renames=False))


def test_the_bundle_that_a_folder_came_from_can_be_guessed(shelf: Shelf, folder: Path) -> None:
    came_from, other = shelf.bundle(ITEMS), shelf.bundle({**ITEMS, "a/x": b"other"})
    (folder / "mine").touch()
    assert guess_base([other, came_from], folder) is came_from
    (folder / "a/x").write_text("edited")
    assert guess_base([other, came_from], folder) is None


def test_what_was_downloaded_need_not_be_read(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    tree = shelf.bundle(ITEMS)
    (folder / "a/y").write_text("z")  # of the same size, but not of the same time
    cache = StatCache.open(tmp_path / "cache", folder, LATER)
    learn(tree, folder, cache)
    assert cache.save()
    again = StatCache.open(tmp_path / "cache", folder, LATER)
    assert found(tree, folder, cache=again) == [("modified", "a/y")]
    assert again.news == 1
