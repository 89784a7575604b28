"""The workloads in the order in which they run. The parts of a name are the lines of the table that a workload fills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.harness import Bench
from bench.workloads.big import big, edits
from bench.workloads.bucket_requests import bucket_requests
from bench.workloads.counts import counts
from bench.workloads.memory import memory
from bench.workloads.mounts import mounts
from bench.workloads.real import real
from bench.workloads.remote import remote
from bench.workloads.series import checkpoints, keyed_tables, tables
from bench.workloads.small import small
from bench.workloads.startup import million, one_small_file, start_up
from bench.workloads.streams import streams
from bench.workloads.sweep import sweep
from bench.workloads.training import training
from bench.workloads.trees import equal, images, mixed, sources, unchanged

__all__ = ["WORKLOADS", "Workload"]


@dataclass(frozen=True, slots=True)
class Workload:
    """``weight``: its part of the time; about the minutes that it needs in its profile."""

    measure: Callable[[Bench], None]
    weight: float


WORKLOADS: dict[str, Workload] = {
    "S1": Workload(mixed, 9),
    "S1-unchanged": Workload(unchanged, 3),
    "S2": Workload(sources, 6),
    "S3": Workload(images, 6),
    "S4": Workload(equal, 6),
    "S4-sweep": Workload(sweep, 10),
    "S5-S6": Workload(streams, 7),
    "S6": Workload(keyed_tables, 5),
    "S7": Workload(one_small_file, 1),
    "S8": Workload(bucket_requests, 2),
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
