"""Copies without versions: what the disk and the kernel can do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.measure import Command
from bench.peers.base import Peer, Workspace

__all__ = ["CP", "RCLONE", "TAR"]


class _Cp(Peer):
    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (workspace.command("mkdir", str(workspace.kept)),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        yield workspace.command("cp", "-r", str(workspace.data), str(workspace.kept / f"v{n}"))
        yield workspace.command("sync", "-f", str(workspace.kept))

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        return (workspace.command("cp", "-r", f"{workspace.kept / f'v{n}'}/.", str(dest)),)


class _Tar(Peer):
    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (workspace.command("mkdir", str(workspace.kept)),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        yield workspace.command("tar", "-cf", str(workspace.kept / f"v{n}.tar"), "-C", str(workspace.data), ".")
        yield workspace.command("sync", "-f", str(workspace.kept))

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        return (workspace.command("tar", "-xf", str(workspace.kept / f"v{n}.tar"), "-C", str(dest)),)


class _Rclone(Peer):
    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (workspace.command("mkdir", str(workspace.kept)),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        return (workspace.command("rclone", "sync", "-q", str(workspace.data), str(workspace.kept / "now")),)

    def restore(self, workspace: Workspace, n: int, dest: Path) -> Iterable[Command]:
        return (workspace.command("rclone", "copy", "-q", str(workspace.kept / "now"), str(dest)),)


CP = _Cp("cp", "`cp -r`, then `sync -f`; a whole copy for each version", "cp", deduplicates=False)
TAR = _Tar("tar", "`tar -cf`, then `sync -f`; a whole archive for each version", "tar", deduplicates=False)
RCLONE = _Rclone(
    "rclone", "`rclone sync` into one folder, 4 transfers; keeps one version", "rclone", ("version",), slow=True
)
