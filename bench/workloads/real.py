"""Real trees: Python's standard library with all that is installed, and two releases of a large project from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from bench.harness import Bench
from bench.peers import Peer, Workspace

__all__ = ["real"]

_RELEASES = ("Django==5.1.4", "Django==5.2.1")
_IGNORED = {"__pycache__", "site-packages", "dist-packages"}
_PEERS = ("cp", "restic", "borg", "casync")


def real(bench: Bench) -> None:
    """First upload and download of what is installed; what the second of two releases adds."""
    with bench.folder("real") as data:
        _installed(data, bench.profile.real_files)
        for peer in bench.rounds("real", bench.contestants(*_PEERS)):
            with bench.forgiving("real", peer), bench.workspace(peer, data) as workspace:
                bench.store("real", "Python and its packages", peer, workspace, 1)
                bench.restore("real", "download of them", peer, workspace, 1)
    with bench.folder("releases") as root:
        folders = _releases(bench, root)
        for peer in bench.rounds("real", bench.contestants(*_PEERS) if folders else [], 1):
            _two(bench, peer, root, folders)


def _installed(data: Path, most: int) -> None:
    """The first so many files of the standard library and then of all packages; no links and no compiled files."""
    copied = 0
    for name in ("stdlib", "purelib"):
        root = Path(sysconfig.get_path(name))
        for at, folders, files in os.walk(root):
            folders[:] = sorted(set(folders) - _IGNORED)
            for file in map(Path(at).joinpath, sorted(files)):
                if copied < most and file.is_file() and not file.is_symlink():
                    target = data / name / file.relative_to(root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file, target)
                    copied += 1


def _releases(bench: Bench, root: Path) -> list[Path]:
    """The releases, unpacked; none, with a note, if they can't be had."""
    folders = []
    for number, release in enumerate(_RELEASES):
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(root), release]
        if subprocess.run(argv, capture_output=True, check=False).returncode:
            bench.report.notes.append(f"{release} could not be downloaded: two releases were not compared.")
            return []
        wheel = next(root.glob("*.whl"))
        folders.append(root / f"release-{number}")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folders[-1])
        wheel.unlink()
    return folders


def _two(bench: Bench, peer: Peer, root: Path, folders: list[Path]) -> None:
    data = root / "now"
    shutil.copytree(folders[0], data)
    with bench.forgiving("real", peer), bench.workspace(peer, data) as workspace:
        bench.store("real", "a release", peer, workspace, 1)
        _replace(workspace, folders[1])
        bench.settle()
        bench.store("real", "the next release", peer, workspace, 2)
    shutil.rmtree(data)


def _replace(workspace: Workspace, folder: Path) -> None:
    shutil.rmtree(workspace.data)
    shutil.copytree(folder, workspace.data)
