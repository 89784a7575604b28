"""What an upload and a download tell while they run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import sheaf
from sheaf.transfer import progress
from sheaf.transfer.progress import ProgressState

SIZE = 12 << 20


def test_a_big_file_is_counted_while_it_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_INTERVAL_S", 0.0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/big").write_bytes(random.Random(1).randbytes(SIZE))
    up: list[ProgressState] = []
    down: list[ProgressState] = []
    with sheaf.init("memory://", probe=False) as store:
        repo = store.create_repo("faces")
        bundle = repo.upload(tmp_path / "in", message="big", progress=up.append).bundle
        bundle.download(tmp_path / "out", progress=down.append)
    assert [state.bytes for state in up if 0 < state.bytes < SIZE]
    assert (up[-1].files, up[-1].bytes, up[-1].bytes_total) == (1, SIZE, SIZE)
    phases = list(dict.fromkeys(state.phase for state in up))
    assert phases == ["upload", "send", "manifest"]
    assert {(state.files_total, state.bytes_total) for state in down} == {(1, SIZE)}
    assert (down[-1].files, down[-1].bytes) == (1, SIZE)
