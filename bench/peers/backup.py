"""Backup programs: they deduplicate parts of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.measure import Command
from bench.peers.base import Peer, Place

__all__ = ["BORG", "CASYNC", "RESTIC"]


class _Restic(Peer):
    def _run(self, place: Place, *argv: str, cwd: Path | None = None) -> Command:
        return place.command("restic", "-q", "-r", str(place.kept), *argv, cwd=cwd, RESTIC_PASSWORD="bench")

    def prepare(self, place: Place) -> Iterable[Command]:
        return (self._run(place, "init"),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        return (self._run(place, "backup", "--tag", f"v{n}", ".", cwd=place.data),)

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        return (self._run(place, "restore", "latest", "--tag", f"v{n}", "--target", str(dest)),)


class _Borg(Peer):
    def _run(self, place: Place, *argv: str, cwd: Path | None = None) -> Command:
        allowed = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
        return place.command("borg", *argv, cwd=cwd, **allowed)

    def prepare(self, place: Place) -> Iterable[Command]:
        return (self._run(place, "init", "-e", "none", str(place.kept)),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        return (self._run(place, "create", f"{place.kept}::v{n}", ".", cwd=place.data),)

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        return (self._run(place, "extract", f"{place.kept}::v{n}", cwd=dest),)


class _Casync(Peer):
    def prepare(self, place: Place) -> Iterable[Command]:
        return (place.command("mkdir", str(place.kept)),)

    def _store_at(self, place: Place) -> str:
        return f"--store={place.kept / 'store'}"

    def store(self, place: Place, n: int) -> Iterable[Command]:
        index = str(place.kept / f"v{n}.caidx")
        return (place.command("casync", "make", self._store_at(place), index, str(place.data)),)

    def restore(self, place: Place, n: int, dest: Path) -> Iterable[Command]:
        index = str(place.kept / f"v{n}.caidx")
        return (place.command("casync", "extract", self._store_at(place), index, str(dest)),)


RESTIC = _Restic(
    "restic", "as it comes: encrypts, compresses (auto), 16 MiB packs, syncs its files", "restic", ("version",)
)
BORG = _Borg("borg", "no encryption, lz4 (its default)", "borg", slow=True)
CASYNC = _Casync("casync", "as it comes: 64 KiB chunks, zstd, one file a chunk", "casync", slow=True)
