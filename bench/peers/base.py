"""The interface of contestants: programs that keep versions of a folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Command

__all__ = ["PEERS_VENV", "Peer", "Workspace", "path_env"]

#: Where the Makefile puts the peers that are Python packages.
PEERS_VENV = Path(__file__).parents[2] / ".tools" / "peers"


def path_env() -> str:
    """Return the folders of programs: those of the peers' own environment, then the system's."""
    return f"{PEERS_VENV / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one contestant. ``data``: the folder that is versioned."""

    root: Path
    data: Path

    @property
    def kept(self) -> Path:
        """The folder in which the contestant keeps what it stores."""
        return self.root / "kept"

    def command(self, *argv: str, cwd: Path | None = None, **env: str) -> Command:
        """Return a command that runs in this workspace, which is also its home."""
        home = str(self.root / "home")
        surroundings = {"PATH": path_env(), "HOME": home, "LANG": "C.UTF-8", "TMPDIR": str(self.root / "tmp")}
        return Command(argv, cwd or self.root, {**surroundings, **env})


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that keeps versions of a folder.

    ``about``: how it is configured. ``in_place``: it keeps its files with the data, so it gets a copy of its own.
    ``slow``: it runs once. ``deduplicates``: a second version costs less than a copy of the first.
    """

    name: str = ""
    about: str = ""
    program: str = ""
    version_argv: tuple[str, ...] = field(default=("--version",))
    in_place: bool = False
    slow: bool = False
    deduplicates: bool = True

    def version(self) -> str | None:
        """Return the name and version that it reports; None if it is missing."""
        found = shutil.which(self.program, path=path_env())
        if found is None:
            return None
        said = subprocess.run([found, *self.version_argv], capture_output=True, text=True, check=False)
        return (said.stdout or said.stderr).strip().partition("\n")[0]

    def keeps(self, workspace: Workspace) -> Path:
        """Return the folder that a new version makes larger."""
        return workspace.kept

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        """Prepare for the first version; not measured."""
        return ()

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        """Store the folder as version n."""
        raise NotImplementedError

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command] | None:
        """Restore version n, into an empty folder or, if in place, over the data; None if it can't."""
        raise NotImplementedError
