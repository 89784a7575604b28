"""Real file systems of a few MiB, which can be filled up and given room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KINDS = ("tmpfs", "ext4")
_SIZE = 24 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system mounted at ``root``."""

    root: Path

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int) -> None:
        """Leave so many bytes, about."""
        self.make_room()
        size = self.free - leave
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
        if not leave:
            self._fill_up()

    def _fill_up(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(512)) == 512:
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted(kind: str, scratch: Path) -> Iterator[Disk]:
    """A disk; skips the test, with the reason, where that is not allowed."""
    root = scratch / "disk"
    root.mkdir()
    if os.geteuid():
        pytest.skip(f"not root, so no {kind} can be mounted")
    why = _mount(kind, scratch, root)
    if why:
        pytest.skip(f"no {kind} can be mounted here: {why}")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", str(root)], check=True)


def _mount(kind: str, scratch: Path, root: Path) -> str:
    """Mounts; why that didn't work, or nothing."""
    if kind == "tmpfs":
        return _tried(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(root)])
    image = scratch / "image"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    if shutil.which("mkfs.ext4") is None:
        return "there is no mkfs.ext4"
    make_format = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image)]
    return _tried(make_format) or _tried(["mount", "-o", "loop", str(image), str(root)])


def _tried(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["it failed"])[0] if done.returncode else ""
