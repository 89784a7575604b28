"""W5 and W6: one big file, and small edits in one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from bench.generate.big import half_compressible, random_file, three_edits
from bench.harness import Bench
from bench.measure import Command
from bench.peers import SHEAF, Peer, Workspace

__all__ = ["big", "edits"]

ONE = "one big file"


class _Passes(Peer):
    """What has to be done to the bytes, by the programs that do each of it best, one after the other."""

    def version(self) -> str | None:
        return "cp, b3sum, zstd" if shutil.which("b3sum") and shutil.which("zstd") else None

    def prepare(self, workspace: Workspace) -> Iterable[Command]:
        return (workspace.command("mkdir", str(workspace.kept)),)

    def store(self, workspace: Workspace, n: int) -> Iterable[Command]:
        source = next(path for path in workspace.data.iterdir() if path.is_file())
        yield workspace.command("cp", str(source), str(workspace.kept / "copy"))
        yield workspace.command("b3sum", str(source))
        yield workspace.command("zstd", "-q", "-1", str(source), "-o", str(workspace.kept / "copy.zst"))

    def restore(self, workspace: Workspace, n: int, dest: Path) -> None:
        return None


_PASSES = _Passes("passes", "`cp`, `b3sum` and `zstd -1` of it, one after the other; nothing synced")


def big(bench: Bench) -> None:
    """W5."""
    peers = bench.contestants()
    if _PASSES.version():
        peers.insert(1, _PASSES)
        bench.report.peers[_PASSES.name] = {"version": _PASSES.version() or "", "configuration": _PASSES.about}
    else:
        bench.report.notes.append("W5 is not compared with cp + b3sum + zstd: one of them is not installed.")
    with bench.folder("big") as data:
        half_compressible(data / "big.bin", bench.profile.big_bytes)
        for peer in bench.rounds("W5", peers):
            with bench.forgiving("W5", peer), bench.workspace(peer, data) as workspace:
                done = bench.store("W5", ONE, peer, workspace, 1)
                if done and (peer is SHEAF or peer.name in ("cp", "restic")):
                    bench.restore("W5", "download of it", peer, workspace, 1)
    bench.report.aim("W5", ONE, "restic", 0.6)
    bench.report.aim("W5", ONE, "passes", 1.3)


def edits(bench: Bench) -> None:
    """W6: what the second version adds. It is the same each time, so everyone runs once."""
    for peer in bench.rounds("W6", bench.contestants(), 1):
        if peer.name in ("cp", "tar", "rclone"):
            continue
        with bench.folder("edits") as data:
            random_file(data / "big.bin", bench.profile.edited_bytes)
            with bench.forgiving("W6", peer), bench.workspace(peer, data) as workspace:
                bench.store("W6", "random file", peer, workspace, 1)
                three_edits(workspace.data / "big.bin")
                bench.settle()
                bench.store("W6", "three edits", peer, workspace, 2)
    ours = bench.report.find("W6", "three edits", SHEAF.name)
    if ours and ours.grown:
        bench.report.limit("W6", "growth by three edits", ours.grown.bytes / 2**20, 0.65, "MiB")
