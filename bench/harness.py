"""The base of all workloads: workspaces of contestants, rounds in which they alternate, and the clock of the whole run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.generate.sources import ARCHIVES
from bench.measure import Failed, Footprint, Sample, footprint, run, run_all
from bench.peers import PEERS, SHEAF, Peer, Workspace
from bench.profile import Profile
from bench.report import Report

__all__ = ["Bench"]

#: A file that was written so lately may change again without a sign of it in its times; Sheaf reads it again.
_SETTLED_S = 2.2
#: Removed folders stay on the disk, up to so many bytes: ext4 looks at each inode that was freed in the last minute before
#: it uses another, so the next program that writes many files would be two to five times slower. They are deleted
#: together, and the run waits then.
_TRASH_BYTES = 10 << 30
_FREED_S = 65
_BLOCK = 4096  # bytes that a file's size is rounded up to on the disk


@dataclass(slots=True)
class Bench:
    """One run of the benchmarks.

    ``work``: a folder on the disk that is measured; ``shm``: one in memory, if any; ``archives``: a folder with source
    code to measure with.
    """

    profile: Profile
    work: Path
    shm: Path | None
    report: Report
    log: Callable[[str], None]
    archives: Path = ARCHIVES
    only_peers: frozenset[str] = frozenset()
    deadline: float = field(default=0.0, init=False)
    late_at: float = field(default=0.0, init=False)
    _trash: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.deadline = self.late_at = time.monotonic() + self.profile.minutes * 57

    # -- time ----------------------------------------------------------------------------------------------------------

    def begin(self, share: float) -> None:
        """Begin a workload: it is late once it has used its share of the time that is left."""
        now = time.monotonic()
        self.late_at = now + max(self.deadline - now, 0.0) * share

    @property
    def is_late(self) -> bool:
        """Whether repeats and slow contestants are left out from here on."""
        return time.monotonic() > self.late_at

    @property
    def is_over(self) -> bool:
        """Whether the time of the whole run is used."""
        return time.monotonic() > self.deadline

    # -- contestants ---------------------------------------------------------------------------------------------------

    def contestants(self, *names: str) -> list[Peer]:
        """Return Sheaf and those of the named peers (all, if none is named) that are on this machine."""
        wanted = [peer for peer in PEERS if not names or peer.name in names or peer is SHEAF]
        return [peer for peer in wanted if self._is_here(peer)]

    def _is_here(self, peer: Peer) -> bool:
        known = self.report.peers
        if peer.name not in known:
            left_out = self.only_peers and peer.name not in self.only_peers and peer is not SHEAF
            version = None if left_out or (peer.slow and not self.profile.slow_peers) else peer.version()
            known[peer.name] = {"version": version or "", "configuration": peer.about}
            if version is None and not left_out:
                why = "it is slow" if peer.slow and not self.profile.slow_peers else "it is not installed"
                self.report.notes.append(f"{peer.name} is left out: {why}.")
        return bool(known[peer.name]["version"])

    def rounds(self, workload: str, peers: Sequence[Peer], rounds: int | None = None) -> Iterator[Peer]:
        """Yield the next contestant: they alternate, the order turns with each round; slow ones run once, after all rounds."""
        quick, slow = [peer for peer in peers if not peer.slow], [peer for peer in peers if peer.slow]
        for number in range(rounds or self.profile.rounds):
            turn = number % max(len(quick), 1)
            for peer in [*quick[turn:], *quick[:turn]]:
                if number and self.is_late:
                    self._leave_out(workload, f"repeats from round {number + 1} on were")
                else:
                    yield peer
        for peer in slow:
            if self.is_late:
                self._leave_out(workload, f"{peer.name} was")
            else:
                yield peer

    def _leave_out(self, workload: str, what: str) -> None:
        note = f"{workload}: {what} left out, since its share of the time was used."
        if note not in self.report.notes:
            self.report.notes.append(note)

    @contextmanager
    def forgiving(self, workload: str, peer: Peer) -> Iterator[None]:
        """Note a contestant that fails here, without ending the workload; a failure of Sheaf is raised."""
        try:
            yield
        except (Failed, OSError, subprocess.SubprocessError) as error:
            if peer is SHEAF:
                raise
            self.report.notes.append(f"{workload}: {peer.name} failed ({str(error)[:300]}).")

    # -- workspaces ----------------------------------------------------------------------------------------------------

    @contextmanager
    def workspace(self, peer: Peer, source: Path, base: Path | None = None) -> Iterator[Workspace]:
        """A prepared workspace for one contestant; removed afterwards. ``source``: the data; a copy if it works in place."""
        root = (base or self.work) / "workspace"
        for folder in ("home", "tmp"):
            (root / folder).mkdir(parents=True)
        data = source
        if peer.in_place:
            data = root / "work" / "data"
            data.parent.mkdir()
            subprocess.run(["cp", "-a", str(source), str(data)], check=True)
        workspace = Workspace(root, data)
        try:
            for command in peer.prepare(workspace):
                run(command, self.deadline)
            self.settle()
            yield workspace
        finally:
            self._empty(root)

    @contextmanager
    def folder(self, name: str, base: Path | None = None) -> Iterator[Path]:
        """A folder for data; removed afterwards."""
        path = (base or self.work) / name
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            self._empty(path)

    def _empty(self, path: Path) -> None:
        """Remove a folder; on the disk, one of many files is only moved away, see ``_TRASH_BYTES``."""
        there = footprint(path)
        if there.objects <= 1000 or not path.is_relative_to(self.work):
            shutil.rmtree(path, ignore_errors=True)
            return
        trash = self.work / "trash"
        used = there.bytes + there.objects * _BLOCK // 2
        if self._trash and self._trash + used > _TRASH_BYTES:
            self._delete(trash)
        self._trash += used
        trash.mkdir(exist_ok=True)
        path.rename(trash / str(self._trash))

    def _delete(self, trash: Path) -> None:
        """Delete what was moved away. Its time belongs to no workload: deleting half a million files can take minutes."""
        begin = time.monotonic()
        shutil.rmtree(trash)
        os.sync()
        time.sleep(_FREED_S)
        self._trash = 0
        self.late_at += time.monotonic() - begin

    @staticmethod
    def settle() -> None:
        """Wait until what was just written counts as old."""
        os.sync()
        time.sleep(_SETTLED_S)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def store(self, workload: str, step: str, peer: Peer, workspace: Workspace, n: int) -> Sample | None:
        """Store a version and note what it cost; None, with a note, if the contestant fails."""
        before = footprint(peer.keeps(workspace))
        sample = self.attempt(workload, step, peer.name, lambda: run_all(peer.store(workspace, n), self.deadline))
        if sample:
            self.note(workload, step, peer.name, sample, footprint(peer.keeps(workspace)) - before)
        return sample

    def restore(self, workload: str, step: str, peer: Peer, workspace: Workspace, n: int) -> None:
        """Restore a version and note what it cost."""
        if peer.in_place:
            _empty_but_hidden(workspace.data)
        dest = workspace.root / "restored"
        dest.mkdir()
        commands = peer.restore(workspace, n, dest)
        if commands is not None:
            sample = self.attempt(workload, step, peer.name, lambda: run_all(commands, self.deadline))
            if sample:
                self.note(workload, step, peer.name, sample)
        self._empty(dest)

    def attempt(self, workload: str, step: str, name: str, action: Callable[[], Sample]) -> Sample | None:
        """The action's cost, or None with a note."""
        try:
            return action()
        except Failed as error:
            if name == SHEAF.name:
                raise
            self.report.notes.append(f"{workload}, {step}: {name} failed ({str(error)[:300]}).")
            return None

    def note(self, workload: str, step: str, name: str, sample: Sample, grown: Footprint | None = None) -> None:
        """Add a run to the report, and log it."""
        self.report.add(workload, step, name, sample, grown)
        size = f", {grown.bytes / 2**20:.2f} MiB in {grown.objects} files" if grown else ""
        self.log(
            f"{workload} {step}: {name} {sample.wall_s:.2f} s, CPU {sample.cpu_s:.2f} s, "
            f"{sample.rss_bytes >> 20} MiB{size}"
        )


def _empty_but_hidden(folder: Path) -> None:
    """Remove the data that a contestant keeps its own folder beside."""
    entries: Iterable[Path] = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    for entry in entries:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
