"""What a contestant is: something that keeps versions of a folder."""

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
    """The programs that peers may be: the system's, and those of the peers' own environment."""
    return f"{PEERS_VENV / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one contestant. ``data``: the folder that is versioned."""

    root: Path
    data: Path

    @property
    def kept(self) -> Path:
        """Where the contestant keeps what it stores."""
        return self.root / "kept"

    def command(self, *argv: str, cwd: Path | None = None, **env: str) -> Command:
        """A command in this workspace; its home is here, too."""
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
        """What it calls itself; None if it is missing."""
        found = shutil.which(self.program, path=path_env())
        if found is None:
            return None
        said = subprocess.run([found, *self.version_argv], capture_output=True, text=True, check=False)
        return (said.stdout or said.stderr).strip().partition("\n")[0]

    def keeps(self, workspace: Workspace) -> Path:
        """The folder whose growth is what a version costs."""
        return workspace.kept

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        """Make what must be there before the first version is stored; not measured."""
        return ()

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        """Store the folder as version n."""
        raise NotImplementedError

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command] | None:
        """Bring version n back, into an empty folder or, if in place, where the data was; None if it can't."""
        raise NotImplementedError
