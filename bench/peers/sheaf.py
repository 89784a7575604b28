"""Sheaf itself, through its command line, as anybody would use it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import sheaf
from bench.measure import Command
from bench.peers.base import Peer, Workspace

__all__ = ["SHEAF", "python_command", "sheaf_command"]

_SOURCE = Path(sheaf.__file__).parents[1]
_ENTRY = "from sheaf.cli.main import main; main()"


def sheaf_command(workspace: Workspace, *argv: str, cwd: Path | None = None, store: Path | None = None) -> Command:
    """A call of ``sheaf`` on the workspace's store, with a cache and a configuration of its own."""
    program = Path(sys.executable).with_name("sheaf")
    call = [str(program)] if program.exists() else [sys.executable, "-c", _ENTRY]
    surroundings = {"SHEAF_STORE": str(store or workspace.kept), "SHEAF_CACHE": str(workspace.root / "cache")}
    if not program.exists():
        surroundings["PYTHONPATH"] = str(_SOURCE)
    return workspace.command(*call, *argv, cwd=cwd, SHEAF_CONFIG=str(workspace.root / "sheaf.yaml"), **surroundings)


class _Sheaf(Peer):
    def version(self) -> str | None:
        return f"sheaf {sheaf.__version__}"

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        yield sheaf_command(workspace, "store", "init")
        yield sheaf_command(workspace, "repo", "create", "--repo", "bench")

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        where = ("--path", str(workspace.data), "--repo", "bench", "--message", f"version {n}", "--label", f"v{n}")
        return (sheaf_command(workspace, "bundle", "upload", *where),)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        where = ("--repo", "bench", "--label", f"v{n}", "--destination", str(dest))
        return (sheaf_command(workspace, "bundle", "download", *where),)


SHEAF = _Sheaf("Sheaf", "as it comes: durable (every pack and node synced before the commit), verified writes", "sheaf")


def python_command(workspace: Workspace, *argv: str) -> Command:
    """A Python that finds the benchmarks and Sheaf."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(_SOURCE)])
    return workspace.command(sys.executable, *argv, PYTHONPATH=path)
