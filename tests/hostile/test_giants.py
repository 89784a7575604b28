"""What is far too long, never ends, or waits for somebody, is damage: said by name, in little memory and without waiting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.hostile.giants import KINDS, WHAT

ROOM = 400 << 20  #: bytes; a process that uploads and checks takes some 250 MiB


@pytest.mark.parametrize("what", sorted(WHAT))
def test_every_kind_of_object(what: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.giants", what, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    if what == "giant":
        assert set(KINDS.values()) <= set(report["found"])
        assert report["said"].startswith("corrupt: log/")
    else:  # what is no file is in no listing: it shows where it is missed
        assert {"node", "pack"} <= set(report["found"])
        assert report["said"].startswith("corrupt: ")
    assert report["peak"] < ROOM
