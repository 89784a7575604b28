"""The steps of ``sheaf store torture`` and its report."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count, groupby

from sheaf.errors import Denied, NoSpace, SheafError, Unavailable
from sheaf.storage.wrappers.prefix import PrefixBackend
from sheaf.torture import together
from sheaf.torture.promises import PromiseFinding
from sheaf.torture.scratch_location import ScratchLocation
from sheaf.torture.suite import CASES, Case
from sheaf.torture.surroundings import check_bucket, check_folder
from sheaf.torture.timing import Figure, TimedBackend, Timings
from sheaf.torture.trial import Scale, Trial
from sheaf.torture.whole_store.claims import Broken
from sheaf.torture.whole_store.rounds import Round, play
from sheaf.transfer.progress import Meter, Progress

__all__ = ["TorturePlan", "TortureReport", "torture"]

_ALONE = "other processes can't open it"
_SCALE = Scale(longest_key=900)  # prefixes come before the keys
_TYPICAL_S = 0.1  # seconds assumed for a create if none was measured


@dataclass(frozen=True, slots=True)
class TorturePlan:
    """How much to do. With ``minutes``, rounds are started until that time has passed, and ``rounds`` is ignored."""

    seed: int
    rounds: int = 3
    minutes: float | None = None
    scale: Scale = _SCALE


@dataclass(frozen=True, slots=True)
class TortureReport:
    """The results of all checks, the rounds, and the durations of requests."""

    url: str
    seed: int
    findings: tuple[PromiseFinding, ...]
    rounds: tuple[Round, ...]
    figures: tuple[Figure, ...]

    @property
    def broken(self) -> tuple[PromiseFinding, ...]:
        """The checks that failed."""
        return tuple(finding for finding in self.findings if finding.verdict == "failed")

    @property
    def counts(self) -> Counter[str]:
        """The number of each operation in all rounds."""
        return sum((played.counts for played in self.rounds), Counter[str]())

    @property
    def faults(self) -> Counter[str]:
        """The number of each injected fault in all rounds."""
        return sum((played.faults for played in self.rounds), Counter[str]())


@dataclass(slots=True)
class _Run:
    location: ScratchLocation
    plan: TorturePlan
    meter: Meter
    timings: Timings = field(default_factory=Timings)
    rounds: list[Round] = field(default_factory=list)


def torture(location: ScratchLocation, plan: TorturePlan, progress: Progress | None = None) -> TortureReport:
    """Run all checks at ``location``, which must be empty and temporary: the caller removes the objects left in it.

    Raises Unavailable, Denied or NoSpace only where no result is possible.
    """
    run = _Run(location, plan, Meter(progress))
    run.meter.add_total(files=len(CASES), size=0)
    findings = [*_cases(run), *_together(run), *_surroundings(run)]
    findings.append(_whole(run, is_sound=all(finding.verdict != "failed" for finding in findings)))
    return TortureReport(location.url, plan.seed, tuple(findings), tuple(run.rounds), tuple(run.timings.figures()))


def _tried(promise: str, inspect: Callable[[], str]) -> PromiseFinding:
    """Run one check and return its result."""
    try:
        return PromiseFinding(promise, "passed", inspect())
    except (Unavailable, Denied, NoSpace) as error:
        return PromiseFinding(promise, "skipped", error.message, is_untold=True)
    except Broken as error:
        return PromiseFinding(promise, "failed", str(error))
    except SheafError as error:
        return PromiseFinding(promise, "failed", f"{error.kind}: {error.message}")
    except Exception as error:
        # A backend must raise no other errors, so this one is a failure of the check.
        return PromiseFinding(promise, "failed", f"unexpected {type(error).__name__}: {error}")


# -- the port ----------------------------------------------------------------------------------------------------------


def _cases(run: _Run) -> Iterator[PromiseFinding]:
    numbers = count()
    with run.location.open() as client:
        backend = TimedBackend(client, run.timings)
        for promise, cases in groupby(CASES, lambda case: case.promise):
            run.meter.start(promise)
            trials = [(case, Trial(PrefixBackend(backend, f"c{next(numbers)}"), run.plan.scale)) for case in cases]
            yield _tried(promise, partial(_all, run, trials))


def _all(run: _Run, trials: list[tuple[Case, Trial]]) -> str:
    for case, trial in trials:
        case.run(trial)
        run.meter.add_file()
    return ""


def _together(run: _Run) -> Iterator[PromiseFinding]:
    rng = random.Random(f"{run.plan.seed} kills")
    checks: dict[str, Callable[[ScratchLocation], str]] = {
        "exclusive create across processes": together.races,
        "list after write across processes": together.listings_elsewhere,
        "atomic writes": partial(together.killed_writers, rng=rng),
    }
    for promise, inspect in checks.items():
        run.meter.start(promise)
        if run.location.is_shared:
            yield _tried(promise, partial(inspect, run.location.below(promise.replace(" ", "-"))))
        else:
            yield PromiseFinding(promise, "skipped", _ALONE)
    run.meter.start("lost responses")
    yield _tried("lost responses", partial(_lost_answers, run))


def _lost_answers(run: _Run) -> str:
    seen = together.lost_answers(run.location.below("lost"))
    if run.location.scheme in {"file", "memory"}:
        return seen
    typical = next((figure.p50_s for figure in run.timings.figures() if figure.operation == "create"), _TYPICAL_S)
    return f"{seen}; {together.impatient_clients(run.location.below('cut'), typical)}"


def _surroundings(run: _Run) -> list[PromiseFinding]:
    location = run.location.below("surroundings")
    folder = location.folder
    if folder is not None:
        folder.mkdir()
        return check_folder(location, folder)
    return check_bucket(location) if location.is_shared else []


# -- the whole store ---------------------------------------------------------------------------------------------------


def _whole(run: _Run, *, is_sound: bool) -> PromiseFinding:
    if not is_sound:
        return PromiseFinding("whole store", "skipped", "a store requires the guarantees that failed")
    if run.plan.rounds == 0 and run.plan.minutes is None:
        return PromiseFinding("whole store", "skipped", "no rounds")
    return _tried("whole store", partial(_rounds, run))


def _rounds(run: _Run) -> str:
    for number in _numbers(run):
        seed = f"{run.plan.seed}.{number}"
        run.meter.start(f"round {number + 1}")
        played = play(run.location.below(f"round-{number}"), seed, run.timings)
        run.rounds.append(played)
        run.meter.add_file()
        if played.trouble:
            raise Broken(f"round {number + 1}: {played.trouble}")
    return "1 round" if len(run.rounds) == 1 else f"{len(run.rounds)} rounds"


def _numbers(run: _Run) -> Iterator[int]:
    if run.plan.minutes is None:
        run.meter.add_total(files=run.plan.rounds, size=0)
        yield from range(run.plan.rounds)
        return
    end = time.monotonic() + run.plan.minutes * 60
    for number in count():
        if time.monotonic() >= end:
            return
        yield number
