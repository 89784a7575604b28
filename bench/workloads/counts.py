"""W11: requests, round trips and bytes. Counted, not timed: the same on every machine."""

from __future__ import annotations

from dataclasses import asdict

from bench.counting import Cost, count_all, count_listing, giant
from bench.harness import Bench

__all__ = ["counts"]

_GIANT = 1_000_000_000
_ROWS_PER_LEAF = 5120.0  # 1,024 rows, and then one row in 4,096 ends a leaf
_MiB = 2**20


def counts(bench: Bench) -> None:
    """Of what people do most, in small and large bundles; a billion entries by calculation."""
    found: list[Cost] = []
    for entries in bench.profile.counted:
        with bench.folder("counted") as folder:
            found += (last := count_all(entries, folder))
    found += giant(last, _GIANT, _ROWS_PER_LEAF)
    with bench.folder("cache") as cache:
        listing = count_listing(bench.profile.entries // 10, cache)
    bench.report.counts = [asdict(cost) for cost in [*found, *listing]]
    for cost in [*found, *listing]:
        bench.log(f"W11 {cost}")
    _targets(bench, found, listing)


def _targets(bench: Bench, found: list[Cost], listing: list[Cost]) -> None:
    limit = bench.report.limit
    for cost in found:
        where = f"{cost.operation} of {cost.entries:,}"
        if cost.operation.startswith("open"):
            limit("W11", where, cost.round_trips, 8 if "URL" in cost.operation else 5, "round trips")
            limit("W11", where + ", read", cost.bytes_in / _MiB, 2, "MiB")
        elif cost.operation.startswith("commit"):
            limit("W11", where, cost.writes, 8, "writes")
            limit("W11", where + ", written", cost.bytes_out / _MiB, 2, "MiB")
    first, again = listing
    limit("W11", f"{first.operation} of {first.entries:,}", first.reads, 10 + first.entries / 1000, "reads")
    limit("W11", f"{again.operation} of {again.entries:,}", again.reads, 5, "reads")
