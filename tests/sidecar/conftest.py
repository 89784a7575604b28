"""Both sides of a pod as processes, and one side played by the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import sheaf.sidecar

SCRIPTS = Path(sheaf.sidecar.__file__).parent / "shell"
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash"], "bash as sh": ["bash", "--posix"]}
PATIENCE_S = 60


def wait_for(what: Callable[[], bool], text: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, f"it never happened: {text}"
        time.sleep(0.02)


@dataclass
class Process:
    """One side, in a group of processes of its own, as in a container."""

    popen: subprocess.Popen[bytes]
    log: Path

    def end(self) -> int:
        """The exit code, as a shell shows it."""
        code = self.popen.wait(PATIENCE_S)
        return code if code >= 0 else 128 - code

    @property
    def err(self) -> str:
        return self.log.with_suffix(".err").read_text()

    @property
    def out(self) -> str:
        return self.log.with_suffix(".out").read_text()

    def signal(self, number: signal.Signals) -> None:
        """As the container runtime does: SIGTERM for the first process, SIGKILL for all."""
        if number == signal.SIGKILL:
            os.killpg(self.popen.pid, number)
        else:
            self.popen.send_signal(number)


@dataclass
class Pod:
    """Starts processes, and ends all of them in the end."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    _all: list[Process] = field(default_factory=list)

    @property
    def coord(self) -> Path:
        return self.home / "coord"

    def start(self, *command: object, stdin: int = subprocess.DEVNULL) -> Process:
        log = self.home / f"process{len(self._all)}"
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.pop('PATH', '')}"
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin,
                stdout=out,
                stderr=err,
                env={**inherited, "PATH": path, "HOME": str(self.home), "LC_ALL": "C", **self.variables},
                start_new_session=True,
                cwd=self.home,
            )
        process = Process(popen, log)
        self._all.append(process)
        return process

    def application(self, *args: object, shell: str = "dash", stdin: int = subprocess.DEVNULL) -> Process:
        """``wrap_application.sh`` with these arguments, quick to notice things."""
        return self.start(
            *SHELLS[shell], SCRIPTS / "wrap_application.sh", "-c", self.coord, "-p", "0.05", *args, stdin=stdin
        )

    def clean(self) -> None:
        for process in self._all:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.popen.pid, signal.SIGKILL)
            process.popen.wait(PATIENCE_S)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(tmp_path)
    try:
        yield made
    finally:
        made.clean()


class PlayedSidecar:
    """The files that a sidecar writes. Within it, there are signs of life."""

    def __init__(self, folder: Path, kind: str = "fuse") -> None:
        self.folder = folder
        self.kind = kind
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        folder.mkdir(exist_ok=True)

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(0.03):
            count += 1
            new = self.folder / ".running.new"
            new.write_text(f"{count}\n")
            new.replace(self.folder / f"{self.kind}-running")

    def emit(self, event: str) -> None:
        (self.folder / event).touch()

    def fail(self, message: str) -> None:
        new = self.folder / ".failed.new"
        new.write_text(f"{message}\n")
        new.replace(self.folder / f"{self.kind}-failed")

    def await_(self, event: str) -> None:
        wait_for((self.folder / event).exists, event)

    def await_life(self) -> None:
        self.await_(f"{self.kind}-running")

    def die(self) -> None:
        """No more signs of life."""
        self._ended.set()
        self._thread.join()

    def __enter__(self) -> PlayedSidecar:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell that has to run the scripts."""
    name = str(request.param)
    if shutil.which(SHELLS[name][0]) is None:
        pytest.skip(f"{SHELLS[name][0]} is not installed")
    return name
