"""A run is killed at each step: no file is lost, no half bundle has the label, and a next run completes the work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import pytest
from tests.datamover.conftest import files_in, write
from tests.sidecar.conftest import SCRIPTS, SHELLS, Pod, Process, pod, wait_for

import sheaf
from sheaf.datamover.file_removal import ASIDE
from sheaf.errors import NotFound

__all__ = ["pod"]

OLD = {"old": b"old", "sub/a": b"first"}
ALL = {**OLD, "new": b"new"}
REPO = "backup-filestore-output"
#: In the order in which a run passes them.
STEPS = ["listed", "upload", "committed", "uploaded", "verify", "compare", "removable", "moved-aside", "deleted"]
AFTER_COMMIT = STEPS[STEPS.index("committed") :]
FAST = {("committed", SIGKILL), ("moved-aside", SIGKILL), ("moved-aside", SIGTERM)}
CASES = [
    pytest.param(step, number, marks=() if (step, number) in FAST else pytest.mark.slow, id=f"{step}-{number.name}")
    for step in STEPS
    for number in (SIGKILL, SIGTERM)
]


@dataclass
class Share:
    """A folder with files, a store, and a process that moves them."""

    pod: Pod
    store: sheaf.Store

    @property
    def top(self) -> Path:
        return self.pod.home / "share"

    def start(self, label: str, *options: str) -> Process:
        command = [sys.executable, "-m", "tests.datamover.gated_datamover", "sidecar", "datamover"]
        lists = self.pod.home / f"lists-{label}"
        return self.pod.start(*command, "-d", self.top, "-u", "-l", label, "-f", lists, *options)

    def saved(self, label: str) -> dict[str, bytes] | None:
        """The files of the bundle that has a label; None if there is none."""
        try:
            bundle = self.store.repo(REPO).bundle(f"label:{label}")
        except NotFound:
            return None
        start = f"{str(self.top).lstrip('/')}/"
        files = (entry.path for entry in bundle.ls(recursive=True) if entry.kind == "file")
        return {path.removeprefix(start): bundle.read(path) for path in files}


@pytest.fixture
def share(pod: Pod, tmp_path: Path) -> Iterator[Share]:
    url = f"file://{tmp_path}/store?durability=none"
    (tmp_path / "gates").mkdir()
    pod.variables |= {"SHEAF_STORE": url, "GATES": str(tmp_path / "gates"), "PYTHONPATH": os.pathsep.join(sys.path)}
    for name, data in ALL.items():
        write(tmp_path / "share" / name, data, None if name == "new" else 10**18)
    with sheaf.init(url, probe=False) as made:
        made.create_repo(REPO)
    with sheaf.connect(url) as store:
        yield Share(pod, store)


@pytest.mark.parametrize(("step", "number"), CASES)
def test_a_kill_loses_nothing(share: Share, step: str, number: Signals) -> None:
    gates = share.pod.home / "gates"
    (gates / f"{step}.closed").touch()
    process = share.start("first")
    wait_for((gates / f"{step}.reached").exists, step)
    process.signal(number)
    assert process.end() == 128 + number, process.err
    saved, left = share.saved("first"), files_in(share.top)
    assert saved == (ALL if step in AFTER_COMMIT else None)
    for name, data in ALL.items():
        assert left.get(name) == data or (saved or {}).get(name) == data
    aside = [name for name in left if ASIDE in name]
    assert len(aside) == (step == "moved-aside" and number == SIGKILL)
    (gates / f"{step}.closed").unlink()
    again = share.start("second", "--yes")
    assert again.end() == 0, again.err
    assert files_in(share.top) == {"new": b"new"}
    both = {**(share.saved("first") or {}), **(share.saved("second") or {})}
    assert {name: data for name, data in both.items() if ASIDE not in name} == ALL


@pytest.mark.slow
def test_two_runs_at_once_do_not_disturb_each_other(share: Share) -> None:
    gates = share.pod.home / "gates"
    (gates / "removable.closed").touch()
    first = share.start("first")
    wait_for((gates / "removable.reached").exists, "removable")
    second = share.start("second")
    assert second.end() == 5 and "another run" in second.err
    (gates / "removable.closed").unlink()
    assert first.end() == 0
    assert files_in(share.top) == {"new": b"new"} and share.saved("second") is None


def test_the_programs_of_datamon_run_as_its_guide_says(share: Share) -> None:
    """``datamover`` and ``backup`` are names of the image's programs: the scripts without their suffix."""
    programs, work = share.pod.home / "bin", share.pod.home / "wd"
    programs.mkdir()
    work.mkdir()
    for name in ("datamover", "backup"):
        shutil.copy(SCRIPTS / f"{name}.sh", programs / name)
    words = ["-d", share.top, "-l", "guide", "-t", "090725000000", "-f", share.pod.home / "lists", "-c", "200", "-u"]
    done = share.pod.start(*SHELLS["dash"], programs / "datamover", *words)
    assert done.end() == 0, done.err
    assert files_in(share.top) == {"new": b"new"} and share.saved("guide") == ALL
    write(share.top / "sub/b", b"b", 10**18)
    (share.pod.home / "list").write_text(f"{share.top}/sub\n")
    words = ["-f", share.pod.home / "list", "-u", "unlinkable", "-t", "false", "--work-dir", work]
    done = share.pod.start(*SHELLS["dash"], programs / "backup", *words)
    assert done.end() == 0, done.err
    assert (work / "unlinkable.log").read_text() == f"{share.top}/sub/b\n"
