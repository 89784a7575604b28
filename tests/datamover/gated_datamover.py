"""``sheaf`` whose datamover waits at gates, so that a test can kill it at each step.

A gate is reached when ``GATES/STEP.reached`` exists, and closed as long as ``GATES/STEP.closed`` does.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from sheaf.cli import main
from sheaf.cli.commands import datamover
from sheaf.datamover import file_removal

_GATES = Path(os.environ["GATES"])


def _pass(step: str) -> None:
    (_GATES / f"{step}.reached").touch()
    while (_GATES / f"{step}.closed").exists():
        time.sleep(0.02)


def _gated(name: str) -> None:
    act = getattr(datamover._Watcher, name)

    def call(self: Any, *args: Any) -> Any:
        done = act(self, *args)
        step = args[0] if name == "progress" else name
        _pass(step)
        return done

    setattr(datamover._Watcher, name, call)


def _gated_unlink() -> None:
    real = os.unlink
    seen: set[str] = set()

    def unlink(path: Any, **extra: Any) -> None:
        is_moved = str(path).startswith(file_removal.ASIDE) and str(path) not in seen
        seen.add(str(path))  # when a file gets its name back, nothing waits
        if is_moved:
            _pass("moved-aside")
        real(path, **extra)
        if is_moved:
            _pass("deleted")

    os.unlink = unlink


if __name__ == "__main__":
    for each in ("listed", "committed", "uploaded", "removable", "progress"):
        _gated(each)
    _gated_unlink()
    main.main()
