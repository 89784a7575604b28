"""A wheel is built from the tree and from the source distribution, installed away from the tree, and does its main job."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.docs.pages import ROOT


def _run(*command: object, cwd: Path = ROOT, **environment: str) -> str:
    variables = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _build(target: Path, *kinds: str, cwd: Path = ROOT) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "-d", target, *kinds, cwd=cwd)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("wheel"), "-t", "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("sdist"), "-t", "sdist")


def test_the_wheel_has_every_module_and_the_manual(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/sheaf").rglob("*.py")}
    assert modules <= names and "sheaf/py.typed" in names
    data = next(name for name in names if name.endswith("sheaf.1"))
    assert data.endswith(".data/data/share/man/man1/sheaf.1")
    assert not {name for name in names if name.startswith(("tests/", "bench/"))}


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = _build(tmp_path / "out", "-t", "wheel", cwd=next(tmp_path.glob("sheaf_data-*")))
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert {item.filename: item.CRC for item in second.infolist()} == {
        item.filename: item.CRC for item in first.infolist()
    }


def test_an_installed_wheel_does_its_main_job(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    _run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    # Its dependencies are those of the tests' own environment; a plain path there doesn't lead to the tree's sources.
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    sheaf, variables = tmp_path / "venv/bin/sheaf", {"HOME": str(home)}
    assert _run(python, "-c", "import sheaf; print(sheaf.__file__)", cwd=home).startswith(str(site))
    assert _run(sheaf, "version", cwd=home) == f"sheaf {wheel.name.split('-')[1]}\n"
    assert (tmp_path / "venv/share/man/man1/sheaf.1").exists()
    (home / "data").mkdir()
    (home / "data/a.txt").write_text("what is kept\n")
    _run(sheaf, "repo", "create", "--repo", "r", cwd=home, **variables)
    _run(sheaf, "bundle", "upload", "--repo", "r", "--path", "data", "--message", "m", "--label", "v1", cwd=home, **variables)
    assert _run(sheaf, "cat", "r@v1:a.txt", cwd=home, **variables) == "what is kept\n"
