from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.transfer.bundles import MTIME, File, Folder, Item, Link, Shelf, look

from sheaf.engine.chunks.bulk.gather import WHOLE
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.errors import Corrupt, InvalidInput, NoSpace, NotFound, Refused, SheafError
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.storage.port import Buffer
from sheaf.transfer.download import download as downloading
from sheaf.transfer.download.download import download
from sheaf.transfer.local.name_collisions import Folding
from sheaf.transfer.progress import Meter

BIG = random.Random(5).randbytes(WHOLE + (1 << 20))  # too large to be written from memory
ITEMS: dict[str, Item] = {
    "readme": File(b"hello", 0o640),
    "run.sh": File(b"#!/bin/sh\n", 0o755),
    "secret": File(b"x", 0o400, MTIME + 1),
    "open": File(b"x", 0o666),
    "empty": File(b""),
    "big.bin": File(BIG, 0o444),
    "a/b/c/deep": File(b"deep", 0o600, -5_000_000_001),
    "a/x": File(b"x"),
    "a-b/x": File(b"x"),
    "link": Link("a/x", MTIME + 7),
    "dangling": Link("/no/where"),
    "up": Link("../.."),
    "void": Folder(0o750, MTIME + 3),
    "locked": Folder(0o555, MTIME + 4),
    "locked/inner": Folder(0o500, MTIME + 5),
    "locked/inner/x": File(b"x", 0o444),
    "line\nbreak": File(b"x"),
    "n\u0303": File(b"nfd"),
    "\u00f1": File(b"nfc"),
    "x" * 255: File(b"x"),
}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def dest(removable: Path) -> Path:
    return removable / "out"


def expected(items: dict[str, Item]) -> dict[str, Item]:
    from sheaf.model.paths import ancestors

    folders: dict[str, Item] = {folder: Folder() for path in items for folder in ancestors(path)}
    return folders | items


def only_there(dest: Path) -> bool:
    """Nothing of ours is left, in the destination or beside it."""
    return [path.name for path in dest.parent.iterdir()] == [dest.name] and not (dest / ".sheaf-partial").exists()


class Counting(Contents):
    """Counts what is fetched; can stop after some files, as a kill would."""

    def __init__(self, shelf: Shelf, stop_after: int | None = None) -> None:
        super().__init__(shelf.core)
        self.fetched: list[str] = []
        self.bytes = 0
        self.stop_after = stop_after

    def gathered_files(self, batch: pa.RecordBatch, *told: Any) -> Iterator[tuple[int, Buffer]]:
        for row, data in super().gathered_files(batch, *told):
            self._count(batch["name"][row].as_py(), data)
            yield row, data

    def block_groups(self, entry: ManifestEntry, start: int = 0) -> Iterator[Sequence[Buffer]]:
        for blocks in super().block_groups(entry, start):
            for block in blocks:
                self._count(entry.name, block)
            yield blocks

    def _count(self, name: str, data: Buffer) -> None:
        if self.stop_after is not None and len(self.fetched) >= self.stop_after:
            raise KeyboardInterrupt
        self.fetched.append(name)
        self.bytes += len(data)


# -- what comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
def test_everything_comes_out_as_it_went_in(shelf: Shelf, dest: Path, exists: bool) -> None:
    if exists:
        dest.mkdir()
    done = download(shelf.bundle(ITEMS), shelf.contents, dest)
    assert look(dest) == expected(ITEMS)
    files = [item for item in ITEMS.values() if not isinstance(item, Folder)]
    assert done.files == len(files)
    assert done.bytes == sum(len(item.content) for item in files if isinstance(item, File))
    assert done.resumed == 0
    assert only_there(dest)


def test_modes_do_not_depend_on_the_umask(shelf: Shelf, dest: Path) -> None:
    before = os.umask(0o077)
    try:
        download(shelf.bundle(ITEMS), shelf.contents, dest)
    finally:
        os.umask(before)
    assert look(dest) == expected(ITEMS)


def test_dangerous_bits_are_never_restored(shelf: Shelf, dest: Path) -> None:
    items: list[dict[str, Item]] = [{"x": File(b"x", 0o6755)}, {"d": Folder(0o3777)}]
    for each in items:  # no writer of ours makes such rows
        with pytest.raises(Corrupt, match="bits other than permissions"):
            download(shelf.bundle(each), shelf.contents, dest)
        assert not list(dest.glob("*"))


def test_an_empty_bundle_makes_an_empty_folder(shelf: Shelf, dest: Path) -> None:
    assert download(shelf.bundle({}), shelf.contents, dest).files == 0
    assert only_there(dest)
    assert list(dest.iterdir()) == []


def test_many_files_in_many_folders(shelf: Shelf, dest: Path) -> None:
    items: dict[str, Item] = {f"d{i % 40}/e{i % 7}/f{i}": File(str(i).encode()) for i in range(5000)}
    assert download(shelf.bundle(items), shelf.contents, dest, concurrency=3).files == 5000
    assert look(dest) == expected(items)


def test_a_very_deep_path(shelf: Shelf, dest: Path) -> None:
    deep = "/".join("d" * 1200) + "/x"
    download(shelf.bundle({deep: b"deep"}), shelf.contents, dest)
    fd = os.open(dest, os.O_RDONLY)
    os.close(fd)
    assert only_there(dest)
    assert download(shelf.bundle({deep: b"deep"}), shelf.contents, dest).resumed == 1
    with pytest.raises(Refused):
        download(shelf.bundle({deep: b"other"}), shelf.contents, dest)


def test_the_destination_may_be_a_link_or_relative(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = shelf.bundle({"x": b"x"})
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    download(tree, shelf.contents, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "x").read_bytes() == b"x"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    download(tree, shelf.contents, Path("."))
    download(tree, shelf.contents, Path("sub/../two"))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "here", "here/two", "here/two/x", "here/x", "link", "real", "real/x",
    ]  # fmt: skip


def test_a_name_too_long_to_stand_beside_itself(shelf: Shelf, tmp_path: Path) -> None:
    dest = tmp_path / ("o" * 250)
    download(shelf.bundle({"x": b"x"}), shelf.contents, dest)
    assert (dest / "x").exists()
    assert only_there(dest)


def test_progress_counts_files_and_bytes(shelf: Shelf, dest: Path) -> None:
    meter = Meter()
    done = download(shelf.bundle(ITEMS), shelf.contents, dest, meter=meter)
    assert (meter.state.files, meter.state.bytes) == (done.files, done.bytes)


# -- parts -------------------------------------------------------------------------------------------------------------

TRAIN: dict[str, Item] = {
    "train/cat/1.jpg": b"1",
    "train/cat/2.jpg": b"2",
    "train/dog/1.jpg": b"3",
    "train/void": Folder(),
    "test/1.jpg": b"4",
    "readme": b"5",
}


def names(dest: Path) -> list[str]:
    return sorted(look(dest))


def test_a_path_names_the_folder_that_the_destination_becomes(shelf: Shelf, dest: Path) -> None:
    done = download(shelf.bundle(TRAIN), shelf.contents, dest, path="train/")
    assert names(dest) == ["cat", "cat/1.jpg", "cat/2.jpg", "dog", "dog/1.jpg", "void"]
    assert done.files == 3


def test_a_path_may_name_one_file(shelf: Shelf, dest: Path) -> None:
    dest.mkdir()
    (dest / "other").touch()
    download(shelf.bundle(TRAIN), shelf.contents, dest, path="train/cat/1.jpg")
    assert names(dest) == ["1.jpg", "other"]
    assert (dest / "1.jpg").read_bytes() == b"1"


def test_a_filter_is_searched_for_in_paths(shelf: Shelf, dest: Path) -> None:
    tree = shelf.bundle({**TRAIN, "train/cat": Folder(0o700, 5), "train/cat/l": Link("x")})
    download(tree, shelf.contents, dest, name_filter=r"cat/(1|l)")
    assert names(dest) == ["train", "train/cat", "train/cat/1.jpg", "train/cat/l"]
    assert look(dest)["train/cat"] == Folder(0o700, 5)


def test_files_come_under_their_full_paths(shelf: Shelf, dest: Path) -> None:
    tree = shelf.bundle({**TRAIN, "train/cat": Folder(0o700, 5)})
    download(tree, shelf.contents, dest, files=["train/cat/1.jpg", "./readme", "readme"])
    assert names(dest) == ["readme", "train", "train/cat", "train/cat/1.jpg"]
    assert look(dest)["train/cat"] == Folder(0o700, 5)


def test_a_listed_folder_comes_with_all_in_it(shelf: Shelf, dest: Path) -> None:
    download(shelf.bundle(TRAIN), shelf.contents, dest, files=["train/cat/1.jpg", "train/cat", "train/void"])
    assert names(dest) == ["train", "train/cat", "train/cat/1.jpg", "train/cat/2.jpg", "train/void"]


def test_files_can_be_added_one_after_the_other(shelf: Shelf, dest: Path) -> None:
    tree = shelf.bundle({**TRAIN, "train": Folder(0o700, 5)})
    download(tree, shelf.contents, dest, files=["train/cat/1.jpg"])
    os.chmod(dest / "train", 0o711)
    download(tree, shelf.contents, dest, files=["train/dog/1.jpg"])
    assert names(dest) == ["train", "train/cat", "train/cat/1.jpg", "train/dog", "train/dog/1.jpg"]
    assert stat.S_IMODE((dest / "train").stat().st_mode) == 0o711, "a folder that was there keeps its mode"
    with pytest.raises(Refused, match=r"train/cat/1\.jpg already exists"):
        download(tree, shelf.contents, dest, files=["train/cat/1.jpg"])
    (dest / "train/cat/1.jpg").write_text("mine")
    download(tree, shelf.contents, dest, files=["train/cat/1.jpg"], force=True)
    assert (dest / "train/cat/1.jpg").read_bytes() == b"1"
    assert only_there(dest)


@pytest.mark.parametrize("options", [{"path": "nope"}, {"files": ["train/nope"]}, {"path": "readme/x"}])
def test_what_the_bundle_does_not_have_is_named(shelf: Shelf, dest: Path, options: dict[str, object]) -> None:
    with pytest.raises(NotFound, match=r"nope|readme/x"):
        download(shelf.bundle(TRAIN), shelf.contents, dest, **options)  # type: ignore[arg-type]
    assert list(dest.parent.iterdir()) == []


@pytest.mark.parametrize("options", [{"name_filter": "("}, {"path": "../x"}, {"files": ["/x"]}, {"concurrency": 0}])
def test_nonsense_is_refused(shelf: Shelf, dest: Path, options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        download(shelf.bundle(TRAIN), shelf.contents, dest, **options)  # type: ignore[arg-type]


# -- what is there already ---------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused_and_untouched(shelf: Shelf, dest: Path) -> None:
    dest.mkdir()
    (dest / "mine").write_text("mine")
    with pytest.raises(Refused, match="not empty"):
        download(shelf.bundle(TRAIN), shelf.contents, dest)
    assert look(dest).keys() == {"mine"}
    assert only_there(dest)


@pytest.mark.parametrize("change", ["content", "more", "fewer", "kind", "executable", "size"])
def test_a_folder_that_is_the_bundle_already_stays_and_any_other_is_refused(
    shelf: Shelf, dest: Path, change: str
) -> None:
    tree = shelf.bundle(TRAIN)
    first = download(tree, shelf.contents, dest)
    before = look(dest)
    contents = Counting(shelf)
    again = download(tree, contents, dest)
    assert (again.files, again.bytes, again.resumed) == (first.files, first.bytes, first.files)
    assert not contents.fetched and look(dest) == before and only_there(dest)
    file = next(path for path in sorted(dest.rglob("*")) if path.is_file() and path.stat().st_size)
    if change == "content":
        file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    elif change == "size":
        file.write_bytes(file.read_bytes() + b"x")
    elif change == "more":
        (dest / "mine").write_text("mine")
    elif change == "executable":
        file.chmod(file.stat().st_mode ^ 0o111)
    else:
        file.unlink()
    if change == "kind":
        file.mkdir()
    with pytest.raises(Refused, match="not empty"):
        download(tree, shelf.contents, dest)


def test_force_overwrites_files_and_leaves_others(shelf: Shelf, dest: Path) -> None:
    (dest / "train/cat").mkdir(parents=True)
    (dest / "train/cat/1.jpg").write_text("old")
    (dest / "train/cat/mine").write_text("mine")
    (dest / "readme").symlink_to("train/cat/mine")
    download(shelf.bundle(TRAIN), shelf.contents, dest, force=True)
    assert (dest / "train/cat/1.jpg").read_bytes() == b"1"
    assert (dest / "train/cat/mine").read_text() == "mine", "a link in the way is replaced, not followed"
    assert not (dest / "readme").is_symlink()
    assert only_there(dest)


@pytest.mark.parametrize("force", [True, False])
def test_folders_and_files_never_take_each_others_place(shelf: Shelf, dest: Path, force: bool) -> None:
    tree = shelf.bundle({"a/x": b"x", "b": b"b"})
    spoilers: list[Callable[[], None]] = [
        lambda: (dest / "a").touch(),
        lambda: (dest / "b").mkdir(),
        lambda: (dest / "a").symlink_to("b"),
    ]
    for spoil in spoilers:
        subprocess.run(["rm", "-rf", str(dest)], check=True)
        dest.mkdir()
        spoil()
        before = look(dest)
        with pytest.raises(Refused):
            download(tree, shelf.contents, dest, files=["a", "b"], force=force)
        assert look(dest) == before
        assert only_there(dest)


def test_a_link_in_the_destination_is_never_followed(shelf: Shelf, dest: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    dest.mkdir()
    (dest / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(Refused):
        download(shelf.bundle({"a/x": b"x"}), shelf.contents, dest, force=True)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_is_no_destination(shelf: Shelf, dest: Path) -> None:
    dest.touch()
    with pytest.raises(InvalidInput, match="is not a folder"):
        download(shelf.bundle(TRAIN), shelf.contents, dest)
    with pytest.raises(SheafError):
        download(shelf.bundle(TRAIN), shelf.contents, dest / "below")


# -- hostile bundles ---------------------------------------------------------------------------------------------------


def row(folder: str, name: str, kind: Kind = Kind.FILE, target: str | None = None) -> dict[str, object]:
    return {"folder": folder, "name": name, "kind": kind, "mode": 0o644, "mtime": 0, "target": target}


@pytest.mark.parametrize(
    "rows",
    [
        [row("", "..", Kind.FOLDER), row("..", "evil")],
        [row("..", "evil")],
        [row("", "../evil")],
        [row("", "/tmp/evil")],
        [row("", "..")],
        [row("", ".")],
        [row("", "")],
        [row("", "e\0vil")],
        [row("/tmp", "evil")],
        [row("a/../..", "evil")],
        [row("", "link", Kind.SYMLINK, "nul\0")],
        [row("", "link", Kind.SYMLINK, "")],
        [row("", "link", Kind.SYMLINK, "..", ), row("link", "evil")],
        [row("", "link", Kind.SYMLINK, ".."), row("", "link", Kind.FOLDER), row("link", "evil")],
        [row("", "x"), row("", "x", Kind.FOLDER), row("x", "evil")],
    ],
)  # fmt: skip
def test_nothing_is_written_outside_the_destination(
    shelf: Shelf, tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    dest = tmp_path / "in" / "out"
    dest.parent.mkdir()
    with pytest.raises((Corrupt, Refused)):
        download(shelf.tree(rows), shelf.contents, dest)
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]
    assert not any(path.name == "evil" for path in tmp_path.rglob("*") if ".sheaf-partial" not in str(path))
    assert not Path("/tmp/evil").exists()


def test_bytes_that_are_damaged_are_never_handed_out(shelf: Shelf, dest: Path) -> None:
    tree = shelf.bundle({"a": b"good", "b": BIG})
    shelf_objects = shelf.backend._shelf.objects  # type: ignore[attr-defined]
    for key in [key for key in shelf_objects if key.startswith("packs/")]:
        data = bytearray(shelf_objects[key])
        data[len(data) // 2] ^= 1
        shelf_objects[key] = bytes(data)
    with pytest.raises(Corrupt):
        download(tree, shelf.contents, dest)
    assert not dest.exists()


# -- names that become one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("data/A", "data/a"), ("d\u00e9", "de\u0301")])
def test_names_that_become_one_are_refused_naming_both(
    shelf: Shelf, dest: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    tree = shelf.bundle({first: b"1", second: b"2"})
    monkeypatch.setattr(downloading, "probe_folding", lambda fd: Folding(case=True, form=True))
    contents = Counting(shelf)
    with pytest.raises(Refused) as caught:
        download(tree, contents, dest)
    assert first in str(caught.value) and second in str(caught.value)
    assert contents.fetched == []
    assert list(dest.parent.iterdir()) == []
    download(tree, contents, dest, files=[first])
    assert (dest / first).read_bytes() == b"1"


# -- full disks --------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_named_and_the_next_try_goes_on(shelf: Shelf, tiny: Path) -> None:
    items: dict[str, Item] = {f"f{i:03}": random.Random(i).randbytes(20_000) for i in range(60)}
    tree = shelf.bundle(items)
    with pytest.raises(NoSpace, match=r"can't write f"):
        download(tree, shelf.contents, tiny / "out")
    assert not (tiny / "out").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", str(tiny)], check=True)
    contents = Counting(shelf)
    done = download(tree, contents, tiny / "out")
    assert done.resumed > 20
    assert len(set(contents.fetched)) == 60 - done.resumed
    assert {path.name: path.read_bytes() for path in (tiny / "out").iterdir()} == items
    assert only_there(tiny / "out")


def test_a_mount_point_is_filled_from_inside(shelf: Shelf, tiny: Path) -> None:
    download(shelf.bundle(TRAIN), shelf.contents, tiny)
    assert names(tiny) == sorted(expected(TRAIN))
    assert only_there(tiny)


# -- interrupted downloads ---------------------------------------------------------------------------------------------


def test_what_was_fetched_is_not_fetched_again(shelf: Shelf, dest: Path) -> None:
    items: dict[str, Item] = {f"d{i % 3}/f{i}": str(i).encode() for i in range(100)}
    tree = shelf.bundle(items)
    with pytest.raises(KeyboardInterrupt):
        download(tree, Counting(shelf, stop_after=40), dest, concurrency=1)
    assert not dest.exists(), "a download that was stopped leaves nothing in the destination"
    contents = Counting(shelf)
    done = download(tree, contents, dest)
    assert done.files == 100
    assert done.resumed == 40
    assert len(contents.fetched) == 60
    assert look(dest) == look_of(items)
    assert only_there(dest)


def look_of(items: dict[str, Item]) -> dict[str, Item]:
    return {path: File(item) if isinstance(item, bytes) else item for path, item in expected(items).items()}


def test_a_large_file_goes_on_where_it_stopped(shelf: Shelf, dest: Path) -> None:
    tree = shelf.bundle({"big": BIG})
    with pytest.raises(KeyboardInterrupt):
        download(tree, Counting(shelf, stop_after=20), dest)
    contents = Counting(shelf)
    download(tree, contents, dest)
    assert 0 < contents.bytes < len(BIG)
    assert (dest / "big").read_bytes() == BIG


@pytest.mark.parametrize("spoil", ["flip", "grow", "link"])
def test_what_was_spoilt_meanwhile_is_fetched_again(shelf: Shelf, dest: Path, removable: Path, spoil: str) -> None:
    tree = shelf.bundle({"a": b"aaaa", "big": BIG, "z": Link("a")})
    with pytest.raises(KeyboardInterrupt):
        download(tree, Counting(shelf, stop_after=20), dest, concurrency=1)
    (removable / "victim").write_text("victim")
    for name in ("a", "big", "z"):
        file = removable / ".out.sheaf-partial" / "tree" / name
        if spoil == "flip" and not file.is_symlink():
            file.write_bytes(b"bbbb" if name == "a" else b"\0" * file.stat().st_size)
        elif spoil == "grow":
            file.unlink(missing_ok=True)
            file.write_bytes(BIG + b"more")
        elif spoil == "link":
            file.unlink(missing_ok=True)
            file.symlink_to(removable / "victim")
    download(tree, shelf.contents, dest)
    assert (dest / "a").read_bytes() == b"aaaa"
    assert (dest / "big").read_bytes() == BIG
    assert os.readlink(dest / "z") == "a"
    assert (removable / "victim").read_text() == "victim"


def test_another_download_does_not_go_on_with_it(shelf: Shelf, dest: Path) -> None:
    one, two = shelf.bundle({"a": b"1", "b": b"2"}), shelf.bundle({"b": b"3", "c": b"4"})
    with pytest.raises(KeyboardInterrupt):
        download(one, Counting(shelf, stop_after=1), dest, concurrency=1)
    done = download(two, shelf.contents, dest)
    assert done.resumed == 0
    assert names(dest) == ["b", "c"]
    assert only_there(dest)


def test_a_second_process_at_the_same_destination_is_refused(shelf: Shelf, dest: Path) -> None:
    tree = shelf.bundle({"a": b"1", "b": b"2"})

    class Reentrant(Counting):
        def gathered_files(self, batch: pa.RecordBatch, *told: Any) -> Iterator[tuple[int, Buffer]]:
            with pytest.raises(Refused, match="another process is downloading"):
                download(tree, shelf.contents, dest)
            yield from super().gathered_files(batch, *told)

    download(tree, Reentrant(shelf), dest)
    assert names(dest) == ["a", "b"]


@pytest.mark.parametrize("spoil", ["file", "link", "foreign", "open"])
def test_what_has_our_name_but_is_not_ours_is_left_alone(shelf: Shelf, dest: Path, removable: Path, spoil: str) -> None:
    partial = removable / ".out.sheaf-partial"
    (removable / "victim").mkdir()
    if spoil == "file":
        partial.write_text("mine")
    elif spoil == "link":
        partial.symlink_to("victim")
    else:
        partial.mkdir(mode=0o700)
        (partial / ("precious" if spoil == "foreign" else "lock")).touch()
        if spoil == "open":
            partial.chmod(0o777)
    with pytest.raises(Refused, match=r"\.out\.sheaf-partial"):
        download(shelf.bundle({"x": b"x"}), shelf.contents, dest)
    assert partial.exists()
    assert list((removable / "victim").iterdir()) == []
