"""Holes of files survive a download, an update and a copy; what is in the files is the same in any case."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.conftest import Cli

import sheaf
from sheaf.cli.verbs import SHEAF
from sheaf.cli.verbs import sheaf as tree
from sheaf.transfer.download.files.sparse import end_sparse, write_sparse

MIB = 1 << 20


def blocks_of(path: Path) -> int:
    """The bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


@pytest.fixture
def holes(tmp_path: Path) -> Path:
    """A folder with a file that begins and ends with a hole, on a file system that has any."""
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "hole").open("wb") as file:
        file.seek(16 * MIB)
        file.write(os.urandom(MIB + 1))
        file.truncate(40 * MIB)
    if blocks_of(folder / "hole") > 8 * MIB:
        pytest.skip("root may mount a file system with holes, but this one has none")
    return folder


def test_holes_come_out_as_holes(holes: Path, tmp_path: Path) -> None:
    with sheaf.init(str(tmp_path / "s"), probe=False) as store:
        bundle = store.create_repo("r").upload(holes, message="m").bundle
        bundle.download(tmp_path / "out")
    assert (tmp_path / "out/hole").read_bytes() == (holes / "hole").read_bytes()
    assert blocks_of(tmp_path / "out/hole") < 8 * MIB


def test_a_copy_of_one_file_has_holes_too(holes: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    cli = Cli(tmp_path / "home", tree, SHEAF)
    cli("repo", "create", "--repo", "r")
    cli("bundle", "upload", "--repo", "r", "--path", holes, "--message", "m")
    cli("cp", "r@main:hole", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (holes / "hole").read_bytes()
    assert blocks_of(tmp_path / "copy") < 8 * MIB


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([b"\0", b"x"]), st.integers(0, 200_000)), max_size=4).map(
            lambda runs: b"".join(byte * count for byte, count in runs)
        ),
        max_size=4,
    )
)
def test_any_blocks_are_written_as_they_are(blocks: list[bytes]) -> None:
    fd = os.memfd_create("sparse")
    try:
        for block in blocks:
            write_sparse(fd, block)
        end_sparse(fd)
        assert os.pread(fd, 2 * MIB, 0) == b"".join(blocks)
    finally:
        os.close(fd)
