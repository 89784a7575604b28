"""Copies without versions: what the disk and the kernel can do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.measure import Command
from bench.peers.base import Peer, Place

__all__ = ["CP", "RCLONE", "TAR"]


class _Cp(Peer):
    def prepare(self, place: Place) -> Iterable[Command]:
        return (place.command("mkdir", str(place.kept)),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        yield place.command("cp", "-r", str(place.data), str(place.kept / f"v{n}"))
        yield place.command("sync", "-f", str(place.kept))

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        return (place.command("cp", "-r", f"{place.kept / f'v{n}'}/.", str(dest)),)


class _Tar(Peer):
    def prepare(self, place: Place) -> Iterable[Command]:
        return (place.command("mkdir", str(place.kept)),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        yield place.command("tar", "-cf", str(place.kept / f"v{n}.tar"), "-C", str(place.data), ".")
        yield place.command("sync", "-f", str(place.kept))

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        return (place.command("tar", "-xf", str(place.kept / f"v{n}.tar"), "-C", str(dest)),)


class _Rclone(Peer):
    def prepare(self, place: Place) -> Iterable[Command]:
        return (place.command("mkdir", str(place.kept)),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        return (place.command("rclone", "sync", "-q", str(place.data), str(place.kept / "now")),)

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        return (place.command("rclone", "copy", "-q", str(place.kept / "now"), str(dest)),)


CP = _Cp("cp", "`cp -r`, then `sync -f`; a whole copy for each version", "cp")
TAR = _Tar("tar", "`tar -cf`, then `sync -f`; a whole archive for each version", "tar")
RCLONE = _Rclone(
    "rclone", "`rclone sync` into one folder, 4 transfers; keeps one version", "rclone", ("version",), slow=True
)
