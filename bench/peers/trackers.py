"""Data versioning that keeps whole files. All of them work inside the folder, so each gets a copy of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.measure import Command
from bench.peers.base import PEERS_VENV, Peer, Workspace, path_env

__all__ = ["DVC", "GIT_LFS", "OXEN"]

_IDENTITY = {
    "GIT_AUTHOR_NAME": "b",
    "GIT_AUTHOR_EMAIL": "b@b.b",
    "GIT_COMMITTER_NAME": "b",
    "GIT_COMMITTER_EMAIL": "b@b.b",
}


class _GitLfs(Peer):
    def _git(self, workspace: Workspace, *argv: str) -> Command:
        return workspace.command(
            "git",
            f"--git-dir={workspace.kept}",
            f"--work-tree={workspace.data}",
            *argv,
            cwd=workspace.data,
            **_IDENTITY,
        )

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        yield self._git(workspace, "init", "-q")
        yield self._git(workspace, "config", "gc.auto", "0")
        yield self._git(workspace, "lfs", "install", "--local")
        yield workspace.command(
            "sh", "-c", f"echo '* filter=lfs diff=lfs merge=lfs -text' > '{workspace.kept}/info/attributes'"
        )

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        yield self._git(workspace, "add", "-A")
        yield self._git(workspace, "commit", "-q", "--allow-empty", "-m", f"v{n}")
        yield self._git(workspace, "tag", f"v{n}")

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        return (self._git(workspace, "checkout", "-q", "-f", f"v{n}", "--", "."),)


class _Dvc(Peer):
    def _dvc(self, workspace: Workspace, *argv: str) -> Command:
        return workspace.command("dvc", *argv, cwd=workspace.data.parent, DVC_NO_ANALYTICS="1")

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        yield self._dvc(workspace, "init", "-q", "--no-scm")
        yield self._dvc(workspace, "config", "-q", "cache.dir", str(workspace.kept))
        yield workspace.command("mkdir", str(workspace.kept))

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        yield self._dvc(workspace, "add", "-q", workspace.data.name)
        yield workspace.command("cp", f"{workspace.data.name}.dvc", f"v{n}.saved", cwd=workspace.data.parent)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        yield workspace.command("cp", f"v{n}.saved", f"{workspace.data.name}.dvc", cwd=workspace.data.parent)
        yield self._dvc(workspace, "checkout", "-q", "--force", f"{workspace.data.name}.dvc")


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

    def _oxen(self, workspace: Workspace, command: str, message: str = "") -> Command:
        python = shutil.which("python", path=path_env()) or "python"
        return workspace.command(python, "-c", _OXEN, command, str(workspace.data), message)

    def keeps(self, workspace: Workspace) -> Path:
        return workspace.data / ".oxen"

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (self._oxen(workspace, "init"),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        return (self._oxen(workspace, "commit", f"v{n}"),)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> None:
        return None


GIT_LFS = _GitLfs(
    "git-lfs", "every file through LFS, `gc.auto 0`; `add -A` and `commit`", "git", ("lfs", "version"), True, True
)
DVC = _Dvc(
    "DVC", "`dvc add` into its cache, files copied (its default), no SCM, no analytics", "dvc", in_place=True, slow=True
)
OXEN = _Oxen("Oxen", "`add` and `commit` of its Python library, local", "python", in_place=True, slow=True)
