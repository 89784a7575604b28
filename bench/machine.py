"""The machine that the figures are from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["busy", "describe"]

_LIBRARIES = ("blake3", "msgspec", "numpy", "obstore", "pyarrow", "pyfastcdc", "zstandard")


def describe(work: Path, shm: Path | None) -> dict[str, Any]:
    """Processor, memory, disk, system, versions, and how busy the machine is now."""
    return {
        "cpu": _first_of("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory": _first_of("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "disk": _filesystem(work),
        "memory_disk": _filesystem(shm) if shm else "none",
        "load": os.getloadavg(),
        "commit": _commit(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def busy(load: Sequence[float], cores: int) -> list[str]:
    """Return a note if other programs use more than half of the cores: wall seconds then say little."""
    if load[0] <= cores / 2:
        return []
    return [f"The machine was busy with other work when the run began: load {load[0]:.1f} on {cores} cores."]


def _first_of(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _filesystem(folder: Path) -> str:
    said = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def _commit() -> str:
    here = Path(__file__).parent
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return said.stdout.strip()
