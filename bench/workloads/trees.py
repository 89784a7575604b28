"""S1 to S4: folders of many files, as people have them; first upload, again, with some edited, and download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.generate.sources import Missing, source_files
from bench.generate.trees import edit_mixed, equal_files, image_files, mixed_files, tiny_files
from bench.harness import Bench
from bench.measure import Command, run, run_all
from bench.peers import SHEAF, Peer, Workspace

__all__ = ["AGAIN", "BACK", "EDITED", "FIRST", "equal", "images", "mixed", "sources", "unchanged"]

FIRST, AGAIN, EDITED, BACK = "first upload", "again, unchanged", "1 % edited", "download"
_PEERS = ("cp", "restic")
_KiB = 1 << 10
_ONE_FILE = "again, one unchanged file"


@dataclass(frozen=True, slots=True)
class _Life:
    """What happens to one folder in each round. ``edit``: changes some files, given the number of the round."""

    workload: str
    suffix: str = ""
    again: bool = False
    edit: Callable[[Path, int], object] | None = None


def _run(bench: Bench, life: _Life, data: Path) -> None:
    """Let Sheaf, cp and restic do it in turns."""
    for number, peer in enumerate(bench.rounds(life.workload, bench.contestants(*_PEERS))):
        with bench.forgiving(life.workload, peer), bench.workspace(peer, data) as workspace:
            _round(bench, life, peer, workspace, number)


def _round(bench: Bench, life: _Life, peer: Peer, workspace: Workspace, number: int) -> None:
    if bench.store(life.workload, FIRST + life.suffix, peer, workspace, 1) is None:
        return
    newest = 1
    # A copy has no second version to compare with.
    if life.again and peer.deduplicates:
        bench.settle()
        bench.store(life.workload, AGAIN + life.suffix, peer, workspace, newest := 2)
        if peer is SHEAF:
            bench.note(life.workload, AGAIN + life.suffix, "find", run_all([_find(workspace)]))
    if life.edit and peer.deduplicates:
        life.edit(workspace.data, number)
        bench.settle()
        bench.store(life.workload, EDITED + life.suffix, peer, workspace, newest := newest + 1)
    bench.restore(life.workload, BACK + life.suffix, peer, workspace, newest)


def _find(workspace: Workspace) -> Command:
    return workspace.command("find", str(workspace.data), "-printf", "%s %T@\n")


def mixed(bench: Bench) -> None:
    """S1: files of many sizes and kinds."""
    count, report = bench.profile.mixed_files, bench.report
    with bench.folder("mixed") as data:
        size = mixed_files(data, count)
        bench.log(f"S1: {count} files, {size >> 20} MiB")
        _run(bench, _Life("S1", again=True, edit=lambda root, number: edit_mixed(root, count, number)), data)
    report.aim("S1", FIRST, "restic", 0.40)
    report.aim("S1", FIRST, "cp", 1.0)
    report.aim("S1", AGAIN, "restic", 0.25)
    report.aim("S1", AGAIN, "find", 4)
    report.aim("S1", EDITED, "restic", 0.30)
    report.aim("S1", BACK, "restic", 0.50)
    report.aim("S1", BACK, "cp", 1.3)


def unchanged(bench: Bench) -> None:
    """S1: what each of very many unchanged files costs, beyond what an upload of one unchanged file takes."""
    many = bench.profile.unchanged_files
    step = f"again, {many:,} unchanged files"
    for name, count in ((_ONE_FILE, 1), (step, many)):
        with bench.folder("unchanged") as data:
            tiny_files(data, count)
            with bench.workspace(SHEAF, data) as workspace:
                run(next(iter(SHEAF.store(workspace, 0))))
                for number in range(1, max(bench.profile.rounds, 3) + 1):
                    bench.store("S1", name, SHEAF, workspace, number)
                    bench.note("S1", name, "find", run_all([_find(workspace)]))
    beyond = (bench.report.wall("S1", step, SHEAF.name) or 0.0) - (
        bench.report.wall("S1", _ONE_FILE, SHEAF.name) or 0.0
    )
    bench.report.limit("S1", f"a file of {many:,} unchanged ones, beyond start-up", beyond / many * 1e6, 8, "µs")


def sources(bench: Bench) -> None:
    """S2: real source files."""
    with bench.folder("sources") as data:
        try:
            count = source_files(data, bench.archives, bench.profile.source_files)
        except Missing as error:
            bench.report.notes.append(f"S2 was not run: {error}; `make bench` downloads it.")
            return
        bench.log(f"S2: {count} files")
        _run(bench, _Life("S2"), data)
    bench.report.aim("S2", FIRST, "restic", 0.50)
    bench.report.aim("S2", BACK, "restic", 0.55)


def images(bench: Bench) -> None:
    """S3: files that can't be compressed."""
    with bench.folder("images") as data:
        image_files(data, bench.profile.image_files)
        _run(bench, _Life("S3", again=True), data)
    bench.report.aim("S3", FIRST, "restic", 0.45)
    bench.report.aim("S3", FIRST, "cp", 1.0)
    bench.report.aim("S3", AGAIN, "restic", 0.35)
    bench.report.aim("S3", BACK, "restic", 0.50)


def equal(bench: Bench) -> None:
    """S4: files just below and just above the smallest size that may be cut into chunks."""
    ours = []
    for size in (15 * _KiB, 17 * _KiB):
        suffix = f", {size // _KiB} KiB"
        with bench.folder("equal") as data:
            equal_files(data, bench.profile.equal_files, size)
            _run(bench, _Life("S4", suffix), data)
        bench.report.aim("S4", FIRST + suffix, "restic", 0.45)
        bench.report.aim("S4", BACK + suffix, "restic", 0.80)
        found = bench.report.find("S4", FIRST + suffix, SHEAF.name)
        ours.append(median(sample.wall_s for sample in found.samples) if found else 0.0)
    if all(ours):
        bench.report.limit("S4", "15 and 17 KiB, the slower beside the faster", max(ours) / min(ours), 1.3, "×")
