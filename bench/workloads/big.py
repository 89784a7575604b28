"""W5 and W6: one big file, and small edits in one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from bench.generate import half_compressible, random_file, three_edits
from bench.harness import Bench
from bench.measure import Command
from bench.peers import SHEAF, Peer, Place

__all__ = ["big", "edits"]

ONE = "one big file"


class _Passes(Peer):
    """What has to be done to the bytes, by the programs that do each of it best, one after the other."""

    def version(self) -> str | None:
        return "cp, b3sum, zstd" if shutil.which("b3sum") and shutil.which("zstd") else None

    def prepare(self, place: Place) -> Iterable[Command]:
        return (place.command("mkdir", str(place.kept)),)

    def store(self, place: Place, n: int) -> Iterable[Command]:
        source = next(path for path in place.data.iterdir() if path.is_file())
        yield place.command("cp", str(source), str(place.kept / "copy"))
        yield place.command("b3sum", str(source))
        yield place.command("zstd", "-q", "-1", str(source), "-o", str(place.kept / "copy.zst"))

    def restore(self, place: Place, n: int, dest: Path) -> None:
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
            with bench.forgiving("W5", peer), bench.place(peer, data) as place:
                done = bench.store("W5", ONE, peer, place, 1)
                if done and (peer is SHEAF or peer.name in ("cp", "restic")):
                    bench.restore("W5", "download of it", peer, place, 1)
    bench.report.aim("W5", ONE, "restic", 0.6)
    bench.report.aim("W5", ONE, "passes", 1.3)


def edits(bench: Bench) -> None:
    """W6: what the second version adds. It is the same each time, so everyone runs once."""
    for peer in bench.rounds("W6", bench.contestants(), 1):
        if peer.name in ("cp", "tar", "rclone"):
            continue
        with bench.folder("edits") as data:
            random_file(data / "big.bin", bench.profile.edited_bytes)
            with bench.forgiving("W6", peer), bench.place(peer, data) as place:
                bench.store("W6", "random file", peer, place, 1)
                three_edits(place.data / "big.bin")
                bench.settle()
                bench.store("W6", "three edits", peer, place, 2)
    ours = bench.report.find("W6", "three edits", SHEAF.name)
    if ours and ours.grown:
        bench.report.limit("W6", "growth by three edits", ours.grown.bytes / 2**20, 0.65, "MiB")
