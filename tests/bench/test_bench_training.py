"""The epoch that is measured reads every byte of every file, in both orders."""

from __future__ import annotations

from pathlib import Path

from bench.batches import AT_ONCE, IN_ORDER, ONE_BY_ONE, SHUFFLED, works_on


def test_each_way_reads_all_there_is(tmp_path: Path) -> None:
    works = works_on(tmp_path, 50, 0.0)
    size = sum(path.stat().st_size for path in (tmp_path / "files").rglob("*.bin"))
    assert works[SHUFFLED]() == works[IN_ORDER]() == size
    assert works[AT_ONCE]() == works[ONE_BY_ONE]() >= size
