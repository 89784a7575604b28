"""An object that claims or unpacks to far more than it is gets refused, in one line and in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest
from tests.format.samples import ID, rows
from tests.hostile.bombs import BOMBS

from sheaf.format import node_v1

ROOM = 300 << 20  #: bytes; a process that only imports this program takes 100 MiB


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_does_not_go_off(name: str, tmp_path: Path) -> None:
    file = tmp_path / "object"
    if name == "node-that-is-one":
        file.write_bytes(large_node())
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.bombs", name, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak, said = done.stdout.split(maxsplit=1)
    assert said.startswith("corrupt: ")
    assert said.count("\n") == 1
    assert int(peak) < ROOM


def large_node() -> bytes:
    """A leaf that unpacks to half a GiB of attributes."""
    batch = rows()
    values = ["x" * (64 << 20)] * 7 + [None] * (batch.num_rows - 7)
    batch = batch.set_column(8, "attrs", pa.array(values[: batch.num_rows], pa.string()))
    with patch.object(node_v1, "MAX_NODE", 1 << 40):
        return node_v1.encode_rows(ID, batch, "a/b")
