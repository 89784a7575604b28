"""Backup programs: they deduplicate parts of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.measure import Command
from bench.peers.base import Peer, Workspace

__all__ = ["BORG", "CASYNC", "RESTIC"]


class _Restic(Peer):
    def _run(self, workspace: Workspace, *argv: str, cwd: Path | None = None) -> Command:
        return workspace.command("restic", "-q", "-r", str(workspace.kept), *argv, cwd=cwd, RESTIC_PASSWORD="bench")

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (self._run(workspace, "init"),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        return (self._run(workspace, "backup", "--tag", f"v{n}", ".", cwd=workspace.data),)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        return (self._run(workspace, "restore", "latest", "--tag", f"v{n}", "--target", str(dest)),)


class _Borg(Peer):
    def _run(self, workspace: Workspace, *argv: str, cwd: Path | None = None) -> Command:
        allowed = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
        return workspace.command("borg", *argv, cwd=cwd, **allowed)

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (self._run(workspace, "init", "-e", "none", str(workspace.kept)),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        return (self._run(workspace, "create", f"{workspace.kept}::v{n}", ".", cwd=workspace.data),)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        return (self._run(workspace, "extract", f"{workspace.kept}::v{n}", cwd=dest),)


class _Casync(Peer):
    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (workspace.command("mkdir", str(workspace.kept)),)

    def _store_at(self, workspace: Workspace) -> str:
        return f"--store={workspace.kept / 'store'}"

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        index = str(workspace.kept / f"v{n}.caidx")
        return (workspace.command("casync", "make", self._store_at(workspace), index, str(workspace.data)),)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        index = str(workspace.kept / f"v{n}.caidx")
        return (workspace.command("casync", "extract", self._store_at(workspace), index, str(dest)),)


RESTIC = _Restic(
    "restic", "as it comes: encrypts, compresses (auto), 16 MiB packs, syncs its files", "restic", ("version",)
)
BORG = _Borg("borg", "no encryption, lz4 (its default)", "borg", slow=True)
CASYNC = _Casync("casync", "as it comes: 64 KiB chunks, zstd, one file a chunk", "casync", slow=True)
