"""The results: every run, every target, and the machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measure import Footprint, Sample, middle

__all__ = ["Report", "Runs", "Target"]


@dataclass(slots=True)
class Runs:
    """The runs of one contestant at one step of a workload; ``grown``: what the step added to what it keeps."""

    workload: str
    step: str
    name: str
    samples: list[Sample] = field(default_factory=list)
    grown: Footprint | None = None
    note: str = ""

    @property
    def wall_s(self) -> float:
        """The median."""
        return middle(self.samples).wall_s


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table. ``ours`` and ``peer`` are in ``unit``; ``ratio`` is to be at most ``limit``.

    ``runs``: of the one that ran less often; 0: the figure is counted, or not that of a step.
    """

    workload: str
    what: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    limit: float
    runs: int = 0

    @property
    def ratio(self) -> float:
        """Ours to the peer's."""
        return self.ours / self.peer if self.peer else float("inf")

    @property
    def is_met(self) -> bool:
        """Whether the ratio is within the limit, as precise as it is printed."""
        return round(self.ratio, 3) <= self.limit


@dataclass(slots=True)
class Report:
    """Filled by the workloads.

    ``failed``: workloads that did not come to their end, and why. ``sweep``: microseconds a file, by the way it goes and its
    size.
    """

    machine: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[Runs] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    counts: list[dict[str, Any]] = field(default_factory=list)
    sweep: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, workload: str, step: str, name: str, sample: Sample, grown: Footprint | None = None) -> None:
        """Another run; of what it added the last one counts, since it is the same each time."""
        runs = self.find(workload, step, name)
        if runs is None:
            runs = Runs(workload, step, name)
            self.runs.append(runs)
        runs.samples.append(sample)
        runs.grown = grown or runs.grown

    def find(self, workload: str, step: str, name: str) -> Runs | None:
        """The runs of a contestant at a step."""
        return next((r for r in self.runs if (r.workload, r.step, r.name) == (workload, step, name)), None)

    def wall(self, workload: str, step: str, name: str) -> float | None:
        """A contestant's median seconds at a step, if it was there."""
        runs = self.find(workload, step, name)
        return runs.wall_s if runs else None

    def least(self, workload: str, step: str, name: str) -> float | None:
        """A contestant's least seconds at a step, which other work on the machine disturbs least."""
        runs = self.find(workload, step, name)
        return min(sample.wall_s for sample in runs.samples) if runs else None

    def aim(self, workload: str, step: str, peer: str, limit: float, *, ours: str = "Sheaf", against: str = "") -> None:
        """A target about seconds: ours at most ``limit`` times the peer's (at step ``against``, if that is another)."""
        mine, theirs = self.find(workload, step, ours), self.find(workload, against or step, peer)
        if mine is not None and theirs is not None:
            runs = min(len(mine.samples), len(theirs.samples))
            self.targets.append(Target(workload, step, mine.wall_s, theirs.wall_s, peer, "s", limit, runs))

    def limit(self, workload: str, what: str, ours: float, limit: float, unit: str, *, name: str = "limit") -> None:
        """A target about an absolute figure."""
        self.targets.append(Target(workload, what, ours, limit, name, unit, 1.0))

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        found = asdict(self)
        for target, values in zip(self.targets, found["targets"], strict=True):
            values.update(ratio=target.ratio, met=target.is_met)
        return found
