"""A label that is set already moves only where somebody asks for it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from tests.cli.data import change


def _label_at(cli: Cli) -> str:
    return cli("label", "get", "--repo", "faces", "--label", "init").lines[0].split("\t")[1]


def test_an_upload_does_not_move_a_label(cli: Cli, data: Path, faces: str) -> None:
    change(data)
    upload = ("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--label", "init")
    refused = cli(*upload, code=4)
    assert f"label 'init' already points to bundle {faces}" in refused.err and "--move-label" in refused.err
    assert len(cli("bundle", "list", "--repo", "faces").lines) == 1
    assert _label_at(cli) == faces
    moved = cli(*upload, "--move-label").lines
    assert moved[1] == f"moved label 'init' from {faces}"
    assert _label_at(cli) == moved[0].removeprefix("Uploaded bundle id:")


def test_an_unchanged_upload_keeps_the_label_that_it_has(cli: Cli, data: Path, faces: str) -> None:
    upload = (
        "bundle",
        "upload",
        "--repo",
        "faces",
        "--path",
        data,
        "--message",
        "m",
        "--if-changed",
        "--label",
        "init",
    )
    assert cli(*upload).lines[0] == f"Unchanged bundle id:{faces}"
    change(data)
    cli(*upload, code=4)
    second = cli(*upload[:-2]).lines[0].removeprefix("Uploaded bundle id:")
    cli(*upload, code=4)
    assert cli(*upload, "--move-label").lines == [f"Unchanged bundle id:{second}", f"moved label 'init' from {faces}"]
    assert _label_at(cli) == second


def test_a_diamond_does_not_move_a_label_and_can_be_committed_still(cli: Cli, data: Path, faces: str) -> None:
    diamond = cli("diamond", "initialize", "--repo", "faces").lines[0]
    cli("diamond", "split", "add", "--repo", "faces", "--diamond", diamond, "--path", data)
    commit = ("diamond", "commit", "--repo", "faces", "--diamond", diamond, "--message", "m", "--label", "init")
    assert "--move-label" in cli(*commit, code=4).err
    assert cli(*commit, "--move-label").lines[1] == f"moved label 'init' from {faces}"
    assert _label_at(cli) == diamond


def test_a_diamond_without_files_is_a_bundle_only_if_told_so(cli: Cli, faces: str, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    diamond = cli("diamond", "initialize", "--repo", "faces").lines[0]
    cli("diamond", "split", "add", "--repo", "faces", "--diamond", diamond, "--path", tmp_path / "void")
    commit = ("diamond", "commit", "--repo", "faces", "--diamond", diamond, "--message", "m")
    assert "--allow-empty" in cli(*commit, code=5).err
    cli(*commit, "--allow-empty")


def test_datamon_moves_labels_as_upstream_does(datamon: Cli, cli: Cli, data: Path, faces: str) -> None:
    change(data)
    datamon("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--label", "init")
    assert _label_at(cli) != faces


def test_label_set_moves_since_that_is_its_job(cli: Cli, data: Path, faces: str) -> None:
    second = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m").lines[0]
    cli("label", "set", "--repo", "faces", "--label", "init", "--bundle", "main")
    assert _label_at(cli) == second.removeprefix("Uploaded bundle id:")
