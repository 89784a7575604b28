"""All that ``sheaf store torture`` does, in its order, and what it reports."""

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
from sheaf.torture.promises import Finding
from sheaf.torture.scratch_location import Place
from sheaf.torture.suite import CASES, Case
from sheaf.torture.surroundings import look_at_bucket, look_at_folder
from sheaf.torture.timing import Figure, TimedBackend, Timings
from sheaf.torture.trial import Scale, Trial
from sheaf.torture.whole_store.claims import Broken
from sheaf.torture.whole_store.rounds import Round, play
from sheaf.transfer.progress import Meter

__all__ = ["Plan", "Report", "torture"]

_ALONE = "no other process can open it"
_SCALE = Scale(longest_key=900)  # prefixes stand before the keys
_TYPICAL_S = 0.1  # for a create, where none was measured


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do. With ``minutes`` rounds begin until that time is over, whatever ``rounds`` says."""

    seed: int
    rounds: int = 3
    minutes: float | None = None
    scale: Scale = _SCALE


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen, promise by promise; the rounds; and how long requests took."""

    url: str
    seed: int
    findings: tuple[Finding, ...]
    rounds: tuple[Round, ...]
    figures: tuple[Figure, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The promises that do not hold."""
        return tuple(finding for finding in self.findings if finding.verdict == "broken")

    @property
    def counts(self) -> Counter[str]:
        """What was done in all rounds."""
        return sum((round.counts for round in self.rounds), Counter[str]())

    @property
    def faults(self) -> Counter[str]:
        """What went wrong in all rounds, on purpose."""
        return sum((round.faults for round in self.rounds), Counter[str]())


@dataclass(slots=True)
class _Run:
    place: Place
    plan: Plan
    meter: Meter
    timings: Timings = field(default_factory=Timings)
    rounds: list[Round] = field(default_factory=list)


def torture(place: Place, plan: Plan, meter: Meter | None = None) -> Report:
    """Tries ``place``, which must be a scratch one and empty: what is left in it is for its owner to remove.

    Raises Unavailable, Denied or NoSpace only where these keep it from telling anything.
    """
    run = _Run(place, plan, meter or Meter())
    run.meter.add_total(files=len(CASES), bytes=0)
    findings = [*_cases(run), *_together(run), *_surroundings(run)]
    findings.append(_whole(run, is_sound=all(finding.verdict != "broken" for finding in findings)))
    return Report(place.url, plan.seed, tuple(findings), tuple(run.rounds), tuple(run.timings.figures()))


def _tried(promise: str, look: Callable[[], str]) -> Finding:
    """What becomes of a promise when it is looked at."""
    try:
        return Finding(promise, "kept", look())
    except (Unavailable, Denied, NoSpace) as error:
        return Finding(promise, "not tried", error.message, is_untold=True)
    except Broken as error:
        return Finding(promise, "broken", str(error))
    except SheafError as error:
        return Finding(promise, "broken", f"{error.kind}: {error.message}")
    except Exception as error:  # a backend must raise no others
        return Finding(promise, "broken", f"unexpected {type(error).__name__}: {error}")


# -- the port ----------------------------------------------------------------------------------------------------------


def _cases(run: _Run) -> Iterator[Finding]:
    numbers = count()
    with run.place.open() as client:
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


def _together(run: _Run) -> Iterator[Finding]:
    rng = random.Random(f"{run.plan.seed} kills")
    looks: dict[str, Callable[[Place], str]] = {
        "one winner between processes": together.races,
        "list after write elsewhere": together.listings_elsewhere,
        "whole or nothing": partial(together.killed_writers, rng=rng),
    }
    for promise, look in looks.items():
        run.meter.start(promise)
        if run.place.is_shared:
            yield _tried(promise, partial(look, run.place.below(promise.replace(" ", "-"))))
        else:
            yield Finding(promise, "not tried", _ALONE)
    run.meter.start("lost answers")
    yield _tried("lost answers", partial(_lost_answers, run))


def _lost_answers(run: _Run) -> str:
    seen = together.lost_answers(run.place.below("lost"))
    if run.place.scheme in {"file", "memory"}:
        return seen
    typical = next((figure.p50_s for figure in run.timings.figures() if figure.operation == "create"), _TYPICAL_S)
    return f"{seen}; {together.impatient_clients(run.place.below('cut'), typical)}"


def _surroundings(run: _Run) -> list[Finding]:
    place = run.place.below("surroundings")
    folder = place.folder
    if folder is not None:
        folder.mkdir()
        return look_at_folder(place, folder)
    return look_at_bucket(place) if place.is_shared else []


# -- the whole store ---------------------------------------------------------------------------------------------------


def _whole(run: _Run, *, is_sound: bool) -> Finding:
    if not is_sound:
        return Finding("whole store", "not tried", "a store needs what is broken")
    if run.plan.rounds == 0 and run.plan.minutes is None:
        return Finding("whole store", "not tried", "no rounds")
    return _tried("whole store", partial(_rounds, run))


def _rounds(run: _Run) -> str:
    for number in _numbers(run):
        seed = f"{run.plan.seed}.{number}"
        run.meter.start(f"round {number + 1}")
        played = play(run.place.below(f"round-{number}"), seed, run.timings)
        run.rounds.append(played)
        run.meter.add_file()
        if played.trouble:
            raise Broken(f"round {number + 1}: {played.trouble}")
    return f"{len(run.rounds)} rounds"


def _numbers(run: _Run) -> Iterator[int]:
    if run.plan.minutes is None:
        run.meter.add_total(files=run.plan.rounds, bytes=0)
        yield from range(run.plan.rounds)
        return
    end = time.monotonic() + run.plan.minutes * 60
    for number in count():
        if time.monotonic() >= end:
            return
        yield number
