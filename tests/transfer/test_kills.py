from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("what", ["download", "update"])
def test_killed_anywhere_it_leaves_whole_files_only_and_can_be_run_again(removable: Path, what: str) -> None:
    command = [sys.executable, "-m", "tests.transfer.kills", what, str(removable / "work")]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 40
