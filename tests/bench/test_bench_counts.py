"""What operations cost in requests and bytes: a guard that no busy machine can upset."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bench.counting import Cost, count_all, count_listing, giant

SMALL, LARGE, GIANT = 1_000, 60_000, 1_000_000_000
ROWS_PER_LEAF = 5120.0


@cache
def counted(entries: int) -> dict[str, Cost]:
    with TemporaryDirectory() as folder:
        return {cost.operation: cost for cost in count_all(entries, Path(folder))}


def all_sizes() -> list[dict[str, Cost]]:
    large = counted(LARGE)
    calculated = giant(list(large.values()), GIANT, ROWS_PER_LEAF)
    return [counted(SMALL), large, {cost.operation: cost for cost in calculated}]


def test_opening_a_file_takes_few_round_trips_whatever_the_size() -> None:
    for costs in all_sizes():
        cold, warm = costs["open one file, from a URL and name@label"], costs["open one file, with the repo open"]
        assert cold.reads <= 13 and warm.reads <= 6
        assert cold.bytes_in <= 2 << 20
        assert warm.bytes_in <= 2 << 20
        assert warm.round_trips <= 6


def test_what_can_be_asked_together_is_asked_together() -> None:
    """Requests overlap where threads are awake in time; a busy machine may miss that once, not three times."""
    for _ in range(3):
        with TemporaryDirectory() as folder:
            costs = {cost.operation: cost for cost in count_all(SMALL, Path(folder))}
        cold, warm = costs["open one file, from a URL and name@label"], costs["open one file, with the repo open"]
        if cold.round_trips <= 8 and warm.round_trips <= 5:
            return
    pytest.fail(f"opening a file takes {cold.round_trips} round trips, and {warm.round_trips} with the repo open")


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_committing_one_file_writes_little_whatever_the_size(change: str) -> None:
    for costs in all_sizes():
        cost = costs[f"commit one {change} file"]
        assert cost.writes <= 8
        assert cost.bytes_out <= 2 << 20


def test_reads_do_not_grow_with_the_store() -> None:
    small, large = counted(SMALL), counted(LARGE)
    for operation, cost in large.items():
        if not operation.startswith("diff"):
            assert cost.reads <= small[operation].reads + 4, operation


def test_a_diff_reads_only_what_differs() -> None:
    cost = counted(LARGE)["diff with 100 changes"]
    assert cost.reads <= 12 + 2 * (LARGE / 1024), "each leaf at most once"


def test_an_upload_of_small_files_takes_few_requests() -> None:
    cost = counted(SMALL)["upload a folder of 100 files"]
    assert cost.writes <= 8
    assert cost.reads <= 19, "one asks the log for replicas, one lists what was found damaged"


def test_many_bundles_are_listed_by_pages_and_then_from_the_cache(tmp_path: Path) -> None:
    bundles = 2_500
    first, again = count_listing(bundles, tmp_path)
    assert first.reads <= bundles // 1000 + bundles % 1000 + 5
    assert again.reads <= 5
    assert again.bytes_in <= 64 << 10
