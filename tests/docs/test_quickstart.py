"""The quickstart does what it shows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.docs.shell import environment


def quickstart(tmp_path: Path, *args: str) -> str:
    home = tmp_path / "home"
    home.mkdir()
    variables = {**environment(home), "SHEAF_QUICKSTART": str(tmp_path / "quickstart")}
    done = subprocess.run(
        ["bash", ROOT / "scripts/quickstart.sh", *args], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_standard_library_goes_in_and_comes_out(tmp_path: Path) -> None:
    shown = quickstart(tmp_path)
    assert "4 changed: 1 added, 1 modified, 1 deleted, 1 renamed" in shown
    assert "\nidentical\n" in shown


def test_a_folder_of_ones_own_is_only_read(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    (folder / "sub").mkdir(parents=True)
    for name in ("a b", "sub/-c", "sub/d's", "$e"):
        (folder / name).write_text(name)
    (folder / "a b").chmod(0o400)
    (folder / "link").symlink_to("nowhere")
    before = {path: path.lstat() for path in folder.rglob("*")}
    shown = quickstart(tmp_path, str(folder))
    assert "4 changed: 1 added, 1 modified, 1 deleted, 1 renamed" in shown
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"there is no folder .*nowhere"):
        quickstart(tmp_path, str(tmp_path / "nowhere"))
