"""``sidecar datamover`` and ``sidecar backup``: the documented forms, and what is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, cli
from tests.datamover.conftest import LONG_AGO, write

__all__ = ["cli"]

REPO = "backup-filestore-output"
MONTH_NS = 30 * 86_400 * 10**9


@pytest.fixture
def share(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A share with two folders, and the repos that Datamon's programs save to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    cli.variables["SHEAF_STORE"] = f"memory://{tmp_path}"
    cli("store", "init", cli.variables["SHEAF_STORE"])
    for repo in (REPO, f"{REPO}-test"):
        cli("repo", "create", "--repo", repo)
    top, month_ago = tmp_path / "share", time.time_ns() - MONTH_NS
    write(top / "one/old", b"old", LONG_AGO)
    write(top / "one/month", b"month", month_ago)
    write(top / "one/new", b"new", None)
    write(top / "two/a/month", b"more", month_ago)
    write(top / "loose", b"loose", LONG_AGO)
    (tmp_path / "wd").mkdir()
    return top


def left(share: Path) -> list[str]:
    return sorted(str(path.relative_to(share)) for path in share.rglob("*") if path.is_file())


ALL = ["loose", "one/month", "one/new", "one/old", "two/a/month"]


@pytest.mark.parametrize("when", ["2006-Jan-02", "0601021504", "060102150405"])
def test_all_documented_options_of_datamover(cli: Cli, share: Path, when: str) -> None:
    done = cli("sidecar", "datamover", "-d", share, "-l", "my-label", "-t", when, "-f", "lists/new", "-c", "5", "-u")
    assert left(share) == ["one/month", "one/new", "two/a/month"]
    assert done.lines[1:] == ["set label 'my-label'", "deleted: 2 files, 8 bytes"]
    lists = {path.name: path.read_text().splitlines() for path in Path("lists/new").iterdir()}
    whole = [str(share / name) for name in ALL]
    assert {name: sorted(lines) for name, lines in lists.items()} == {
        "upload.list": whole,
        "uploaded.list": whole,
        "removable.list": [str(share / name) for name in ("loose", "one/old")],
    }
    assert cli("cat", f"{REPO}@my-label:{str(share / 'one/old').lstrip('/')}").out == "old"


def test_without_u_nothing_is_deleted_and_by_default_only_what_is_older_than_2009(cli: Cli, share: Path) -> None:
    done = cli("sidecar", "datamover", "-d", "share", "-f", "lists")
    assert left(share) == ALL
    assert done.lines[-1] == "removable: 2 files, 8 bytes"
    (label,) = cli("label", "list", "--repo", REPO).lines
    assert label.startswith("datamover-")
    again = cli("sidecar", "datamover", "-d", "share", "-f", "lists", code=5)
    assert "lists/upload.list already exists" in again.err


def test_a_dry_run_prints_the_paths_only(cli: Cli, share: Path) -> None:
    done = cli("sidecar", "datamover", "-d", share, "-t", "1d", "-f", "lists", "--repo", REPO, "--dry-run", "-u")
    assert sorted(done.lines) == [str(share / name) for name in ALL if name != "one/new"]
    assert left(share) == ALL and not Path("lists").exists()
    record = cli("--json", "sidecar", "datamover", "-d", share, "-t", "1d", "-f", "lists", "-u", "--dry-run").object
    assert sorted(record["folders"][0]["would_delete"]) == sorted(done.lines)
    done = cli("sidecar", "datamover", "-d", share, "-t", "1d", "-f", "lists", "-u")
    assert left(share) == ["one/new"]


def test_json_of_datamover(cli: Cli, share: Path) -> None:
    with (share / "loose").open("ab"):
        done = cli("--json", "sidecar", "datamover", "-d", share, "-f", "lists", "-l", "v1", "-u", code=11)
    record = done.object
    assert (record["label"], record["files"], record["deleted"], record["deleted_bytes"]) == ("v1", 5, 1, 3)
    assert record["kept"] == [{"path": "loose", "reason": "a program has it open for writing"}]
    assert record["bundle"] == cli("--json", "label", "get", "--repo", REPO, "--label", "v1").object["bundle"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-f", "lists"], 2, "exactly one is required"),
        (["-d", "share", "-d", "share"], 2, "2 folders given"),
        (["-d", "missing"], 2, "'missing' is not a folder|missing is not a folder"),
        (["-d", "share/loose"], 2, "is not a folder"),
        (["-d", "share", "-c", "4"], 2, "4 is not in the range"),
        (["-d", "share", "-t", "06010215"], 2, "is not a time"),
        (["-d", "share", "-f", "share/lists"], 2, "inside the folder"),
        (["-d", "share", "-l", "a b"], 2, "invalid label"),
        (["-d", "share", "--repo", "other"], 3, "other"),
        (["-d", "share", "-u", "--max-files", "1"], 5, "--max-files"),
        (["-d", "share", "-u", "-t", "1s", "--max-share", "50"], 5, "--max-share"),
        (["-d", "share", "-u", "--max-bytes", "7"], 5, "--max-bytes"),
        (["-d", "share", "-u", "--max-bytes", "x"], 2, "is not a size"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_deleted(
    cli: Cli, share: Path, words: list[str], code: int, said: str
) -> None:
    lists = [] if "-f" in words else ["-f", "lists"]
    done = cli("sidecar", "datamover", *words, *lists, code=code)
    assert any(each in done.err for each in said.split("|")), done.err
    assert left(share) == ALL


def test_yes_lifts_the_limits(cli: Cli, share: Path) -> None:
    words = ("sidecar", "datamover", "-d", share, "-u", "-t", "2099-Jan-01", "--max-files", "1")
    cli(*words, "-f", "lists-1", code=5)
    cli(*words, "-f", "lists-2", "-l", "again", "--yes")
    assert left(share) == []


def test_backup_saves_each_folder_and_deletes_what_is_older_than_20_days(cli: Cli, share: Path) -> None:
    done = cli("sidecar", "backup", "-d", share, "--work-dir", "wd")
    assert left(share) == ["loose", "one/new"]
    labels = [line.split("\t")[0] for line in cli("label", "list", "--repo", REPO).lines]
    assert [label[11:] for label in labels] == ["-one-0", "-two-0"]
    assert f"set label '{labels[0]}'" in done.lines
    assert cli("cat", f"{REPO}@{labels[1]}:a/month").out == "more"
    logs = {path.name: path.read_text() for path in Path("wd").iterdir()}
    assert set(logs) == {"processing.log", "datamon.log", "datamon_err.log"}
    assert f"deleting {share}/one/old\n" in logs["processing.log"]
    assert labels[0] in logs["datamon.log"] and logs["datamon_err.log"] == ""
    cli("sidecar", "backup", "-d", share, "--work-dir", "wd")
    assert len(cli("label", "list", "--repo", REPO).lines) == 3
    assert Path("wd/processing-1.log").read_text() == logs["processing.log"]


def test_backup_with_u_writes_the_files_to_a_list(cli: Cli, share: Path) -> None:
    cli("sidecar", "backup", "-d", share, "-u", "unlinkable", "-t", "true", "--work-dir", "wd")
    assert left(share) == ALL
    old = [str(share / name) for name in ("one/month", "one/old", "two/a/month")]
    assert sorted(Path("wd/unlinkable.log").read_text().splitlines()) == old
    assert not cli("label", "list", "--repo", REPO).lines
    assert len(cli("label", "list", "--repo", f"{REPO}-test").lines) == 2


@pytest.mark.parametrize("form", ["file", "stdin"])
def test_backup_of_a_list_of_folders(cli: Cli, share: Path, form: str) -> None:
    (share / "other/one").mkdir(parents=True)
    write(share / "other/one/x", b"x")
    text = f"share/one\nshare/other/one\n\nshare/loose\n{share}/two\nmissing\n"
    Path("list").write_text(text)
    words = ["-f", "list" if form == "file" else "-", "-t", "false", "--work-dir", "wd"]
    done = cli("sidecar", "backup", *words, stdin=text, code=11)
    assert "share/loose is not a folder" in done.err and "2 of 5 folders failed" in done.err
    labels = [line.split("\t")[0][11:] for line in cli("label", "list", "--repo", REPO).lines]
    assert sorted(labels) == ["-one-0", "-one-1", "-two-0"]
    assert left(share) == ["loose", "one/new"]
    assert "missing is not a folder" in Path("wd/datamon_err.log").read_text()


def test_a_folder_with_something_that_was_not_saved_keeps_all_its_files(cli: Cli, share: Path) -> None:
    os.mkfifo(share / "one/pipe")
    done = cli("sidecar", "backup", "-d", share, "--work-dir", "wd", code=11)
    assert left(share) == ["loose", "one/month", "one/new", "one/old"]
    assert "kept pipe: pipe is a named pipe" in done.err
    assert "one/pipe" in Path("wd/datamon_err.log").read_text()


def test_names_that_no_label_can_have_and_a_work_dir_in_the_share(cli: Cli, share: Path) -> None:
    write(share / "ümläut & co/x", b"x", None)
    (share / "wd").mkdir()
    cli("sidecar", "backup", "-d", share, "--work-dir", "share/wd")
    labels = [line.split("\t")[0][11:] for line in cli("label", "list", "--repo", REPO).lines]
    assert labels == ["-_ml_ut___co-0", "-one-0", "-two-0"]


def test_a_limit_counts_for_the_whole_backup(cli: Cli, share: Path) -> None:
    done = cli("sidecar", "backup", "-d", share, "--work-dir", "wd", "--max-files", "2", code=11)
    assert left(share) == ["loose", "one/new", "two/a/month"]
    assert "at most 0 may be" in done.err and "1 of 2 folders failed" in done.err
    assert len(cli("label", "list", "--repo", REPO).lines) == 2


def test_a_dry_run_of_a_backup(cli: Cli, share: Path) -> None:
    planned = cli("sidecar", "backup", "-d", share, "--dry-run")
    assert left(share) == ALL and not list(Path("wd").iterdir())
    cli("sidecar", "backup", "-d", share, "--work-dir", "wd")
    assert sorted(planned.lines) == sorted(str(share / name) for name in ALL if not (share / name).exists())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "exactly one of them is required"),
        (["-d", "share", "-f", "list"], 2, "exactly one of them is required"),
        (["-d", "missing"], 3, "missing"),
        (["-f", "missing"], 3, "missing"),
        (["-d", "share", "-t", "maybe"], 2, "maybe"),
        (["-d", "share", "-u", "datamon"], 2, "invalid name"),
        (["-d", "share", "-u", "../x"], 2, "invalid name"),
        (["-d", "share", "--work-dir", "missing"], 3, "working folder missing does not exist"),
        (["-d", "share", "--older-than", "soon"], 2, "is not a time"),
        (["-d", "share", "--repo", "other"], 3, "other"),
    ],
)
def test_what_is_wrong_with_a_backup_is_said(cli: Cli, share: Path, words: list[str], code: int, said: str) -> None:
    work = [] if "--work-dir" in words else ["--work-dir", "wd"]
    done = cli("sidecar", "backup", *words, *work, code=code)
    assert said in done.err and "unexpected" not in done.err
    assert left(share) == ALL
