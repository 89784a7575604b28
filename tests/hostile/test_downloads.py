"""Whatever a bundle says its files are called, nothing outside of the destination is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from blake3 import blake3
from tests.hostile.builders import Hostile

from sheaf.engine.manifest.rows import folder_entry, symlink_entry
from sheaf.errors import Corrupt, Refused, SheafError, Unsupported
from sheaf.model.entries import ChunkPlace, ExternalPlace, Kind, ManifestEntry, ObjectPlace

EMPTY = blake3(b"").digest()


def file(folder: str, name: str) -> ManifestEntry:
    """A file of no bytes."""
    return ManifestEntry(folder, name, Kind.FILE, content=EMPTY)


def fails(store: Hostile, id: str, dest: Path) -> SheafError:
    """Download, check that nothing came of it beside the destination, and return the one line that was said."""
    outside = {path for path in dest.parent.rglob("*") if dest not in path.parents}
    with pytest.raises(SheafError) as info:
        store.repo().bundle(id).download(dest)
    assert "\n" not in info.value.message
    left = {path for path in dest.parent.rglob("*") if dest not in path.parents}
    assert all(".sheaf-partial" in str(path) or path == dest for path in left - outside)
    return info.value


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    inside = tmp_path / "around" / "dest"
    inside.parent.mkdir()
    return inside


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b", "n" * 256])
def test_names_that_are_none(name: str, dest: Path) -> None:
    store = Hostile()
    assert isinstance(fails(store, store.rows(file("", name)), dest), Corrupt)


@pytest.mark.parametrize(
    "folder", ["..", "/", "/etc", "a/../../b", "a/../b", "./a", "a//b", "a/", "a/.", "a\0/b", "../" * 50, "d/" * 3000]
)
def test_folders_that_lead_out(folder: str, dest: Path) -> None:
    store = Hostile()
    assert isinstance(fails(store, store.rows(file(folder, "x")), dest), Corrupt)


@pytest.mark.parametrize(
    "name", ["back\\slash", "..\\..\\x", "C:\\x", "\x1b[2Jx", "new\nline", "-rf", "~", "$HOME", "…"]
)
def test_odd_names_are_only_names(name: str, dest: Path) -> None:
    store = Hostile()
    store.repo().bundle(store.rows(file("", name))).download(dest)
    assert [path.name for path in dest.iterdir()] == [name]


def test_a_file_behind_a_symlink_of_the_same_bundle(dest: Path) -> None:
    store = Hostile()
    outside = dest.parent / "outside"
    outside.mkdir()
    for target in ("../outside", str(outside), "."):
        id = store.rows(symlink_entry("d", target), file("d", "x"))
        assert isinstance(fails(store, id, dest), Refused)
        assert not list(outside.iterdir())


def test_chains_of_symlinks_lead_nowhere(dest: Path) -> None:
    store = Hostile()
    links = [symlink_entry(f"l{n:02}", f"l{n + 1:02}") for n in range(60)]
    id = store.rows(*links, symlink_entry("l60", "l00"), file("l00", "x"))
    assert isinstance(fails(store, id, dest), Refused)


def test_a_symlink_that_stands_in_the_destination(dest: Path) -> None:
    store = Hostile()
    outside = dest.parent / "outside"
    outside.mkdir()
    dest.mkdir()
    (dest / "d").symlink_to(outside)
    id = store.rows(folder_entry("d"), file("d", "x"))
    for force in (False, True):
        with pytest.raises(Refused):
            store.repo().bundle(id).download(dest, force=force)
        assert not list(outside.iterdir())


def test_a_symlink_in_the_place_of_the_partial_folder(dest: Path) -> None:
    store = Hostile()
    outside = dest.parent / "outside"
    outside.mkdir()
    (dest.parent / ".dest.sheaf-partial").symlink_to(outside)
    with pytest.raises(SheafError):
        store.repo().bundle(store.rows(file("", "x"))).download(dest)
    assert not list(outside.iterdir())


def test_an_update_does_not_follow_a_symlink_that_a_bundle_brought(dest: Path) -> None:
    store = Hostile()
    outside = dest.parent / "outside"
    outside.mkdir()
    first = store.rows(symlink_entry("d", str(outside)))
    second = store.rows(folder_entry("d"), file("d", "x"))
    both = store.rows(symlink_entry("d", str(outside)), file("d", "x"))
    repo = store.repo()
    repo.bundle(first).download(dest)
    with pytest.raises(SheafError):
        repo.bundle(both).update(dest, force=True)
    assert not list(outside.iterdir())
    repo.bundle(second).update(dest, force=True)
    assert (dest / "d" / "x").is_file()
    assert not (dest / "d").is_symlink()
    assert not list(outside.iterdir())


def test_two_rows_of_one_name(dest: Path) -> None:
    store = Hostile()
    fails(store, store.rows(file("", "x"), file("", "x")), dest)


def test_rows_out_of_order_are_files_or_refused(dest: Path) -> None:
    store = Hostile()
    id = store.rows(file("", "b"), file("", "a"))
    try:
        store.repo().bundle(id).download(dest)
    except SheafError:
        return
    assert {path.name for path in dest.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("target", ["", "a\0b"])
def test_symlinks_to_nothing(target: str, dest: Path) -> None:
    store = Hostile()
    raw = target.encode()
    link = ManifestEntry("", "l", Kind.SYMLINK, 0o777, size=len(raw), content=blake3(raw).digest(), target=target)
    assert isinstance(fails(store, store.rows(link), dest), Corrupt)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/", "s3://b/k", "../x", "", "\0"])
def test_places_elsewhere_are_not_fetched(url: str, dest: Path) -> None:
    store = Hostile()
    id = store.rows(ManifestEntry("", "x", Kind.EXTERNAL, size=5, content=EMPTY, place=ExternalPlace(url)))
    assert isinstance(fails(store, id, dest), Unsupported if "://" in url else Corrupt)


@pytest.mark.parametrize("session", ["../../sheaf.json", "/etc/passwd", "..", "a/b", ""])
def test_objects_that_lead_out_of_the_store(session: str, dest: Path) -> None:
    store = Hostile()
    id = store.rows(ManifestEntry("", "x", Kind.FILE, size=5, content=EMPTY, place=ObjectPlace(session)))
    fails(store, id, dest)


@pytest.mark.parametrize(("offset", "stored"), [(0, 0), (0, 2**32 - 1), (2**32 - 1, 1), (2**32 - 1, 2**32 - 1)])
@pytest.mark.parametrize("size", [1, 2**40, 2**63 - 1])
def test_places_out_of_range(offset: int, stored: int, size: int, dest: Path) -> None:
    store = Hostile()
    good = next(iter(store.repo().bundle(None).tree.entries()))
    assert isinstance(good.place, ChunkPlace)
    place = ChunkPlace(good.place.pack, offset, stored)
    id = store.rows(ManifestEntry("", "x", Kind.FILE, size=size, content=good.content, place=place))
    assert isinstance(fails(store, id, dest), Corrupt)


@pytest.mark.parametrize("mtime", [-(2**63), 2**63 - 1, -1])
def test_times_at_the_ends(mtime: int, dest: Path) -> None:
    store = Hostile()
    id = store.rows(ManifestEntry("", "x", Kind.FILE, mode=0o7777, mtime=mtime, content=EMPTY))
    try:
        store.repo().bundle(id).download(dest)
    except SheafError as error:
        assert "\n" not in error.message
    else:
        assert (dest / "x").stat().st_mode & 0o7000 == 0


def test_the_deepest_folders_that_there_can_be(dest: Path) -> None:
    store = Hostile()
    folders = ["/".join(["d"] * depth) for depth in range(1, 2048)]
    id = store.rows(*(folder_entry(folder) for folder in folders), file("/".join(["d"] * 2047), "x"))
    try:
        store.repo().bundle(id).download(dest)
        assert (dest / "d").is_dir()
    finally:
        subprocess.run(["rm", "-rf", str(dest.parent)], check=True)  # shutil.rmtree recurses
