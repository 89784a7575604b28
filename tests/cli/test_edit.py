"""``sheaf rm``, ``mv``, ``append`` and ``edit``: changes of a branch without a download, each in one commit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.data import BUNDLE_ID


def bundles(cli: Cli) -> int:
    return len(cli("bundle", "list", "--repo", "faces").lines)


def paths(cli: Cli) -> set[str]:
    return set(cli("ls", "-R", "faces@main").lines)


def test_rm_removes_files_and_folders_in_one_commit(cli: Cli, faces: str) -> None:
    out = cli("rm", "-r", "faces@main:train", "faces:labels.csv", "--message", "fewer").out
    assert re.fullmatch(rf"Uploaded bundle id:{BUNDLE_ID}\n", out)
    assert not {"train/", "labels.csv"} & paths(cli)
    assert cli("log", "faces", "--json").objects[0]["message"] == "fewer"
    assert cli("cat", "faces@init:labels.csv").out
    assert bundles(cli) == 2


def test_mv_renames_and_moves_into_folders(cli: Cli, faces: str) -> None:
    cli("mv", "faces@main:train", "faces@main:training")
    assert cli("log", "faces", "--json").objects[0]["message"] == "mv faces@main:train faces@main:training"
    cli("mv", "faces:labels.csv", "faces:run.sh", "faces:training")
    cli("mv", "faces:link", "faces:new/")
    assert {"training/labels.csv", "training/run.sh", "training/1.jpg", "new/link"} <= paths(cli)
    assert bundles(cli) == 4


def test_append_adds_local_files_and_standard_input(cli: Cli, faces: str, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("c,3\n")
    cli("append", "faces@main:labels.csv", tmp_path / "more", tmp_path / "more", "-m", "two more")
    assert cli("cat", "faces:labels.csv").out == "name,label\na,1\nb,2\nc,3\nc,3\n"
    cli("append", "faces@main:labels.csv", "-", stdin="d,4\n")
    assert cli("cat", "faces:labels.csv").out.endswith("c,3\nd,4\n")


SCRIPT = """
# a comment
mv train 'a folder'   # renamed
cp run.sh "a folder/"
cp -r 'a folder' copy
cp -r faces@init:train ./old-train
rm -r copy/deep
mkdir new/er
append labels.csv {more}
"""


def test_a_script_is_one_commit(cli: Cli, faces: str, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("c,3\n")
    script = tmp_path / "script"
    script.write_text(SCRIPT.format(more=tmp_path / "more").replace("./old-train", "old-train"))
    cli("edit", "faces@main", script, "-m", "many")
    found = paths(cli)
    assert {"a folder/1.jpg", "a folder/run.sh", "copy/run.sh", "old-train/1.jpg", "new/er/"} <= found
    assert not {"train/", "copy/deep/"} & found
    assert cli("cat", "faces:labels.csv").out.endswith("c,3\n")
    assert bundles(cli) == 2
    cli("edit", "faces", "-m", "from stdin", stdin=f"cp {tmp_path / 'more'} x\n")
    assert cli("cat", "faces:x").out == "c,3\n"


def test_a_dry_run_prints_changes_and_makes_none(cli: Cli, faces: str, tmp_path: Path) -> None:
    out = cli("rm", "-r", "faces@main:train", "--dry-run").out
    assert out == "rm -r train  (-2 files)\n"
    script = f"mv train t\nrm -r t\ncp {tmp_path / 'data/labels.csv'} x\nappend x {tmp_path / 'data/labels.csv'}\n"
    found = cli("edit", "faces@main", "-m", "m", "--dry-run", "--json", stdin=script).objects
    assert [(each["line"], each["files"]) for each in found] == [(1, 0), (2, -2), (3, 1), (4, 0)]
    assert cli("mv", "faces:train", "faces:t", "--dry-run").out == "mv train t\n"
    assert bundles(cli) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["rm", "faces@main:nothing"], 3, "'nothing' not found"),
        (["rm", "faces@main:train"], 2, "'train' is a folder"),
        (["rm", "faces@main:"], 2, "names no path"),
        (["rm", "faces@main:labels.csv", "other@main:x"], 2, "not on one branch"),
        (["rm", "faces@init:labels.csv"], 2, "'init' is a label of faces"),
        (["rm", "faces@BUNDLE:labels.csv"], 2, "is a bundle of faces"),
        (["rm", "faces@side:labels.csv"], 3, 'branch "side"'),
        (["mv", "faces@main:train", "faces@main:train/deep/in"], 2, "inside it"),
        (["mv", "faces@main:train", "faces@main:labels.csv"], 2, "already exists"),
        (["mv", "faces@main:nothing", "faces@main:x"], 3, "'nothing' not found"),
        (["mv", "faces@main:run.sh", "faces@main:link", "faces@main:new"], 2, "'new' is not a folder"),
        (["mv", "faces@main:run.sh"], 2, "mv needs 2 words or more"),
        (["append", "faces@main:nothing", "/dev/null"], 3, "'nothing' not found"),
        (["append", "faces@main:train", "/dev/null"], 2, "is not a file"),
        (["append", "faces@main:labels.csv", "/nowhere"], 3, "/nowhere"),
        (["cp", "faces@main:run.sh"], 2, "nothing to copy"),
    ],
)
def test_what_can_not_be_done_is_refused(cli: Cli, faces: str, words: list[str], code: int, message: str) -> None:
    refused = cli(*(word.replace("BUNDLE", faces) for word in words), code=code)
    assert message in refused.err
    assert len(refused.err.splitlines()) <= 2
    assert bundles(cli) == 1


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("rm labels.csv\n\nrm nothing\n", 3, "line 3: 'nothing' not found"),
        ("rm labels.csv\nfly away\n", 2, "line 2: unknown change 'fly'"),
        ("rm 'labels.csv\n", 2, "line 1: No closing quotation"),
        ("mv train\n", 2, "line 1: mv needs 2 words"),
        ("rm -f train\n", 2, "line 1: unknown option '-f' of rm"),
        ("# nothing\n", 2, "no change"),
        ("cp ./nowhere x\n", 3, "line 1: nowhere: no such file"),
        ("cp other@main:x x\n", 3, 'line 1: didn\'t find repo "other"'),
    ],
)
def test_a_script_with_a_wrong_line_changes_nothing(cli: Cli, faces: str, script: str, code: int, message: str) -> None:
    refused = cli("edit", "faces@main", "-m", "m", stdin=script, code=code)
    assert message in refused.err
    assert bundles(cli) == 1
    assert message in cli("edit", "faces@main", "-m", "m", "--dry-run", stdin=script, code=code).err


def test_cp_copies_several_and_merges_folders(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    cli("repo", "create", "--repo", "other")
    cli("cp", "-r", "faces@init:train", data / "labels.csv", "other@main:in/")
    cli("cp", "-r", "faces@init:run.sh", "faces@init:train", "other@main:in")
    assert {"in/train/1.jpg", "in/labels.csv", "in/run.sh"} <= set(cli("ls", "-R", "other").lines)
    (tmp_path / "out").mkdir()
    cli("cp", "-r", "faces@init:train", "faces@init:run.sh", tmp_path / "out")
    assert (tmp_path / "out/train/1.jpg").exists() and (tmp_path / "out/run.sh").exists()
    cli("cp", "faces@init:link", "faces@init:run.sh", tmp_path / "nowhere", code=2)


def test_standard_input_is_read_once(cli: Cli, faces: str) -> None:
    before = bundles(cli)
    failed = cli("append", "faces@main:labels.csv", "-", "-", stdin="more\n", code=2)
    assert "standard input was already read" in failed.err
    failed = cli("edit", "faces@main", "-m", "m", stdin="append labels.csv -\n", code=2)
    assert "standard input was already read" in failed.err
    assert bundles(cli) == before
