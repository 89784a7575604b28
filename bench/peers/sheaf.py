"""Sheaf itself, through its command line, as anybody would use it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import sheaf
from bench.measure import Command
from bench.peers.base import Peer, Place

__all__ = ["SHEAF", "python_command", "sheaf_command"]

_SOURCE = Path(sheaf.__file__).parents[1]
_ENTRY = "from sheaf.cli.main import main; main()"


def sheaf_command(place: Place, *argv: str, cwd: Path | None = None, store: Path | None = None) -> Command:
    """A call of ``sheaf`` on the place's store, with a cache and a configuration of its own."""
    program = Path(sys.executable).with_name("sheaf")
    call = [str(program)] if program.exists() else [sys.executable, "-c", _ENTRY]
    surroundings = {"SHEAF_STORE": str(store or place.kept), "SHEAF_CACHE": str(place.root / "cache")}
    if not program.exists():
        surroundings["PYTHONPATH"] = str(_SOURCE)
    return place.command(*call, *argv, cwd=cwd, SHEAF_CONFIG=str(place.root / "sheaf.yaml"), **surroundings)


class _Sheaf(Peer):
    def version(self) -> str | None:
        return f"sheaf {sheaf.__version__}"

    def prepare(self, place: Place) -> Iterable[Command]:
        yield sheaf_command(place, "store", "init")
        yield sheaf_command(place, "repo", "create", "--repo", "bench")

    def store(self, place: Place, n: int) -> Iterable[Command]:
        where = ("--path", str(place.data), "--repo", "bench", "--message", f"version {n}", "--label", f"v{n}")
        return (sheaf_command(place, "bundle", "upload", *where),)

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        where = ("--repo", "bench", "--label", f"v{n}", "--destination", str(dest))
        return (sheaf_command(place, "bundle", "download", *where),)


SHEAF = _Sheaf("Sheaf", "as it comes: durable (every pack and node synced before the commit), verified writes", "sheaf")


def python_command(place: Place, *argv: str) -> Command:
    """A Python that finds the benchmarks and Sheaf."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(_SOURCE)])
    return place.command(sys.executable, *argv, PYTHONPATH=path)
