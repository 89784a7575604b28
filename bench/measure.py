"""What a run costs: seconds, CPU seconds, peak memory, and what it leaves on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

__all__ = ["Command", "Failed", "Footprint", "Sample", "footprint", "middle", "run", "run_all"]

_METER = Path(__file__).with_name("meter.py")


class Failed(Exception):
    """A command failed; the message has the end of its output."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run. ``env`` is all of its environment."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    ok: tuple[int, ...] = (0,)

    def with_env(self, **more: str) -> Command:
        """The same with more variables in its environment."""
        return replace(self, env={**self.env, **more})


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. ``rss_bytes``: peak resident memory of the largest process."""

    wall_s: float
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """What lies in a folder: bytes of all files as their sizes say, and how many files."""

    bytes: int = 0
    objects: int = 0

    def __sub__(self, other: Footprint) -> Footprint:
        return Footprint(self.bytes - other.bytes, self.objects - other.objects)


def run(command: Command, deadline: float | None = None) -> Sample:
    """Run a command to its end, at most until a time of ``time.monotonic``. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="sheaf-bench-") as folder:
        result, output = Path(folder, "result"), Path(folder, "output")
        argv = [sys.executable, "-I", "-S", str(_METER), str(result), *command.argv]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                argv, cwd=command.cwd, env=dict(command.env), stdout=sink, stderr=sink, start_new_session=True
            )
        _wait(process, command, deadline)
        code, wall, cpu, rss = result.read_text().split()
        if int(code) not in command.ok:
            said = output.read_text(errors="replace").strip()[-2000:]
            raise Failed(f"{' '.join(command.argv)} ended with {code}: {said}")
    return Sample(float(wall), float(cpu), int(rss))


def _wait(process: subprocess.Popen[bytes], command: Command, deadline: float | None) -> None:
    left = None if deadline is None else max(deadline - time.monotonic(), 1.0)
    try:
        process.wait(left)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Failed(f"{command.argv[0]} was ended: the time of the whole run was used") from error
        raise


def run_all(commands: Iterable[Command], deadline: float | None = None) -> Sample:
    """Commands one after the other, as one run. What was written before is on the disk before the clock starts."""
    os.sync()
    samples = [run(command, deadline) for command in commands]
    return Sample(sum(s.wall_s for s in samples), sum(s.cpu_s for s in samples), max(s.rss_bytes for s in samples))


def middle(samples: Sequence[Sample]) -> Sample:
    """The median of each figure; of memory, the greatest."""
    return Sample(
        median(s.wall_s for s in samples), median(s.cpu_s for s in samples), max(s.rss_bytes for s in samples)
    )


def footprint(folder: Path) -> Footprint:
    """What lies below a folder."""
    size = count = 0
    for at, _, names in os.walk(folder):
        for name in names:
            size += os.lstat(os.path.join(at, name)).st_size
            count += 1
    return Footprint(size, count)
