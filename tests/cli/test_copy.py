"""``sheaf cp``: into a branch, out of a bundle, from bundle to bundle."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.data import BUNDLE_ID, make_folder, tree_of


def test_cp_puts_files_into_a_branch(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("more")
    out = cli("cp", tmp_path / "more.txt", "faces@main:train/").out
    assert re.fullmatch(rf"Uploaded bundle id:{BUNDLE_ID}\n", out)
    assert cli("cat", "faces:train/more.txt").out == "more"
    cli("cp", tmp_path / "more.txt", "faces@main:train")
    cli("cp", tmp_path / "more.txt", "faces@main:other.txt", "--message", "renamed")
    assert cli("cat", "faces:other.txt").out == "more"
    assert cli("log", "faces", "--json").objects[0]["message"] == "renamed"
    cli("cp", data / "train", "faces@main:again", code=2)
    cli("cp", "-r", data / "train", "faces@main:again")
    assert cli("ls", "-R", "faces:again").lines == ["again/1.jpg", "again/deep/", "again/deep/ünï.txt"]
    cli("cp", tmp_path / "nope", "faces@main:x", code=3)
    cli("cp", tmp_path / "more.txt", tmp_path / "x", code=2)


def test_cp_makes_no_branch(cli: Cli, data: Path, faces: str) -> None:
    for ref in ("init", "label:init"):
        refused = cli("cp", data / "labels.csv", f"faces@{ref}:y", code=2)
        assert "'init' is a label of faces" in refused.err and "faces@main:PATH" in refused.err
    assert "sheaf branch create --repo faces --branch side" in cli("cp", "-r", data, "faces@side:y", code=3).err
    cli("cp", "faces@init:labels.csv", "faces@side:y", code=3)
    assert len(cli("branch", "list", "--repo", "faces").lines) == 1
    cli("branch", "create", "--repo", "faces", "--branch", "side")
    cli("cp", data / "labels.csv", "faces@side:y")
    cli("cp", data / "labels.csv", "faces@branch:side:z")
    assert {"y", "z"} <= set(cli("ls", "faces@side").lines)


def test_labels_and_branches_share_no_name(cli: Cli, data: Path, faces: str) -> None:
    refused = cli("label", "set", "--repo", "faces", "--label", "main", "--bundle", faces, code=4)
    assert "a branch 'main' already exists" in refused.err
    refused = cli("branch", "create", "--repo", "faces", "--branch", "init", code=4)
    assert "a label 'init' already exists" in refused.err
    upload = ("bundle", "upload", "--repo", "faces", "--path", data, "--message", "x")
    cli(*upload, "--branch", "init", code=4)
    cli(*upload, "--label", "main", code=4)
    cli(*upload, "--branch", "both", "--label", "both", code=4)
    assert len(cli("bundle", "list", "--repo", "faces").lines) == 1


def test_cp_takes_of_a_folder_what_an_upload_takes(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    make_folder(folder)
    (folder / ".sheafignore").write_text("*.tmp\n/cache/\n")
    (folder / "train/x.tmp").write_text("x")
    (folder / "cache").mkdir()
    (folder / "cache/y").write_text("y")
    (folder / "train").chmod(0o750)
    cli("cp", "-r", folder, "faces:copied")
    cli("bundle", "upload", "--repo", "faces", "--path", folder, "--message", "the same", "--branch", "other")
    cli("bundle", "download", "--repo", "faces", "--branch", "other", "--destination", tmp_path / "uploaded")
    cli("cp", "-r", "faces@main:copied", tmp_path / "copied")
    assert tree_of(tmp_path / "copied") == tree_of(tmp_path / "uploaded")
    assert not {"cache", "train/x.tmp"} & set(tree_of(tmp_path / "copied"))


def test_cp_refuses_what_it_would_wait_for(cli: Cli, faces: str, tmp_path: Path) -> None:
    (tmp_path / "ff").mkdir()
    os.mkfifo(tmp_path / "ff/pipe")
    assert "pipe is a named pipe" in cli("cp", "-r", tmp_path / "ff", "faces:ff", code=2).err
    assert "not a file, folder or symbolic link" in cli("cp", tmp_path / "ff/pipe", "faces:pipe", code=2).err
    (tmp_path / "ff/.sheafignore").write_text("pipe\n")
    cli("cp", "-r", tmp_path / "ff", "faces:ff")


def test_cp_gets_files_out(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    cli("cp", "faces@init:run.sh", tmp_path / "run.sh")
    assert (tmp_path / "run.sh").stat().st_mode & 0o777 == 0o755
    cli("cp", "faces@init:run.sh", tmp_path / "run.sh", code=5)
    cli("cp", "faces@init:run.sh", tmp_path / "run.sh", "--overwrite")
    cli("cp", "faces@init:labels.csv", tmp_path)
    assert (tmp_path / "labels.csv").read_bytes() == (data / "labels.csv").read_bytes()
    cli("cp", "-r", "faces@init:train", tmp_path / "train")
    assert tree_of(tmp_path / "train") == tree_of(data / "train")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".sheaf")]


def test_cp_says_what_is_in_its_way(cli: Cli, faces: str, tmp_path: Path) -> None:
    place = tmp_path / "out/labels.csv"
    missing = cli("cp", "faces@init:labels.csv", place, code=3)
    assert f"{place.parent}: no such folder" in missing.err
    place.parent.mkdir()
    cli("cp", "faces@init:labels.csv", place.parent)
    place.write_text("mine")
    for target in (place, place.parent):
        taken = cli("cp", "faces@init:labels.csv", target, code=5)
        assert f"{place} already exists" in taken.err and "--overwrite" in taken.err
    assert place.read_text() == "mine"
    (tmp_path / "odd/labels.csv").mkdir(parents=True)
    assert "is a folder" in cli("cp", "faces@init:labels.csv", tmp_path / "odd", "--overwrite", code=5).err
    (tmp_path / "link").symlink_to("nowhere")
    cli("cp", "faces@init:labels.csv", tmp_path / "link", code=5)
    assert [path.name for path in place.parent.iterdir()] == ["labels.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_cp_names_the_file_that_it_could_not_write(
    cli: Cli, faces: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number), "/somewhere/.sheaf-x/file")

    monkeypatch.setattr(Path, "chmod", fail)
    failed = cli("cp", "faces@init:labels.csv", tmp_path / "x", code={errno.ENOSPC: 10, errno.EACCES: 9}[number])
    assert f"can't write {tmp_path / 'x'}: {os.strerror(number)}" in failed.err
    assert ".sheaf-" not in failed.err


def test_cp_from_bundle_to_bundle(cli: Cli, faces: str) -> None:
    cli("repo", "create", "--repo", "other")
    cli("cp", "-r", "faces@init:train", "other@main:copied")
    assert cli("ls", "-R", "other").lines[-2:] == ["copied/deep/", "copied/deep/ünï.txt"]
    cli("cp", "faces@init:labels.csv", "other@main:")
    assert cli("cat", "other:labels.csv").out.startswith("name,label")
