"""Folders that are made equal to bundles, again and again, and what is said of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.data import change, tree_of


@pytest.fixture
def odd(cli: Cli, faces: str, tmp_path: Path) -> str:
    """The id of the one bundle of another repo."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/only").write_text("x")
    cli("repo", "create", "--repo", "odd")
    upload = cli("bundle", "upload", "--repo", "odd", "--path", tmp_path / "odd", "--message", "m")
    return upload.lines[0].removeprefix("Uploaded bundle id:")


def test_update_makes_a_missing_folder_and_can_be_run_again(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    copy = tmp_path / "deep/copy"
    update = ("bundle", "update", "--repo", "faces", "--destination", copy)
    made = cli(*update)
    assert made.out == f"Using bundle: {faces}\n"
    assert made.err.startswith("6 added, 0 modified, 0 deleted, ")
    assert tree_of(copy) == tree_of(data)
    assert cli(*update).err == "0 added, 0 modified, 0 deleted, 0 B written\n"


def test_update_knows_the_repo_of_a_folder(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    unknown = cli("bundle", "update", "--destination", copy, code=3)
    assert "unknown which repo" in unknown.err and "--repo REPO" in unknown.err
    cli("bundle", "download", "--repo", "faces", "--destination", copy)
    change(data)
    cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "second")
    cli("repo", "rename", "--repo", "faces", "people", "--yes")
    cli("bundle", "update", "--destination", copy)
    assert tree_of(copy) == tree_of(data)
    cli("bundle", "update", "--destination", copy, "--label", "init")
    cli("repo", "delete", "--repo", "people", "--yes")
    cli("bundle", "update", "--destination", copy, code=3)


def test_update_replaces_no_folder_of_another_repo_unless_told_so(
    cli: Cli, data: Path, odd: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    cli("bundle", "download", "--repo", "faces", "--destination", copy)
    before = tree_of(copy)
    update = ("bundle", "update", "--repo", "odd", "--destination", copy)
    for more in ((), ("--force",)):
        refused = cli(*update, *more, code=5)
        assert "of repo faces, not one of odd" in refused.err and "--switch-repo" in refused.err
    assert tree_of(copy) == before
    assert cli(*update, "--switch-repo").err.startswith("1 added, 0 modified, 6 deleted, ")
    assert [path.name for path in copy.iterdir()] == ["only"]
    cli("bundle", "update", "--destination", copy)


def test_a_folder_that_was_emptied_is_anybodys(cli: Cli, odd: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    cli("bundle", "download", "--repo", "faces", "--destination", copy)
    shutil.rmtree(copy)
    cli("bundle", "update", "--repo", "odd", "--destination", copy)
    assert [path.name for path in copy.iterdir()] == ["only"]


def test_datamon_replaces_it_as_upstream_does(cli: Cli, datamon: Cli, odd: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    cli("bundle", "download", "--repo", "faces", "--destination", copy)
    datamon("bundle", "update", "--repo", "odd", "--destination", copy)
    assert (copy / "only").exists() and not (copy / "labels.csv").exists()


def test_what_was_done_is_said_without_a_terminal_but_not_to_programs(
    cli: Cli, datamon: Cli, data: Path, faces: str, tmp_path: Path
) -> None:
    upload = ("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m")
    said = cli(*upload)
    assert len(said.lines) == 1
    assert said.err.startswith("6 files, ") and said.err.endswith(" new, 0 B stored\n")
    download = ("bundle", "download", "--repo", "faces", "--destination")
    assert cli(*download, tmp_path / "one").err.startswith("6 files, ")
    assert cli(*upload, "--json").err == cli(*download, tmp_path / "two", "--json").err == ""
    assert datamon(*upload).err == datamon(*download, tmp_path / "three").err == ""
