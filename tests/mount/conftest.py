"""Real mounts in processes of their own, taken away after each test whatever happens."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.servers.fixtures import dummy_credentials, fresh, s3_endpoint

import sheaf

__all__ = ["dummy_credentials", "fresh", "s3_endpoint"]

_PATIENCE_S = 60
_CAP_SYS_ADMIN = 21  # as capability.h has it


def _may_mount() -> bool:
    """Whether the device is there and, for root in a container, the right to mount."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    (rights,) = re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())
    return os.getuid() != 0 or bool(int(rights, 16) >> _CAP_SYS_ADMIN & 1)


def missing() -> str:
    """Why nothing can be mounted here; empty if all is there."""
    if not _may_mount():
        return "no /dev/fuse that may be used here"
    if shutil.which("fusermount3") is None:
        return "fuse3 is not installed"
    for name in ("pyfuse3", "mfusepy"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that mount are skipped where nothing can be mounted."""
    reason = missing()
    for item in items:
        if reason and "mounts" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass
class Mount:
    """One process that mounts a folder."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def out(self) -> str:
        return self.log.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self.log.with_suffix(".err").read_text()

    def wait_up(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not is_mounted(self.folder):
            assert self.process.poll() is None, f"it ended: {self.err}"
            assert time.monotonic() < deadline, f"it was never mounted: {self.err}"
            time.sleep(0.02)

    def wait_end(self) -> int:
        return self.process.wait(_PATIENCE_S)

    def unmount(self) -> int:
        """As a user does; the exit code of the process that had mounted it."""
        subprocess.run(["fusermount3", "-u", str(self.folder)], check=True)
        return self.wait_end()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait_end()


def is_mounted(folder: Path) -> bool:
    """By the kernel's list: looking into the folder might hang."""
    return mount_type(folder) is not None


def mount_type(folder: Path) -> str | None:
    for line in os.fsdecode(Path("/proc/self/mounts").read_bytes()).splitlines():
        words = line.split()
        if words[1].replace("\\040", " ") == str(folder):
            return words[2]
    return None


@dataclass
class Mounts:
    """A user with a store, who mounts things."""

    home: Path
    url: str
    variables: dict[str, str] = field(default_factory=dict)
    _all: list[Mount] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return {**inherited, **aws, "HOME": str(self.home), "SHEAF_STORE": self.url, "LC_ALL": "C", **self.variables}

    def command(self, *args: object, program: str = "main") -> list[str]:
        return [sys.executable, "-c", f"from sheaf.cli.{program} import main; main()", *map(str, args)]

    def run(self, *args: object, program: str = "main", code: int = 0) -> str:
        command = self.command(*args, program=program)
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
        return done.stdout + done.stderr

    def start(self, *args: object, program: str = "main", up: bool = True) -> Mount:
        """Run a mounting command in the background, until the folder is there."""
        folder = self.home / f"mnt{len(self._all)}"
        log = self.home / f"mount{len(self._all)}"
        command = self.command(*args, "--mount", folder, program=program)
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        mount = Mount(folder, process, log)
        self._all.append(mount)
        if up:
            mount.wait_up()
        return mount

    def clean(self) -> None:
        for mount in self._all:
            if is_mounted(mount.folder):
                subprocess.run(["fusermount3", "-u", "-z", str(mount.folder)], check=False)
            with contextlib.suppress(ProcessLookupError):
                mount.process.kill()
            mount.process.wait(_PATIENCE_S)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    """A store in a folder, with an empty repo ``r``."""
    home = tmp_path / "home"
    home.mkdir()
    with sheaf.init(f"file://{tmp_path}/store", probe=False) as store:
        store.create_repo("r")
    made = Mounts(home, f"file://{tmp_path}/store")
    try:
        yield made
    finally:
        made.clean()


@pytest.fixture
def store(mounts: Mounts) -> Iterator[sheaf.Store]:
    """The same store from Python."""
    with sheaf.connect(mounts.url) as found:
        yield found


@pytest.fixture(params=["pyfuse3", "mfusepy"])
def library(request: pytest.FixtureRequest) -> str:
    """Each of the two bindings."""
    return str(request.param)
