"""``add``, ``pull``, ``status`` and ``bump`` as users and scripts see them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.data import change, tree_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository that is the current folder."""
    root = tmp_path / "project"
    subprocess.run(["git", "init", "--quiet", root], check=True)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def pinned(cli: Cli, faces: str, project: Path) -> Path:
    """The folder ``data/faces`` of the project, pinned to the first bundle."""
    cli("add", "faces@main", "data/faces")
    return project / "data/faces"


@pytest.fixture
def second(cli: Cli, data: Path, pinned: Path) -> str:
    """The id of the second bundle of ``main``."""
    change(data)
    upload = cli("bundle", "upload", "--repo", "faces", "--path", data, "--message", "second")
    return upload.lines[0].removeprefix("Uploaded bundle id:")


def test_add_says_what_it_pinned(cli: Cli, data: Path, faces: str, project: Path) -> None:
    done = cli("add", "faces", "data/faces")
    assert done.out == f"pinned data/faces to bundle {faces} of faces, main\n"
    assert done.err.startswith("6 files, ")
    assert tree_of(project / "data/faces") == tree_of(data)
    assert "store = " not in (project / "sheaf.lock").read_text(), "the default store is that of whoever pulls"
    told = cli("add", "faces@init", "other", "--json").object
    assert (told["folder"], told["bundle"], told["ref"], told["store"]) == ("other", faces, "init", "")


def test_add_is_refused_with_a_next_step(cli: Cli, pinned: Path) -> None:
    assert "run `sheaf bump data/faces REF`" in cli("add", "faces", "data/faces", code=4).err
    assert "only whole bundles" in cli("add", "faces@main:train", "x", code=2).err
    assert "is not a folder below" in cli("add", "faces", "..", code=2).err
    assert "didn't find repo" in cli("add", "nobody", "x", code=3).err
    (pinned.parent.parent / "src").mkdir()
    (pinned.parent.parent / "src/a.py").touch()
    assert "src is not empty" in cli("add", "faces", "src", code=5).err


def test_pull_restores_and_names_what_it_restored(cli: Cli, data: Path, faces: str, pinned: Path) -> None:
    shutil.rmtree(pinned)
    done = cli("pull")
    assert done.out == f"data/faces\t{faces}\n"
    assert done.err.startswith("data/faces: 6 added, 0 modified, 0 deleted, ")
    assert tree_of(pinned) == tree_of(data)
    told = cli("pull", "data", "--json").object
    assert (told["folder"], told["bundle"], told["added"], told["damaged"]) == ("data/faces", faces, [], [])
    assert "pinned are: data/faces" in cli("pull", "nope", code=3).err


def test_pull_keeps_local_changes(cli: Cli, pinned: Path) -> None:
    (pinned / "labels.csv").write_text("mine")
    refused = cli("pull", code=5)
    assert refused.err.splitlines() == [
        "error: data/faces has local changes that would be lost: labels.csv",
        "hint: save them with `sheaf bundle upload`, or overwrite them with --overwrite",
    ]
    assert (pinned / "labels.csv").read_text() == "mine"
    cli("pull", "--overwrite")
    assert (pinned / "labels.csv").read_text() != "mine"


def test_status_lists_changes_and_says_the_next_step(cli: Cli, faces: str, pinned: Path, second: str) -> None:
    newer = f"main points to {second}: run `sheaf bump data/faces`"
    clean = cli("status", "--exit-code")
    assert (clean.out, clean.err) == ("", f"data/faces: bundle {faces} of faces: unchanged; {newer}\n")
    change(pinned)
    changed = cli("status", "--exit-code", code=1)
    assert changed.lines == [
        "M\tdata/faces/labels.csv\t",
        "A\tdata/faces/new.txt\t",
        "D\tdata/faces/run.sh\t",
        "R\tdata/faces/train/2.jpg\tdata/faces/train/1.jpg",
    ]
    assert cli("status", "data").lines == changed.lines
    told = cli("status", "--json").object
    assert (told["state"], told["newest"], len(told["changes"])) == ("changed", second, 4)
    shutil.rmtree(pinned)
    missing = cli("status", "--exit-code", code=1)
    assert missing.out == "missing\tdata/faces\t\n" and "run `sheaf pull`" in missing.err


def test_status_of_a_folder_at_another_bundle(cli: Cli, faces: str, pinned: Path, second: str) -> None:
    lock = (pinned.parents[1] / "sheaf.lock").read_text()
    assert cli("bump", "data/faces").out == f"moved data/faces from {faces} to {second}\n"
    assert cli("bump", "data/faces").out == f"data/faces is already at {second}\n"
    (pinned.parents[1] / "sheaf.lock").write_text(lock)
    (pinned / "mine").touch()
    outdated = cli("status")
    assert outdated.lines == ["outdated\tdata/faces\t", "A\tdata/faces/mine\t"]
    cli("pull")
    assert cli("status").lines == ["A\tdata/faces/mine\t"]


def test_status_of_a_downloaded_folder(cli: Cli, faces: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli("download", "faces", "copy")
    (tmp_path / "copy/new").touch()
    assert cli("status", "copy").lines == ["A\tcopy/new\t"]
    monkeypatch.chdir(tmp_path / "copy")
    assert cli("status").lines == ["A\t./new\t"]
    assert "unknown which bundle" in cli("status", tmp_path / "data", code=3).err


def test_status_goes_on_without_what_it_cannot_read(cli: Cli, faces: str, pinned: Path) -> None:
    cli("add", "faces@init", "other")
    lock = pinned.parents[1] / "sheaf.lock"
    lock.write_text(lock.read_text().replace('repo = "faces"', 'repo = "gone"', 1))
    done = cli("status", code=11)
    assert done.out == "unavailable\tdata/faces\t\n"
    assert "didn't find repo" in done.err and f"other: bundle {faces} of faces: unchanged" in done.err


def test_bump_moves_the_file_and_the_folder_or_only_the_file(
    cli: Cli, data: Path, faces: str, pinned: Path, second: str
) -> None:
    told = cli("bump", "data/faces", "--no-download", "--json").object
    assert (told["before"], told["bundle"]) == (faces, second) and "added" not in told
    assert cli("status").lines == ["outdated\tdata/faces\t"]
    told = cli("bump", "data/faces", "init", "--json").object
    assert (told["ref"], told["bundle"], told["modified"]) == ("init", faces, [])
    assert "didn't find label or branch" in cli("bump", "data/faces", "nope", code=3).err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("format = 1", "<<<<<<< HEAD\nformat = 1", "sheaf.lock: line 2: there is an unresolved conflict"),
        ('ref = "main"', 'rev = "main"', "sheaf.lock: line 6: 'rev' is not known"),
        ('repo = "faces"', "repo = faces", "sheaf.lock: line 5: Invalid value"),
    ],
)
def test_a_file_that_was_edited_by_hand_is_named_with_its_line(
    cli: Cli, pinned: Path, old: str, new: str, says: str
) -> None:
    lock = pinned.parents[1] / "sheaf.lock"
    lock.write_text(lock.read_text().replace(old, new))
    for command in (("pull",), ("status",), ("bump", "data/faces"), ("add", "faces", "other")):
        done = cli(*command, code=2)
        assert done.err.startswith(f"error: {says}") and len(done.err.splitlines()) == 2
        assert "hint: " in done.err


def test_without_a_file_the_next_step_is_named(cli: Cli, project: Path) -> None:
    assert "pin a folder with `sheaf add REPO@REF DIR`" in cli("pull", code=3).err


def test_the_store_of_the_file_is_used_unless_another_is_named(
    cli: Cli, data: Path, project: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    cli("store", "init", store)
    cli("--store", store, "repo", "create", "--repo", "faces")
    cli("--store", store, "upload", data, "faces", "-m", "first")
    cli("--store", store, "add", "faces", "a")
    assert 'store = "../store"' in (project / "sheaf.lock").read_text()
    shutil.rmtree(project / "a")
    cli("pull")
    store.rename(tmp_path / "elsewhere")
    shutil.rmtree(project / "a")
    assert "name the store with --store URL or SHEAF_STORE" in cli("pull", code=3).err
    cli("--store", tmp_path / "elsewhere", "pull")
    shutil.rmtree(project / "a")
    cli.variables["SHEAF_STORE"] = str(tmp_path / "elsewhere")
    cli("pull")
    assert tree_of(project / "a") == tree_of(data)


def test_two_pulls_at_once_leave_the_folder_whole(cli: Cli, data: Path, pinned: Path) -> None:
    shutil.rmtree(pinned)
    command = [sys.executable, "-c", "from sheaf.cli.main import main; main()", "pull"]
    environment = {"HOME": str(cli.home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in both]
    assert any(code == 0 for _, code in ends), ends
    assert all(code == 0 or b"another process is downloading" in err for err, code in ends), ends
    cli("pull")
    assert tree_of(pinned) == tree_of(data)
    assert sorted(path.name for path in pinned.parent.iterdir()) == [".gitignore", "faces"]
