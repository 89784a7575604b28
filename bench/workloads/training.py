"""M2: one epoch of training over many small files at 20 ms a request, beside streaming the packs that hold them."""

from __future__ import annotations

from bench.batches import IN_ORDER, ONE_BY_ONE, SHUFFLED, seconds, works_on
from bench.harness import Bench
from bench.measure import Sample

__all__ = ["training"]

_DELAY_S = 0.02
_OURS = {SHUFFLED, IN_ORDER}


def training(bench: Bench) -> None:
    """In this process, so its memory is not told. The target is against packs read whole, one after another."""
    with bench.folder("training") as folder:
        works = works_on(folder, bench.profile.small_files, _DELAY_S)
        for number in range(bench.profile.rounds):
            if number and bench.is_late:
                break
            for title, work in works.items():
                wall, cpu = seconds(work)
                bench.note("M2", title, "Sheaf" if title in _OURS else "streaming", Sample(wall, cpu, 0))
    for step in (SHUFFLED, IN_ORDER):
        bench.report.aim("M2", step, "streaming", 2, against=ONE_BY_ONE)
