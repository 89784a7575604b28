from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sheaf.errors import Corrupt
from sheaf.transfer.local.dirfd import FOLDER_FLAGS, Anchor


@pytest.fixture
def root(removable: Path) -> Iterator[int]:
    fd = os.open(removable, FOLDER_FLAGS)
    yield fd
    os.close(fd)


def where(fd: int) -> os.stat_result:
    return os.fstat(fd)


def test_folders_are_found_and_made(root: int, removable: Path) -> None:
    with Anchor(root) as anchor:
        for path in ("a/b/c", "a/b", "", "a/x", "a/b/c", "z"):
            assert os.path.samestat(where(anchor.folder(path, make=True)), (removable / path).stat())


def test_a_missing_folder_is_not_made_unasked(root: int) -> None:
    with Anchor(root) as anchor, pytest.raises(FileNotFoundError):
        anchor.folder("a/b")


@pytest.mark.parametrize("make", [True, False])
def test_links_are_never_followed(root: int, removable: Path, make: bool) -> None:
    (removable / "real").mkdir()
    (removable / "link").symlink_to("real")
    (removable / "dangling").symlink_to("nowhere")
    with Anchor(root) as anchor:
        for path in ("link", "link/x", "dangling", "dangling/x"):
            with pytest.raises(OSError):
                anchor.folder(path, make=make)
    assert list((removable / "real").iterdir()) == []


@pytest.mark.parametrize("path", ["..", "a/../..", ".", "a//b", "/etc", "a/"])
def test_ways_out_are_damage(root: int, path: str) -> None:
    with Anchor(root) as anchor, pytest.raises(Corrupt):
        anchor.folder(path, make=True)


def test_depth_needs_no_more_than_some_descriptors(root: int, removable: Path) -> None:
    deep = "/".join("d" * 1000)
    with Anchor(root) as anchor:
        before = len(os.listdir("/dev/fd"))
        anchor.folder(deep, make=True)
        fd = anchor.folder(deep)
        assert len(os.listdir("/dev/fd")) - before < 50
        os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        assert os.listdir(anchor.folder(deep)) == ["x"]
        assert os.listdir(anchor.folder(deep[:-2])) == ["d"]
        assert os.listdir(anchor.folder("")) == ["d"]
    assert len(os.listdir("/dev/fd")) == before


def test_all_descriptors_are_given_back(root: int) -> None:
    before = len(os.listdir("/dev/fd"))
    with Anchor(root) as anchor:
        anchor.folder("a/b/c", make=True)
        anchor.folder("a/d", make=True)
        with pytest.raises(FileNotFoundError):
            anchor.folder("a/no/x")
    assert len(os.listdir("/dev/fd")) == before


def test_the_way_to_a_deep_folder_is_not_walked_from_the_root_each_time(
    root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ["d"] * 1000
    down = ["/".join(parts[:depth]) for depth in range(1, 1001)]
    with Anchor(root) as anchor:
        for path in down:
            anchor.folder(path, make=True)
        opened, real = [0], os.open

        def counting(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            opened[0] += 1
            return real(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", counting)
        for path in (*down, *reversed(down)):
            anchor.folder(path)
        assert opened[0] < 64 * len(down)
