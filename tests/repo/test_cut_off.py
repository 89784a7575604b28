"""Uploads that are cut off: the next one goes on where they stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.builders import noise, store_with

from sheaf.engine.core_limits import Limits
from sheaf.transfer.progress import ProgressState


def _interrupt(state: ProgressState) -> None:
    if state.new_bytes > 1_500_000:
        raise KeyboardInterrupt


@pytest.mark.parametrize("is_big", [False, True])
def test_what_was_stored_is_not_stored_again(tmp_path: Path, is_big: bool) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(1 if is_big else 300):
        (folder / f"{number:03}").write_bytes(noise(40_000_000 if is_big else 10_000, number))
    with store_with(tmp_path / "store", Limits(pack_bytes=100_000)) as store:
        repo = store.create_repo("r")
        with pytest.raises(KeyboardInterrupt):
            repo.upload(folder, message="cut off", progress=_interrupt)
        assert not list(repo.bundles())
        assert not list((tmp_path / "store" / "sessions").iterdir())
        packed = sum(path.stat().st_size for path in (tmp_path / "store" / "packs").rglob("*") if path.is_file())
        assert packed > 1_000_000
        done = repo.upload(folder, message="whole")
        assert done.bytes - done.new_bytes > 1_000_000
        assert store.check(read_data=True).ok
