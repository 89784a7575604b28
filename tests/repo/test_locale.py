"""The library in a process that reads names of files in another encoding than UTF-8: right names, or an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sheaf

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
DOORS = {
    "upload": "repo.upload('folder', message='m')",
    "plan": "repo.plan_upload('folder')",
    "download": "repo.bundle().download('new')",
    "update": "repo.bundle().update('new')",
    "diff": "repo.bundle().diff_folder('folder')",
    "put folder": "repo.edit(message='m').put_folder('x', 'folder')",
    "fsspec put": "fs.put('folder', 'sheaf://r@main/x', recursive=True)",
    "fsspec get": "fs.get('sheaf://r@main', 'new', recursive=True)",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "caf\u00e9").write_text("x")
    with sheaf.connect(str(tmp_path / "store"), create=True) as store:
        store.create_repo("r").upload(tmp_path / "folder", message="m\u00e9")
    return tmp_path


def _python(home: Path, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sheaf, fsspec\n"
        "repo = sheaf.connect('store').repo('r')\n"
        "fs = fsspec.filesystem('sheaf', store='store')\n"
        f"{code}\n"
    )
    environment = {**os.environ, "HOME": str(home), **more}
    done = [sys.executable, "-c", program]
    return subprocess.run(done, cwd=home, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("door", DOORS)
def test_names_of_this_machine_are_refused_in_another_encoding(home: Path, door: str) -> None:
    done = _python(home, DOORS[door], **PLAIN)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "bundles require UTF-8" in last, done.stderr
    with sheaf.connect(str(home / "store")) as store:
        assert [each.path for each in store.repo("r").bundle().ls()] == ["caf\u00e9"]
    assert not (home / "new").exists() or not list((home / "new").iterdir())


def test_what_reads_no_names_of_this_machine_works_in_any_encoding(home: Path) -> None:
    code = "print(ascii([e.path for e in repo.bundle().ls()]), ascii(repo.bundle().message), fs.cat('sheaf://r@main/caf\\xe9'))"
    done = _python(home, code, **PLAIN)
    assert done.stdout == "['caf\\xe9'] 'm\\xe9' b'x'\n", done.stderr


def test_utf8_mode_is_enough(home: Path) -> None:
    assert _python(home, DOORS["download"], **{**PLAIN, "PYTHONUTF8": "1"}).returncode == 0
    assert [path.name for path in (home / "new").iterdir()] == ["caf\u00e9"]
