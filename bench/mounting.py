"""Run a FUSE mount while something is measured."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Command, Failed

__all__ = ["can_mount", "mounted"]

_UP_S = 60


def can_mount() -> bool:
    """True if pyfuse3 and /dev/fuse are there."""
    return importlib.util.find_spec("pyfuse3") is not None and Path("/dev/fuse").exists()


@contextmanager
def mounted(how: Command, folder: Path) -> Iterator[Path]:
    """Start a program that mounts at ``folder``, wait until it has, and unmount in the end. Raises Failed."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(how.argv, cwd=how.cwd, env=dict(how.env), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _UP_S
        while f" {folder} fuse" not in Path("/proc/self/mounts").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{how.argv[0]} did not mount")
            time.sleep(0.05)
        yield folder
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False)
        process.wait()
