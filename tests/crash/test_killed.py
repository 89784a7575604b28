"""Real processes that upload to one folder store are killed at random moments: whatever they printed is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sheaf
from sheaf.testing.invariants import assert_sound

KILLS = 10
UPLOADER = Path(__file__).with_name("uploader.py")


def start(store: Path, folder: Path, name: str) -> subprocess.Popen[str]:
    folder.mkdir()
    command = [sys.executable, str(UPLOADER), str(store), str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], after_s: float) -> list[str]:
    """The ids that the process had printed when it was killed, some time after the first one."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    return [line.strip() for line in [first, *process.stdout.readlines()] if line.endswith("\n")]


def test_what_a_killed_process_printed_is_complete(tmp_path: Path) -> None:
    seed = int(os.environ.get("SHEAF_KILL_SEED", str(random.randrange(1 << 32))))
    print(f"SHEAF_KILL_SEED={seed}")  # shown if the test fails
    rng = random.Random(seed)
    with sheaf.init(str(tmp_path / "store"), probe=False) as store:
        store.create_repo("faces")
    printed: list[str] = []
    for n in range(0, KILLS, 2):
        pair = [start(tmp_path / "store", tmp_path / f"in-{n + i}", f"{seed}-{n + i}") for i in (0, 1)]
        for process in pair:
            with process:
                printed += killed(process, rng.random() * 0.4)
    with sheaf.connect(str(tmp_path / "store")) as store:
        repo = store.repo("faces")
        assert len(printed) >= KILLS
        assert set(printed) <= {bundle.id for bundle in repo.bundles()}
        assert_sound(store)
        repo.upload(tmp_path / "in-0", message="and on it goes").bundle.verify()
        store.gc(grace=0)  # what was left over goes, and nothing else
        rest = store.gc(grace=0, dry_run=True)
        assert (rest.packs, rest.moved, rest.nodes, rest.objects) == (0, 0, 0, 0)
        assert set(printed) <= {bundle.id for bundle in repo.bundles()}
        assert_sound(store)
        assert store.check(read_data=True).ok


@pytest.mark.slow
@pytest.mark.parametrize("played", range(20))
def test_what_a_killed_process_printed_is_complete_again_and_again(tmp_path: Path, played: int) -> None:
    test_what_a_killed_process_printed_is_complete(tmp_path)
