from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import InvalidInput, NotFound, Refused, SheafError
from sheaf.model.entries import Kind
from sheaf.model.paths import order_key
from sheaf.transfer.local import scan as scanning
from sheaf.transfer.local.scan import ScanBatch, Skipped, scan

NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..") and name not in scanning.OWN_NAMES
)

STATUS = ("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_dev", "st_ino")


def paths(batches: list[ScanBatch]) -> list[str]:
    return [batch.path(row) for batch in batches for row in range(len(batch))]


def found(root: Path, **options: object) -> list[str]:
    return paths(list(scan(root, **options)))  # type: ignore[arg-type]


def make(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4).map(tuple), max_size=20))
def test_rows_come_in_the_order_of_a_manifest_and_every_folder_has_one(tree: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for parts in tree:
            try:
                root.joinpath(*parts[:-1]).mkdir(parents=True, exist_ok=True)
                root.joinpath(*parts).touch()
            except OSError:
                continue  # a file where a folder should be
        batches = list(scan(root))
        keys = [order_key(b.folder[i], b.name[i]) for b in batches for i in range(len(b))]
        assert keys == sorted(set(keys))
        assert set(paths(batches)) == {str(path.relative_to(root)) for path in root.rglob("*")}


def test_folders_come_depth_first_and_compare_by_component(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "a-b/x", "a/b/x", "b")
    assert found(tmp_path) == ["a", "a-b", "b", "a/b", "a/x", "a/b/x", "a-b/x"]


def test_columns_tell_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("näh")
    os.chmod(tmp_path / "file", 0o4755)
    os.utime(tmp_path / "file", ns=(1, 1_234_567_891_234_567_891))
    (batch,) = scan(tmp_path)
    assert batch.name == ["file", "folder", "link"]
    assert batch.kind.tolist() == [Kind.FILE, Kind.FOLDER, Kind.SYMLINK]
    assert batch.mode.tolist() == [0o755, 0o700, 0o777]
    assert batch.size.tolist() == [5, 0, 4]
    assert batch.target == [None, None, "näh"]
    assert batch.mtime[0] == 1_234_567_891_234_567_891
    status = (tmp_path / "file").stat()
    assert (batch.dev[0], batch.ino[0], batch.ctime[0]) == (status.st_dev, status.st_ino, status.st_ctime_ns)


def test_times_beyond_what_fits_are_the_last_that_does() -> None:
    found = [SimpleNamespace(**dict.fromkeys(STATUS, 7) | {"st_mtime_ns": time}) for time in (1 << 63, -(1 << 70), 5)]
    _, size, mtime, ctime, _, _ = scanning._columns(found)  # type: ignore[arg-type]
    assert mtime.tolist() == [(1 << 63) - 1, -(1 << 63), 5]
    assert size.tolist() == ctime.tolist() == [7, 7, 7]


@pytest.mark.parametrize("inode", [1, (1 << 63) + 1, -1])
def test_inodes_have_all_of_their_bits(inode: int) -> None:
    found = [SimpleNamespace(**dict.fromkeys(STATUS, 7) | {"st_ino": inode, "st_dev": 9})]
    *_, dev, ino = scanning._columns(found)  # type: ignore[arg-type]
    assert (dev.tolist(), ino.tolist()) == ([9], [inode & ((1 << 64) - 1)])


def test_batches_are_bounded_and_continue_across_folders(tmp_path: Path) -> None:
    make(tmp_path, *(f"{folder}/{name}" for folder in "abc" for name in "wxyz"))
    batches = list(scan(tmp_path, batch_rows=3))
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 3]
    assert paths(batches) == [*"abc", *(f"{folder}/{name}" for folder in "abc" for name in "wxyz")]


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    assert list(scan(tmp_path)) == []


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "real/x")
    (tmp_path / "again").symlink_to("real")
    (tmp_path / "real" / "loop").symlink_to("..")
    assert found(tmp_path) == ["again", "real", "real/loop", "real/x"]


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    make(tmp_path, "real/x")
    (tmp_path / "link").symlink_to("real")
    assert found(tmp_path / "link") == ["x"]


@pytest.mark.parametrize("name", ["line\nbreak", "tab\t", "e\u0301", "\u00e9", " ", "-rf", "x" * 255, "*?[]"])
def test_odd_names_are_kept_exactly(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    assert found(tmp_path) == [name]


def test_what_others_leave_in_the_root_is_no_data(tmp_path: Path) -> None:
    make(tmp_path, ".datamon/a", ".conflicts/a", ".checkpoints/a", ".sheaf-partial/lock", "sub/.datamon/a")
    assert found(tmp_path) == ["sub", "sub/.datamon", "sub/.datamon/a"]
    assert ".datamon/a" not in found(tmp_path, files=[".datamon/a", "sub/.datamon/a"])


# -- what can't be in a bundle -----------------------------------------------------------------------------------------


def spoil_socket(root: Path) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket must be short
        try:
            sock.bind("bad")
        finally:
            os.chdir(here)
    return "bad is a socket"


def spoil_pipe(root: Path) -> str:
    os.mkfifo(root / "bad")
    return "bad is a named pipe"


def spoil_name(root: Path) -> str:
    (Path(os.fsdecode(os.fsencode(root) + b"/bad\xff"))).touch()
    return "not UTF-8"


def spoil_target(root: Path) -> str:
    os.symlink(b"to\xff", os.fsencode(root / "bad"))
    return "the target of symlink bad is not UTF-8"


SPOILERS = [spoil_socket, spoil_pipe, spoil_name, spoil_target]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_what_cannot_be_in_a_bundle_is_refused_by_name(tmp_path: Path, spoil: object) -> None:
    make(tmp_path, "good")
    reason = spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(InvalidInput) as caught:
        list(scan(tmp_path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_what_cannot_be_in_a_bundle_can_be_skipped(tmp_path: Path, spoil: object) -> None:
    make(tmp_path, "a/good", "z")
    reason = spoil(tmp_path)  # type: ignore[operator]
    skipped: list[Skipped] = []
    assert found(tmp_path, on_error=skipped.append) == ["a", "z", "a/good"]
    assert len(skipped) == 1
    assert skipped[0].path.startswith("bad")
    assert reason in skipped[0].reason
    skipped[0].path.encode()  # printable: no surrogates


@pytest.mark.parametrize("length", [4095, 4096])
def test_a_target_that_is_too_long_is_refused_or_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Other systems make longer links than Linux, of which Python reads the first 4,096 bytes."""
    make(tmp_path, "good")
    (tmp_path / "long").symlink_to("x")
    monkeypatch.setattr(os, "readlink", lambda *_, **__: "t" * length)
    skipped: list[Skipped] = []
    rows = found(tmp_path, on_error=skipped.append)
    if length == 4095:
        assert (rows, skipped) == (["good", "long"], [])
        return
    assert (rows, [item.path for item in skipped]) == (["good"], ["long"])
    assert "more than 4095 bytes" in skipped[0].reason
    with pytest.raises(InvalidInput, match="long"):
        found(tmp_path)


def test_a_path_that_is_too_long_is_refused_by_name(tmp_path: Path) -> None:
    name, here = "d" * 250, os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(17):
            os.mkdir(name)
            os.chdir(name)
    finally:
        os.chdir(here)
    skipped: list[Skipped] = []
    rows = found(tmp_path, on_error=skipped.append)
    assert skipped and len(rows) < 17
    with pytest.raises(InvalidInput):
        found(tmp_path)


def test_a_file_that_vanishes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a", "b")
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda fd: [*real(fd), "ghost"])
    with pytest.raises(NotFound, match="ghost"):
        found(tmp_path)
    skipped: list[Skipped] = []
    assert found(tmp_path, on_error=skipped.append) == ["a", "b"]
    assert [each.path for each in skipped] == ["ghost"]


@pytest.mark.parametrize(("name", "error"), [("missing", NotFound), ("file", InvalidInput), ("file/x", SheafError)])
def test_the_root_must_be_a_folder(tmp_path: Path, name: str, error: type[SheafError]) -> None:
    make(tmp_path, "file")
    with pytest.raises(error, match=name):
        scan(tmp_path / name)


def test_the_store_itself_is_never_entered(tmp_path: Path) -> None:
    make(tmp_path, "data/x", "store/packs/p")
    assert found(tmp_path, exclude=tmp_path / "store") == ["data", "data/x"]
    assert found(tmp_path, exclude=tmp_path / "elsewhere") == [
        "data",
        "store",
        "data/x",
        "store/packs",
        "store/packs/p",
    ]
    with pytest.raises(Refused, match="store itself"):
        scan(tmp_path / "store", exclude=tmp_path / "store")


# -- listed files ------------------------------------------------------------------------------------------------------


def test_listed_files_come_with_their_folders_only(tmp_path: Path) -> None:
    make(tmp_path, "a/b/x", "a/b/y", "a/z", "c/x", "d")
    assert found(tmp_path, files=["d", "a/b/x", "./d", "a/b/x", "", "a/b/"]) == ["a", "d", "a/b", "a/b/x"]


def test_nothing_listed_is_nothing(tmp_path: Path) -> None:
    make(tmp_path, "a")
    assert found(tmp_path, files=[]) == []


def test_a_listed_folder_is_its_row(tmp_path: Path) -> None:
    make(tmp_path, "a/x")
    assert found(tmp_path, files=["a"]) == ["a"]


def test_listed_files_that_are_missing_are_errors_or_skipped(tmp_path: Path) -> None:
    make(tmp_path, "a/x")
    with pytest.raises(NotFound, match="a/gone"):
        found(tmp_path, files=["a/x", "a/gone/y"])
    skipped: list[Skipped] = []
    assert found(tmp_path, files=["a/x", "no", "gone/y", "gone/z/w"], on_error=skipped.append) == ["a", "a/x"]
    assert sorted(each.path for each in skipped) == ["gone/y", "gone/z/w", "no"]


@pytest.mark.parametrize("way", ["link/x", "file/x"])
def test_listed_files_below_what_is_no_folder_are_refused(tmp_path: Path, way: str) -> None:
    make(tmp_path, "real/x", "file")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InvalidInput, match="is not a folder"):
        found(tmp_path, files=[way])


@pytest.mark.parametrize("bad", ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "/", "a\0b"])
def test_listed_paths_never_leave_the_root(tmp_path: Path, bad: str) -> None:
    make(tmp_path, "a/b")
    with pytest.raises(InvalidInput):
        found(tmp_path, files=[bad])


def test_absolute_paths_may_be_listed_below_the_root_of_the_machine(tmp_path: Path) -> None:
    make(tmp_path, "x")
    path = str(tmp_path.resolve() / "x")
    assert found(Path("/"), files=[path])[-1] == path.removeprefix("/")
