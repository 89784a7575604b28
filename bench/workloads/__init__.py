"""What is measured, in the order in which it runs; a name says which lines of the table a function fills."""

from __future__ import annotations

from collections.abc import Callable

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

__all__ = ["WORKLOADS"]

WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "W1-W2-W3-W4": small,
    "W5": big,
    "W6": edits,
    "W7": checkpoints,
    "W8": tables,
    "W9": million,
    "W10": start_up,
    "W11": counts,
    "W12": remote,
    "W13": memory,
    "M1": mounts,
    "real": real,
}
