"""S7, W9 and W10: commands that do little, and a look into a bundle of a million entries."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench.harness import Bench
from bench.measure import footprint, run, run_all
from bench.million import folder_name
from bench.peers import SHEAF, Workspace
from bench.peers.sheaf import python_command, sheaf_command
from bench.report import Target

__all__ = ["million", "one_small_file", "start_up"]

_PASS, _PARQUET = "python -c pass", 'python -c "import pyarrow.parquet"'
_CHANGES = 1000


def million(bench: Bench) -> None:
    """W9: every command is a process of its own, with what Python and pyarrow take to start counted off."""
    entries = bench.profile.entries
    with bench.folder("million") as root:
        workspace = _workspace(root)
        made = run_all(
            [python_command(workspace, "-m", "bench.million", str(workspace.kept), str(entries), str(_CHANGES))]
        )
        bench.note("W9", f"{entries:,} entries, written twice", "Sheaf", made, footprint(workspace.kept))
        grown = [_look(bench, workspace, number) for number in range(bench.profile.startups)]
    base = bench.report.wall("W9", "start-up", _PARQUET) or 0.0
    for step, limit in (("list a folder", 0.5), (f"diff with {_CHANGES:,} changes", 2.0), ("commit one file", 4.0)):
        beyond = (bench.report.wall("W9", step, "Sheaf") or 0.0) - base
        bench.report.targets.append(Target("W9", step + ", beyond start-up", beyond, base, _PARQUET, "s", limit))
    bench.report.limit("W9", "written by the commit", median(grown) / 2**20, 2.0, "MiB")


def _look(bench: Bench, workspace: Workspace, number: int) -> int:
    """One round; returns the bytes that the commit wrote."""
    bench.note("W9", "start-up", _PARQUET, run(python_command(workspace, "-c", "import pyarrow.parquet")))
    folder = folder_name(bench.profile.entries // 2000)
    bench.note("W9", "list a folder", "Sheaf", run(sheaf_command(workspace, "ls", f"bench@v0:{folder}")))
    diff = sheaf_command(workspace, "diff", "bench@v0", "bench@v1")
    bench.note("W9", f"diff with {_CHANGES:,} changes", "Sheaf", run(diff))
    source = workspace.root / "new.bin"
    source.write_text(f"content {number}")
    before = footprint(workspace.kept)
    commit = sheaf_command(
        workspace, "cp", str(source), f"bench@main:{folder}/item-{bench.profile.entries // 2:09}.bin"
    )
    sample = run(commit)
    grown = footprint(workspace.kept) - before
    bench.note("W9", "commit one file", "Sheaf", sample, grown)
    return grown.bytes


def one_small_file(bench: Bench) -> None:
    """S7: an upload of one small file, ``cat`` of it and ``label list``, beyond what ``python -c pass`` takes."""
    with bench.folder("one") as root:
        workspace = _workspace(root)
        (root / "data").mkdir()
        for command in SHEAF.prepare(workspace):
            run(command)
        for number in range(bench.profile.startups):
            (workspace.data / "file.txt").write_text(f"content {number}")
            (upload,) = SHEAF.store(workspace, number)
            bench.note("S7", _PASS, "Python", run(python_command(workspace, "-c", "pass")))
            bench.note("S7", "bundle upload", SHEAF.name, run(upload))
            bench.note("S7", "cat", SHEAF.name, run(sheaf_command(workspace, "cat", f"bench@v{number}:file.txt")))
            bench.note(
                "S7", "label list", SHEAF.name, run(sheaf_command(workspace, "label", "list", "--repo", "bench"))
            )
    base = bench.report.wall("S7", _PASS, "Python") or 0.0
    for step, limit in (("bundle upload", 0.40), ("cat", 0.36), ("label list", 0.18)):
        beyond = (bench.report.wall("S7", step, SHEAF.name) or 0.0) - base
        bench.report.limit("S7", f"{step}, beyond {_PASS}", beyond, limit, "s")


def start_up(bench: Bench) -> None:
    """W10."""
    with bench.folder("startup") as root:
        workspace = _workspace(root)
        for command in (("store", "init"), ("repo", "create", "--repo", "bench")):
            run(sheaf_command(workspace, *command))
        source = root / "data"
        source.mkdir()
        upload = ("bundle", "upload", "--path", str(source), "--repo", "bench", "--message", "m", "--label", "one")
        run(sheaf_command(workspace, *upload))
        for _ in range(2 * bench.profile.startups):
            bench.note("W10", "start-up", _PASS, run(python_command(workspace, "-c", "pass")))
            bench.note("W10", "sheaf version", "Sheaf", run(sheaf_command(workspace, "version")))
            listing = sheaf_command(workspace, "label", "list", "--repo", "bench")
            bench.note("W10", "sheaf label list", "Sheaf", run(listing))
    bench.report.aim("W10", "sheaf version", _PASS, 6, against="start-up")
    bench.report.aim("W10", "sheaf label list", _PASS, 14, against="start-up")


def _workspace(root: Path) -> Workspace:
    for name in ("home", "tmp"):
        (root / name).mkdir()
    return Workspace(root, root / "data")
