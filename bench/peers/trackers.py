"""Data versioning that keeps whole files. All of them work inside the folder, so each gets a copy of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.measure import Command
from bench.peers.base import PEERS_VENV, Peer, Place, path_env

__all__ = ["DVC", "GIT_LFS", "OXEN"]

_IDENTITY = {
    "GIT_AUTHOR_NAME": "b",
    "GIT_AUTHOR_EMAIL": "b@b.b",
    "GIT_COMMITTER_NAME": "b",
    "GIT_COMMITTER_EMAIL": "b@b.b",
}


class _GitLfs(Peer):
    def _git(self, place: Place, *argv: str) -> Command:
        return place.command(
            "git", f"--git-dir={place.kept}", f"--work-tree={place.data}", *argv, cwd=place.data, **_IDENTITY
        )

    def prepare(self, place: Place) -> Iterable[Command]:
        yield self._git(place, "init", "-q")
        yield self._git(place, "config", "gc.auto", "0")
        yield self._git(place, "lfs", "install", "--local")
        yield place.command(
            "sh", "-c", f"echo '* filter=lfs diff=lfs merge=lfs -text' > '{place.kept}/info/attributes'"
        )

    def store(self, place: Place, n: int) -> Iterable[Command]:
        yield self._git(place, "add", "-A")
        yield self._git(place, "commit", "-q", "--allow-empty", "-m", f"v{n}")
        yield self._git(place, "tag", f"v{n}")

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        return (self._git(place, "checkout", "-q", "-f", f"v{n}", "--", "."),)


class _Dvc(Peer):
    def _dvc(self, place: Place, *argv: str) -> Command:
        return place.command("dvc", *argv, cwd=place.data.parent, DVC_NO_ANALYTICS="1")

    def prepare(self, place: Place) -> Iterable[Command]:
        yield self._dvc(place, "init", "-q", "--no-scm")
        yield self._dvc(place, "config", "-q", "cache.dir", str(place.kept))
        yield place.command("mkdir", str(place.kept))

    def store(self, place: Place, n: int) -> Iterable[Command]:
        yield self._dvc(place, "add", "-q", place.data.name)
        yield place.command("cp", f"{place.data.name}.dvc", f"v{n}.saved", cwd=place.data.parent)

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        yield place.command("cp", f"v{n}.saved", f"{place.data.name}.dvc", cwd=place.data.parent)
        yield self._dvc(place, "checkout", "-q", "--force", f"{place.data.name}.dvc")


_OXEN = """
import sys, oxen
command, folder, message = sys.argv[1:]
repo = oxen.Repo(folder)
if command == "init":
    oxen.user.config_user("b", "b@b.b")
    repo.init()
else:
    repo.add(folder)
    repo.commit(message)
"""


class _Oxen(Peer):
    def version(self) -> str | None:
        found = shutil.which("python", path=str(PEERS_VENV / "bin"))
        if found is None:
            return None
        ask = "import importlib.metadata as m, oxen; print('oxenai', m.version('oxenai'))"
        said = subprocess.run([found, "-c", ask], capture_output=True, text=True, check=False)
        return said.stdout.strip() or None

    def _oxen(self, place: Place, command: str, message: str = "") -> Command:
        python = shutil.which("python", path=path_env()) or "python"
        return place.command(python, "-c", _OXEN, command, str(place.data), message)

    def keeps(self, place: Place) -> Path:
        return place.data / ".oxen"

    def prepare(self, place: Place) -> Iterable[Command]:
        return (self._oxen(place, "init"),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        return (self._oxen(place, "commit", f"v{n}"),)

    def restore(self, place: Place, n: int, dest: Path) -> None:
        return None


GIT_LFS = _GitLfs(
    "git-lfs", "every file through LFS, `gc.auto 0`; `add -A` and `commit`", "git", ("lfs", "version"), True, True
)
DVC = _Dvc(
    "DVC", "`dvc add` into its cache, files copied (its default), no SCM, no analytics", "dvc", in_place=True, slow=True
)
OXEN = _Oxen("Oxen", "`add` and `commit` of its Python library, local", "python", in_place=True, slow=True)
