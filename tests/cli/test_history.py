"""What happened to a path, which bundles there are, and what an erasure would hit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import sheaf


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    with sheaf.init(str(tmp_path / "store")) as store:
        repo = store.create_repo("faces")
        (folder / "sub" / "a").write_text("first of it")
        repo.upload(folder, message="one", meta={"by": "anna"})
        (folder / "sub" / "a").write_text("second of it")
        repo.upload(folder, message="two")
        (folder / "sub" / "a").rename(folder / "b")
        repo.upload(folder, message="three")
        (folder / "other").write_text("x")
        repo.upload(folder, message="four", meta={"by": "anna"}, branch="dev")
    return tmp_path


def run(home: Path, *args: str, exit_code: int = 0) -> str:
    call = [str(Path(sys.executable).with_name("sheaf")), *args, "--store", str(home / "store")]
    done = subprocess.run(call, env={"HOME": str(home)}, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, done.stderr
    return done.stdout


def parts(text: str, *columns: int) -> list[tuple[str, ...]]:
    return [tuple(line.split("\t")[column] for column in columns) for line in text.splitlines()]


def test_the_log_of_a_path_follows_it_through_its_renames(home: Path) -> None:
    assert parts(run(home, "log", "faces@main:b"), 2, 3, 4, 5) == [
        ("renamed", "b", "sub/a", "three"),
        ("modified", "sub/a", "", "two"),
        ("added", "sub/a", "", "one"),
    ]
    assert parts(run(home, "log", "faces@main:sub/a", "-n", "2"), 2, 5) == [("deleted", "three"), ("modified", "two")]
    assert [json.loads(line)["change"] for line in run(home, "log", "faces@main:sub", "--json").splitlines()] == [
        "modified",
        "modified",
        "added",
    ]
    run(home, "log", "faces@main:nowhere", exit_code=3)


def test_bundles_are_listed_by_branch_meta_time_and_number(home: Path) -> None:
    assert parts(run(home, "bundle", "list", "--repo", "faces", "--limit", "2"), 6) == [("three",), ("four",)]
    assert parts(run(home, "bundle", "list", "--repo", "faces", "--branch", "dev"), 6)[-1:] == [("four",)]
    assert parts(run(home, "bundle", "list", "--repo", "faces", "--meta", "by=anna"), 6) == [("one",), ("four",)]
    assert len(run(home, "bundle", "list", "--repo", "faces", "--since", "1h").splitlines()) == 4
    assert run(home, "bundle", "list", "--repo", "faces", "--since", "2099-01-01") == ""


def test_an_erasure_can_be_looked_at_before(home: Path) -> None:
    before = sorted(path for path in (home / "store").rglob("*"))
    shown = run(home, "store", "erase", "faces@main:b", "--dry-run")
    assert [line.partition(":")[2] for line in shown.splitlines()] == ["sub/a", "b", "b"]
    assert sorted(path for path in (home / "store").rglob("*")) == before


def test_files_are_found_in_all_bundles(home: Path) -> None:
    assert [line.partition(":")[2] for line in run(home, "find", "**/a").splitlines()] == ["sub/a", "sub/a"]
    assert len(run(home, "find", "*", "--repo", "faces", "--branch", "dev").splitlines()) == 2
    found = json.loads(run(home, "find", "other", "--json"))
    assert run(home, "find", "--hash", found["content"]) == f"faces@{found['bundle']}:other\n"
    assert run(home, "find", "**", "--meta", "by=anna", "--limit", "1").endswith(":sub/a\n")
    run(home, "find", exit_code=2)


def test_a_squash_can_be_looked_at_before(home: Path) -> None:
    shown = parts(run(home, "repo", "squash", "--repo", "faces", "--dry-run"), 6)
    assert shown == [("one",), ("two",)]
    assert len(run(home, "bundle", "list", "--repo", "faces").splitlines()) == 4


def test_a_download_may_leave_erased_files_out(home: Path) -> None:
    run(home, "store", "erase", "faces@main:b", "--reason", "r", "--now", "--yes")
    ask = ("bundle", "download", "--repo", "faces", "--branch", "dev", "--destination")
    run(home, *ask, str(home / "one"), exit_code=11)
    run(home, *ask, str(home / "two"), "--skip-erased")
    assert [path.name for path in (home / "two").iterdir() if path.is_file()] == ["other"]
