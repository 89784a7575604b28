"""What is measured, in the order in which it runs; a name says which lines of the table a function fills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.harness import Bench
from bench.workloads.big import big, edits
from bench.workloads.counts import counts
from bench.workloads.memory import memory
from bench.workloads.mounts import mounts
from bench.workloads.real import real
from bench.workloads.remote import remote
from bench.workloads.series import checkpoints, tables
from bench.workloads.small import small
from bench.workloads.startup import million, start_up
from bench.workloads.training import training

__all__ = ["WORKLOADS", "Workload"]


@dataclass(frozen=True, slots=True)
class Workload:
    """``weight``: its part of the time, beside those of the others (about the minutes of the full profile)."""

    measure: Callable[[Bench], None]
    weight: float


WORKLOADS: dict[str, Workload] = {
    "W1-W2-W3-W4": Workload(small, 18),
    "W5": Workload(big, 8),
    "W6": Workload(edits, 3),
    "W7": Workload(checkpoints, 3),
    "W8": Workload(tables, 3),
    "W9": Workload(million, 3),
    "W10": Workload(start_up, 1),
    "W11": Workload(counts, 2),
    "W12": Workload(remote, 3),
    "W13": Workload(memory, 4),
    "M1": Workload(mounts, 4),
    "M2": Workload(training, 3),
    "real": Workload(real, 4),
}
