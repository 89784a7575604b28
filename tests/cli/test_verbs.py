"""Verbs on a real store: what they print, byte for byte where scripts rely on it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import blake3
import pytest
from tests.cli.conftest import Cli
from tests.cli.data import BUNDLE_ID, EXACT_TIME, change, tree_of

import sheaf
from sheaf.model.records import SetLabel


def _upload(cli: Cli, data: Path, message: str, *more: object) -> str:
    result = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", message, *more)
    return result.lines[0].removeprefix("Uploaded bundle id:")


# -- repos


def test_repos_are_created_listed_renamed_and_deleted(cli: Cli) -> None:
    assert cli("repo", "create", "--repo", "b/x", "--description", "two\nlines").out == ""
    cli("repo", "create", "--repo", "a")
    lines = cli("repo", "list").lines
    assert re.fullmatch(rf"a\t\ttester\t\t{EXACT_TIME}", lines[0])
    assert re.fullmatch(rf'b/x\t"two\\nlines"\ttester\t\t{EXACT_TIME}', lines[1])
    assert cli("repo", "get", "--repo", "a").lines == lines[:1]
    assert cli("ls").lines == ["a", "b/x"]
    assert [repo["name"] for repo in cli("repo", "list", "--json").objects] == ["a", "b/x"]
    refused = cli("repo", "rename", "--repo", "a", "c", stdin="n\n", code=5)
    assert refused.err.startswith('Rename repo "a" to "c"? [y/N] ')
    cli("repo", "rename", "--repo", "a", "c", stdin="y\n")
    cli("repo", "delete", "--repo", "b/x", code=5)
    cli("repo", "delete", "--repo", "b/x", "--yes")
    assert cli("ls").lines == ["c"]
    cli("repo", "get", "--repo", "a", code=3)


def test_names_that_are_taken_or_wrong_are_refused(cli: Cli) -> None:
    cli("repo", "create", "--repo", "a")
    assert "a" in cli("repo", "create", "--repo", "a", code=4).err
    cli("repo", "create", "--repo", "a b", code=2)
    cli("repo", "create", "--repo", "../x", code=2)


def test_sizes_of_a_repo(cli: Cli, faces: str) -> None:
    lines = cli("repo", "get", "--repo", "faces", "--with-size").lines
    assert lines[1] == "All bundles with their total size:"
    assert re.fullmatch(rf"{faces}\t{EXACT_TIME}\t\d+\tfirst", lines[2])
    assert re.fullmatch(r'Grand total for repo "faces": \d\.\d KiB \(\d{4} bytes\)', lines[4])


# -- bundles


def test_an_upload_prints_the_id_then_the_label(cli: Cli, data: Path) -> None:
    cli("repo", "create", "--repo", "faces")
    result = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--label", "init")
    assert re.fullmatch(rf"Uploaded bundle id:{BUNDLE_ID}\nset label 'init'\n", result.out)
    record = cli("bundle", "upload", "--repo=faces", "--path", data, "--message=m", "--meta", "k=v=w", "--json").object
    assert record["meta"] == {"k": "v=w"}
    assert record["upload"]["new_bytes"] == 0
    assert record["upload"]["files"] == record["files"] == 6


def test_bundles_are_listed_oldest_first(cli: Cli, data: Path, faces: str) -> None:
    second = _upload(cli, data, "second")
    lines = cli("bundle", "list", "--repo", "faces").lines
    pattern = re.compile(rf"({BUNDLE_ID})\t{EXACT_TIME}\t\d+\t\d+\ttester\t\t(\w+)")
    found = [match.group(1, 3) for line in lines if (match := pattern.fullmatch(line))]
    assert found == [(faces, "first"), (second, "second")]
    records = cli("bundle", "list", "--repo", "faces", "--json").objects
    assert [record["id"] for record in records] == [faces, second]
    assert records[1]["parents"] == [faces]
    assert records[0]["version"] == records[1]["version"]


def test_choosing_a_bundle(cli: Cli, data: Path, faces: str) -> None:
    second = _upload(cli, data, "second", "--branch", "other")
    for choice, expected in {
        (): faces,
        ("--bundle", second[:12]): second,
        ("--label", "init"): faces,
        ("--bundle", faces): faces,
        ("--branch", "main"): faces,
        ("--bundle", "other"): second,
    }.items():
        lines = cli("bundle", "get", "--repo", "faces", *choice).lines
        assert lines[0] == f"Using bundle: {expected}"
        assert lines[1].startswith(f"{expected}\t")
    assert (
        "mutually exclusive"
        in cli("bundle", "get", "--repo", "faces", "--label", "init", "--bundle", faces, code=2).err
    )
    cli("bundle", "get", "--repo", "faces", "--label", "nope", code=3)


def test_files_are_listed_with_size_and_b3sum(cli: Cli, data: Path, faces: str) -> None:
    result = cli("bundle", "list", "files", "--repo", "faces", "--label", "init")
    assert result.lines[0] == f"Using bundle: {faces}"
    digest = blake3.blake3((data / "labels.csv").read_bytes()).hexdigest()
    assert f"labels.csv\t19\t{digest}\t" in result.lines
    assert any(line.startswith('"odd\\nname"\t1\t') for line in result.lines)
    assert len(result.lines) == 1 + 5
    exact = cli("bundle", "list", "files", "--repo", "faces", "-z").raw.split(b"\0")
    assert b"odd\nname" in exact
    records = cli("bundle", "list", "files", "--repo", "faces", "--json").objects
    assert {record["path"] for record in records} == {
        "labels.csv", "odd\nname", "run.sh", "train/1.jpg", "train/deep/ünï.txt",
    }  # fmt: skip


def test_a_download_is_the_same_folder_and_leaves_nothing_else(
    cli: Cli, data: Path, faces: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    result = cli("bundle", "download", "--repo", "faces", "--label", "init", "--destination", copy)
    assert result.out == f"Using bundle: {faces}\n"
    assert tree_of(copy) == tree_of(data)
    again = cli("bundle", "download", "--repo", "faces", "--destination", copy)
    assert again.out == f"Using bundle: {faces}\n" and "6 of them already present" in again.err
    (copy / "labels.csv").write_text("mine")
    assert "not empty" in cli("bundle", "download", "--repo", "faces", "--destination", copy, code=5).err
    assert (copy / "labels.csv").read_text() == "mine"
    part = tmp_path / "part"
    cli("bundle", "download", "--repo", "faces", "--destination", part, "--name-filter", r"\.jpg$")
    assert [path.name for path in part.rglob("*") if path.is_file()] == ["1.jpg"]


def test_one_file_is_downloaded_below_the_destination(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    for _ in range(2):
        cli("bundle", "download", "file", "--repo", "faces", "--file", "train/1.jpg", "--destination", tmp_path / "one")
    assert (tmp_path / "one/train/1.jpg").read_bytes() == (data / "train/1.jpg").read_bytes()
    cli("bundle", "download", "file", "--repo", "faces", "--file", "nope", "--destination", tmp_path / "one", code=3)


def test_one_file_is_not_downloaded_over_another(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    download = ("bundle", "download", "file", "--repo", "faces", "--destination", tmp_path, "--file")
    (tmp_path / "labels.csv").write_text("my own")
    refused = cli(*download, "labels.csv", code=5)
    assert "labels.csv already exists" in refused.err and "--overwrite" in refused.err
    assert (tmp_path / "labels.csv").read_text() == "my own"
    cli(*download, "labels.csv", "--overwrite")
    assert (tmp_path / "labels.csv").read_bytes() == (data / "labels.csv").read_bytes()
    for _ in range(2):
        cli(*download, "link")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("elsewhere")
    cli(*download, "link", code=5)
    folder = cli(*download, "train", code=2)
    assert "'train' is a folder in the bundle" in folder.err and f"sheaf cp -r faces@{faces}:train DIR" in folder.err
    assert not (tmp_path / "train").exists()


def test_update_follows_a_label_and_sees_local_edits(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    cli("bundle", "download", "--repo", "faces", "--destination", copy)
    change(data)
    _upload(cli, data, "second")
    (copy / "labels.csv").write_text("mine")
    assert "labels.csv" in cli("bundle", "update", "--repo", "faces", "--destination", copy, code=5).err
    assert (copy / "labels.csv").read_text() == "mine"
    cli("bundle", "update", "--repo", "faces", "--destination", copy, "--force")
    assert tree_of(copy) == tree_of(data)


def test_bundle_diff_says_what_update_would_do(cli: Cli, data: Path, faces: str) -> None:
    (data / "labels.csv").write_text("mine\n")
    (data / "mine.txt").write_text("mine")
    (data / "run.sh").unlink()
    result = cli("bundle", "diff", "--repo", "faces", "--destination", data)
    assert result.lines[0] == f"Using bundle: {faces}"
    steps = [line.split("\t") for line in result.lines[1:]]
    assert [(step[0], step[1], step[2], step[4]) for step in steps] == [
        ("U", "labels.csv", "19", "5"),
        ("D", "mine.txt", "0", "4"),
        ("A", "run.sh", "10", "0"),
    ]
    cli("bundle", "diff", "--repo", "faces", "--destination", data, "--exit-code", code=1)


def test_an_equal_folder_has_an_empty_diff(cli: Cli, data: Path, faces: str) -> None:
    result = cli("bundle", "diff", "--repo", "faces", "--destination", data, "--exit-code")
    assert result.lines == [f"Using bundle: {faces}"]
    assert "empty diff" in result.err


def test_verify_reads_everything(cli: Cli, faces: str) -> None:
    lines = cli("bundle", "verify", "--repo", "faces", "--bundle", faces).lines
    assert lines[1].startswith("verified 6 files, ")


def test_only_listed_files_are_uploaded(cli: Cli, data: Path, tmp_path: Path) -> None:
    cli("repo", "create", "--repo", "faces")
    names = f"labels.csv\n{data}/train/1.jpg\n"
    cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--files", "-", stdin=names)
    files = {record["path"] for record in cli("bundle", "list", "files", "--repo", "faces", "--json").objects}
    assert files == {"labels.csv", "train/1.jpg"}
    stranger = ["bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--files", "-"]
    assert "/etc/passwd" in cli(*stranger, stdin="/etc/passwd\n", code=2).err


def test_an_unchanged_folder_makes_no_bundle_if_told_so(cli: Cli, data: Path, faces: str) -> None:
    args = ("bundle", "upload", "--repo", "faces", "--path", data, "--message", "again", "--if-changed", "--label", "l")
    assert cli(*args).out == f"Unchanged bundle id:{faces}\nset label 'l'\n"
    assert len(cli("bundle", "list", "--repo", "faces").lines) == 1
    assert cli("label", "get", "--repo", "faces", "--label", "l", "--json").object["bundle"] == faces


def test_what_cannot_be_kept_is_refused_or_skipped_with_code_eleven(cli: Cli, data: Path) -> None:

    os.mkfifo(data / "pipe")
    cli("repo", "create", "--repo", "faces")
    args = ("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m")
    assert "pipe" in cli(*args, code=None).err
    assert cli("bundle", "list", "--repo", "faces").out == ""
    result = cli(*args, "--skip-on-error", code=11)
    assert "skipped pipe" in result.err
    assert result.out.startswith("Uploaded bundle id:")


def test_a_folder_without_files_is_a_bundle_only_if_told_so(cli: Cli, datamon: Cli, tmp_path: Path) -> None:
    (tmp_path / "void/deep").mkdir(parents=True)
    cli("repo", "create", "--repo", "faces")
    upload = ("bundle", "upload", "--repo", "faces", "--path", tmp_path / "void", "--message", "m")
    refused = cli(*upload, code=5)
    assert "no files to upload" in refused.err and "--allow-empty" in refused.err
    (tmp_path / "list").write_text("")
    cli(*upload, "--files", tmp_path / "list", code=5)
    assert cli("bundle", "list", "--repo", "faces").out == ""
    datamon(*upload)
    assert "no files" in cli(*upload, "--allow-empty").err
    (tmp_path / "void/deep").rmdir()
    cli(*upload, "--allow-empty")
    assert cli("ls", "-R", "faces").out == ""


@pytest.mark.parametrize(("path", "code"), [("nope", 3), ("data/labels.csv", 2)], ids=["missing", "file"])
def test_a_path_that_is_no_folder_is_named(cli: Cli, data: Path, tmp_path: Path, path: str, code: int) -> None:
    cli("repo", "create", "--repo", "faces")
    result = cli("bundle", "upload", "--repo", "faces", "--path", tmp_path / path, "--message", "m", code=code)
    assert path in result.err
    assert len(result.err.splitlines()) <= 2


# -- labels and branches


def test_labels_move_and_keep_their_history(cli: Cli, data: Path, faces: str) -> None:
    second = _upload(cli, data, "second")
    assert (
        cli("label", "set", "--repo", "faces", "--label", "prod", "--bundle", faces).out
        == f"set label 'prod' to {faces}\n"
    )
    cli("label", "set", "--repo", "faces", "--label", "prod", "--bundle", "main")
    assert re.fullmatch(
        rf"prod\t{second}\t{EXACT_TIME}\ttester\t\n", cli("label", "get", "--repo", "faces", "--label", "prod").out
    )
    history = cli("label", "get", "--repo", "faces", "--label", "prod", "--with-versions", "--json").objects
    assert [record["bundle"] for record in history] == [second, faces]
    assert [line.split("\t")[0] for line in cli("label", "list", "--repo", "faces").lines] == ["init", "prod"]
    assert len(cli("label", "list", "--repo", "faces", "--prefix", "pr").lines) == 1
    assert len(cli("label", "list", "--repo", "faces", "--with-versions").lines) == 3
    cli("label", "delete", "--repo", "faces", "--label", "prod")
    cli("label", "get", "--repo", "faces", "--label", "prod", code=3)
    cli("label", "delete", "--repo", "faces", "--label", "prod", code=3)
    cli("label", "set", "--repo", "faces", "--label", "bad name", "--bundle", faces, code=2)


def test_branches(cli: Cli, data: Path, faces: str) -> None:
    cli("branch", "create", "--repo", "faces", "--branch", "side", "--bundle", "init")
    second = _upload(cli, data, "second", "--branch", "side")
    lines = cli("branch", "list", "--repo", "faces").lines
    assert [line.split("\t")[:2] for line in lines] == [["main", faces], ["side", second]]
    cli("branch", "create", "--repo", "faces", "--branch", "side", code=4)
    assert cli("branch", "get", "--repo", "faces", "--branch", "side", "--json").object["bundle"] == second
    cli("branch", "delete", "--repo", "faces", "--branch", "side")
    cli("branch", "get", "--repo", "faces", "--branch", "side", code=3)


def test_a_wrong_upload_is_undone_by_moving_the_branch_back(cli: Cli, data: Path, faces: str) -> None:
    wrong = _upload(cli, data, "wrong")
    refused = cli("bundle", "delete", "--repo", "faces", "--bundle", wrong, "--yes", code=4)
    assert "branch:main" in refused.err and "`sheaf branch set`" in refused.err
    moved = cli("branch", "set", "--repo", "faces", "main", "main~1")
    assert moved.lines == [f"moved branch 'main' from {wrong} to {faces}"]
    assert f"`sheaf branch set --repo faces main {wrong}`" in moved.err
    assert cli("bundle", "get", "--repo", "faces").lines[0] == f"Using bundle: {faces}"
    assert cli("branch", "set", "--repo", "faces", "main", faces[:20]).lines == [
        f"branch 'main' already points to {faces}"
    ]
    assert cli("branch", "set", "--repo", "faces", "main", wrong[:20], "--json").object["bundle"] == wrong
    cli("branch", "set", "--repo", "faces", "main", "init")
    assert _upload(cli, data, "third") != wrong
    assert [line["id"] for line in cli("log", "faces", "--json").objects][1:] == [faces]
    cli("bundle", "delete", "--repo", "faces", "--bundle", wrong, "--yes")


def test_a_branch_is_moved_from_where_it_was_expected_only(cli: Cli, data: Path, faces: str) -> None:
    second = _upload(cli, data, "second")
    cli("branch", "create", "--repo", "faces", "--branch", "dev")
    refused = cli("branch", "set", "--repo", "faces", "dev", "init", "--expect", faces, code=4)
    assert "changed in the meantime" in refused.err and second in refused.err
    cli("branch", "set", "--repo", "faces", "dev", "init", "--expect", "main")
    assert cli("branch", "get", "--repo", "faces", "--branch", "dev").lines[0].split("\t")[1] == faces
    for name, ref in (("nobody", "init"), ("main", "nothing"), ("init", "main")):
        cli("branch", "set", "--repo", "faces", name, ref, code=3)
    assert [line.split("\t")[0] for line in cli("branch", "list", "--repo", "faces").lines] == ["dev", "main"]


def test_a_name_with_two_meanings_is_refused_with_both_forms(cli: Cli, data: Path, faces: str) -> None:
    _upload(cli, data, "second")
    with sheaf.connect(str(cli.home / ".local/share/sheaf/store")) as store:  # as older programs could
        store.repo("faces").context.log.append(lambda head: (SetLabel("main", faces),))
    err = cli("ls", "faces@main", code=5).err
    assert "label:main" in err
    assert "branch:main" in err
    cli("ls", "faces@label:main")


# -- short commands


def test_ls_shows_one_level_or_all(cli: Cli, faces: str) -> None:
    assert cli("ls", "faces@init").lines == [
        "empty/", "labels.csv", "link", '"odd\\nname"', "run.sh", "train/",
    ]  # fmt: skip
    assert cli("ls", "faces@init:train").lines == ["train/1.jpg", "train/deep/"]
    assert "train/deep/ünï.txt" in cli("ls", "-R", "faces@init").lines
    assert cli("ls", "faces:labels.csv").lines == ["labels.csv"]
    assert "odd\nname" in cli("ls", "-z", "faces").out.split("\0")
    assert {record["kind"] for record in cli("ls", "--json", "faces").objects} == {"file", "symlink", "folder"}
    cli("ls", "faces@init:nope", code=3)
    cli("ls", "nope", code=3)
    cli("ls", "faces@nope", code=3)


def test_ls_long_shows_modes_sizes_and_targets(cli: Cli, faces: str) -> None:
    lines = cli("ls", "-l", "faces").lines
    assert re.fullmatch(
        r"-rwxr-xr-x\t10\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z\trun.sh\t\t",
        next(x for x in lines if "run.sh" in x),
    )
    assert any(line.startswith("l") and line.endswith("\tlink\tlabels.csv\t") for line in lines)


def test_cat_writes_the_bytes(cli: Cli, data: Path, faces: str) -> None:
    assert cli("cat", "faces@init:train/1.jpg").raw == (data / "train/1.jpg").read_bytes()
    assert cli("cat", "faces:labels.csv", "faces:run.sh").out == "name,label\na,1\nb,2\n#!/bin/sh\n"
    assert cli("cat", "faces:labels.csv", "--offset", "5", "--length", "5").out == "label"
    cli("cat", "faces", code=2)
    cli("cat", "faces:nope", code=3)


def test_log_goes_back_from_a_ref(cli: Cli, data: Path, faces: str) -> None:
    second = _upload(cli, data, "second\nwith details")
    text = cli("log", "faces").out
    assert text.startswith(f"bundle {second} (branch:main)\nRepo:    faces\nVersion: ")
    assert "    second\n    with details\n" in text
    assert f"bundle {faces} (label:init)" in text
    assert [line.split()[0] for line in cli("log", "faces", "--oneline").lines] == [second, faces]
    assert [record["id"] for record in cli("log", "faces@init", "--json").objects] == [faces]
    assert len(cli("log", "faces", "--oneline", "-n", "1").lines) == 1
    cli("repo", "create", "--repo", "other")
    cli("bundle", "upload", "--repo", "other", "--path", data, "--message", "third")
    assert len(cli("log", "--oneline").lines) == 3
    cli("log", "faces:path", code=3)


@pytest.fixture
def changed(cli: Cli, data: Path, faces: str) -> str:
    change(data)
    return _upload(cli, data, "second", "--label", "v2")


def test_diff_names_each_changed_path(cli: Cli, faces: str, changed: str) -> None:
    lines = ["M\tlabels.csv\t", "A\tnew.txt\t", "D\trun.sh\t", "R\ttrain/2.jpg\ttrain/1.jpg"]
    assert sorted(cli("diff", "faces@init", "faces@v2").lines) == sorted(lines)
    assert sorted(cli("diff", "faces@init", "@v2").lines) == sorted(lines)
    assert sorted(cli("diff", "faces@v2").lines) == sorted(lines)
    assert cli("diff", "faces@init:train", "@v2").lines == ["R\ttrain/2.jpg\ttrain/1.jpg"]
    records = cli("diff", "--json", "faces@init", "faces@v2").objects
    assert {record["path"]: record["kind"] for record in records} == {
        "labels.csv": "modified", "new.txt": "added", "run.sh": "deleted", "train/2.jpg": "renamed",
    }  # fmt: skip
    assert cli("diff", "-z", "faces@init", "faces@v2").out.startswith(("M\0", "A\0", "D\0", "R\0"))


def test_of_folders_only_empty_ones_are_named(cli: Cli, data: Path, faces: str) -> None:
    (data / "more" / "void").mkdir(parents=True)
    (data / "more" / "file").write_text("x")
    (data / "train" / "deep" / "ünï.txt").unlink()
    (data / "train" / "deep").rmdir()
    (data / "empty").rmdir()
    expected = ["A\tmore/file\t", "A\tmore/void\t", "D\tempty\t", "D\ttrain/deep/ünï.txt\t"]
    assert sorted(cli("diff", "faces@init", data).lines) == expected
    _upload(cli, data, "second", "--label", "v2")
    assert sorted(cli("diff", "faces@init", "faces@v2").lines) == expected
    steps = cli("bundle", "diff", "--repo", "faces", "--label", "init", "--destination", data).lines[1:]
    assert sorted(line.split("\t")[1] for line in steps) == sorted(line.split("\t")[1] for line in expected)


def test_diff_exits_with_one_only_if_told_to(cli: Cli, faces: str, changed: str) -> None:
    cli("diff", "faces@init", "faces@v2", "--exit-code", code=1)
    cli("diff", "faces@v2", "faces@v2", "--exit-code")
    cli("diff", "faces@init", "faces@nope", "--exit-code", code=3)


def test_diff_stat_ends_with_a_summary(cli: Cli, faces: str, changed: str) -> None:
    lines = cli("diff", "faces@init", "faces@v2", "--stat").lines
    assert "M\tlabels.csv\t\t19\t23" in lines
    assert lines[-1] == "4 changed: 1 added, 1 modified, 1 deleted, 1 renamed, -2 bytes"
    assert cli("diff", "faces@v2", "faces@v2", "--stat").lines == ["no changes"]
    plain = [line.split("\t")[1] for line in cli("diff", "faces@init", "faces@v2").lines]
    assert cli("diff", "faces@init", "faces@v2", "--name-only").lines == plain
    assert cli("diff", "faces@init", "faces@v2", "--name-only", "-z").out == "".join(f"{path}\0" for path in plain)
    cli("diff", "faces@init", "faces@v2", "--name-only", "--stat", code=2)


def test_patch_applies_to_the_old_folder(cli: Cli, data: Path, faces: str, changed: str, tmp_path: Path) -> None:
    text = cli("diff", "-p", "faces@init", "faces@v2").out
    assert "--- a/labels.csv\n+++ b/labels.csv\n@@ -1,3 +1,4 @@\n name,label\n a,1\n-b,2\n+b,3\n+c,4\n" in text
    assert "--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n" in text
    assert "rename from train/1.jpg\nrename to train/2.jpg\n" in text
    (data / "train/2.jpg").write_bytes(b"\0other")
    (data / "new.txt").write_text("no newline")
    _upload(cli, data, "third", "--label", "v3")
    text = cli("diff", "-p", "faces@v2", "faces@v3").out
    assert "binary files a/train/2.jpg and b/train/2.jpg differ" in text
    assert "-new\n+no newline\n\\ No newline at end of file\n" in text


def test_diff_with_a_folder(cli: Cli, data: Path, faces: str) -> None:
    change(data)
    lines = cli("diff", "faces@init", data).lines
    assert {"M\tlabels.csv\t", "A\tnew.txt\t", "D\trun.sh\t"} <= set(lines)
    assert "+b,3" in cli("diff", "faces@init", data, "-p").lines


def test_diff_with_a_folder_shows_renames(cli: Cli, data: Path, faces: str, tmp_path: Path) -> None:
    (data / "train").rename(data / "moved")
    lines = cli("diff", "faces@init", data).lines
    assert "R\tmoved/1.jpg\ttrain/1.jpg" in lines
    _upload(cli, data, "moved")
    assert cli("diff", "faces@init", "faces@main").lines == lines
    steps = cli("bundle", "diff", "--repo", "faces", "--label", "init", "--destination", data).lines
    assert [step.split("\t")[:2] for step in steps[1:] if step.split("\t")[1].endswith("1.jpg")] == [
        ["D", "moved/1.jpg"],
        ["A", "train/1.jpg"],
    ]


def test_a_local_name_that_is_taken_for_a_repo(
    cli: Cli, data: Path, faces: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    assert "write ./train" in cli("diff", "faces@init", "train", code=3).err
    assert "write ./train/" in cli("diff", "faces@init", "train/", code=2).err
    (data / "a:b").write_text("x")
    assert "write ./a:b" in cli("cp", "a:b", "faces:x", code=3).err
    assert "sheaf repo list" in cli("diff", "faces@init", "nowhere", code=3).err
    assert "sheaf diff faces@init ./train" in cli("diff", "./train", "faces@init", code=2).err


# -- diamonds


def test_two_splits_become_one_bundle(cli: Cli, tmp_path: Path) -> None:
    cli("repo", "create", "--repo", "faces")
    diamond = cli("diamond", "initialize", "--repo", "faces").out.strip()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
        (tmp_path / name / "both").write_text(name)
        args = ("diamond", "split", "add", "--repo", "faces", "--diamond", diamond, "--path", tmp_path / name)
        assert cli(*args, "--split", name).out == f"{name}\n"
    lines = cli("diamond", "split", "list", "--repo", "faces", "--diamond", diamond).lines
    assert all(re.fullmatch(rf"(one|two)\tdone\t{EXACT_TIME}\t{EXACT_TIME}\t2\t", line) for line in lines)
    assert len(lines) == 2
    assert "initialized" in cli("diamond", "get", "--repo", "faces", "--diamond", diamond).out
    commit = ("diamond", "commit", "--repo", "faces", "--diamond", diamond, "--message", "both", "--label", "joined")
    cli(*commit, "--no-conflicts", "--ignore-conflicts", code=2)
    out = cli(*commit, code=11).out
    assert re.fullmatch(rf"Uploaded bundle id:{BUNDLE_ID}\nset label 'joined'\n", out)
    assert {"both", "one", "two"} <= set(cli("ls", "faces").lines)
    assert cli("diamond", "list", "--repo", "faces", "--json").object["state"] == "done"
    second = cli("diamond", "initialize", "--repo", "faces").out.strip()
    assert "canceled" in cli("diamond", "cancel", "--repo", "faces", "--diamond", second).err
    cli("diamond", "get", "--repo", "faces", "--diamond", "0" * 27, code=3)


# -- stores


def test_stores_are_made_shown_and_checked(cli: Cli, tmp_path: Path) -> None:
    url = str(tmp_path / "other")
    cli("repo", "list", "--store", url, code=3)
    assert cli("store", "init", url).out.startswith("store ")
    cli("store", "init", url, code=4)
    cli("repo", "list", "--store", url)
    info = cli("store", "info", "--store", url, "--json").object
    assert info["repos"] == 0
    assert cli("store", "info", "--store", url).lines[0].startswith("url: ")
    assert cli("store", "check", "--store", url).lines[-1] == "no damage found"
    assert cli("store", "check", "--read-data", "--store", url, "--json").object["ok"] is True


def test_damage_is_named_and_ends_with_six(cli: Cli, faces: str) -> None:
    store = cli.home / ".local/share/sheaf/store"
    pack = next(path for path in (store / "packs").rglob("*") if path.is_file())
    pack.chmod(0o600)
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 3] ^= 1
    pack.write_bytes(raw)
    result = cli("store", "check", "--read-data", code=6)
    assert pack.name in result.out
    assert cli("store", "check", "--read-data", "--json", code=6).object["ok"] is False
    assert cli("bundle", "verify", "--repo", "faces", code=6).err.startswith("damaged train/1.jpg: ")


# -- output


def test_lists_become_tables_on_a_terminal_or_when_asked(cli: Cli, faces: str) -> None:
    plain, table = cli("bundle", "list", "--repo", "faces"), cli("bundle", "list", "--repo", "faces", terminal=True)
    assert "\t" in plain.out
    assert table.lines[0].split()[:5] == ["ID", "TIME", "FILES", "SIZE", "AUTHOR"]
    assert faces in table.lines[1]
    assert cli("--table", "bundle", "list", "--repo", "faces").lines[0].startswith("ID ")
    assert cli("bundle", "list", "--repo", "faces", "--no-table", terminal=True).out == plain.out


def test_control_characters_of_a_message_stay_on_their_line(cli: Cli, data: Path, faces: str) -> None:
    _upload(cli, data, "evil\n\x1b[2Jmessage")
    assert cli("bundle", "list", "--repo", "faces").lines[1].endswith('\t"evil\\n\\x1b[2Jmessage"')
    assert "\x1b" not in cli("bundle", "list", "--repo", "faces", terminal=True).out
    assert "\x1b" not in cli("log", "faces").out


def test_an_upload_that_is_only_tried_lists_changes_and_makes_no_bundle(cli: Cli, data: Path, faces: str) -> None:
    (data / "new\n").write_bytes(b"1234")
    long = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "m", "--dry-run")
    short = cli("upload", data, "faces", "-m", "m", "--dry-run", "--table")
    assert long.lines == ['A\t"new\\n"\t']
    assert short.lines == ['A "new\\n"']
    assert long.err == "dry run: 1 added; at most 4 B would be new\n"
    told = cli("upload", data, "faces", "-m", "m", "--dry-run", "--json").object
    assert (told["dry_run"], told["parent"], told["new_bytes"]) == (True, faces, 4)
    assert [(change["kind"], change["path"]) for change in told["changes"]] == [("added", "new\n")]
    assert len(cli("bundle", "list", "--repo", "faces").lines) == 1
    refused = ("upload", data, "faces", "-m", "m", "--dry-run", "--label", "init")
    assert "init" in cli(*refused, code=4).err
    (data / "pipe\udcff").write_bytes(b"")
    partial = cli("upload", data, "faces", "-m", "m", "--dry-run", "--skip-on-error", code=11)
    assert "skipped pipe" in partial.err
