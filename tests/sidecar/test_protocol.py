"""The state machine alone: what leads where, and what holds whatever happens in whatever order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheaf.errors import Refused, Unavailable
from sheaf.sidecar.protocol import ApplicationFailed, Phase, Seen, Stage, Terminated, TimeLimits, advance

LIMITS = TimeLimits(start=10, run=20, save=30, lost=5)
READY, FINISHED, SAVED = Seen(is_ready=True), Seen(is_finished=True), Seen(is_finished=True, is_saved=True)


def _play(looks: Sequence[tuple[float, Seen]], *, saves: bool = False, limits: TimeLimits = LIMITS) -> Stage:
    stage, now = Stage(Phase.STARTING, 0), 0.0
    for passed, seen in looks:
        now += passed
        stage = advance(stage, seen, now, limits, saves_unfinished=saves)
    return stage


def test_the_ordinary_way() -> None:
    assert _play([(1, Seen())]).phase is Phase.STARTING
    assert _play([(1, READY)]).phase is Phase.RUNNING
    assert _play([(1, READY), (1, Seen())]).phase is Phase.RUNNING
    assert _play([(1, READY), (1, FINISHED)]).phase is Phase.SAVING
    assert _play([(1, READY), (1, FINISHED), (1, SAVED)]) == Stage(Phase.SAVED, 3)


ENDINGS = [
    (Seen(application_failure="exited with code 3"), ApplicationFailed, "application: exited with code 3"),
    (Seen(signals=1), Terminated, "terminated before the application had finished"),
    (Seen(trouble=Refused("the mount ended")), Refused, "the mount ended"),
]


@pytest.mark.parametrize("before", [[], [(1.0, READY)]], ids=["starting", "running"])
@pytest.mark.parametrize(("seen", "kind", "text"), ENDINGS, ids=lambda value: getattr(value, "__name__", None))
def test_what_ends_it_early(before: list[tuple[float, Seen]], seen: Seen, kind: type, text: str) -> None:
    ended = _play([*before, (1, seen)])
    assert ended.phase is Phase.FAILED
    assert isinstance(ended.trouble, kind) and text in str(ended.trouble)


@pytest.mark.parametrize(("seen", "kind", "text"), ENDINGS, ids=lambda value: getattr(value, "__name__", None))
def test_unfinished_data_is_saved_if_asked_to_and_is_still_a_failure(seen: Seen, kind: type, text: str) -> None:
    saving = _play([(1, READY), (1, seen)], saves=True)
    assert saving.phase is Phase.SAVING and isinstance(saving.trouble, kind)
    ended = _play([(1, READY), (1, seen), (1, Seen(is_saved=True))], saves=True)
    assert ended.phase is Phase.FAILED and isinstance(ended.trouble, kind)
    assert _play([(1, seen)], saves=True).phase is Phase.FAILED  # the application has not run


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        ([(10, Seen(waits_for="mount /in"))], r"not ready after 10 s \(waiting for mount /in\)"),
        ([(1, READY), (20, Seen())], "has not finished after 20 s"),
        ([(1, READY), (1, FINISHED), (30, FINISHED)], "not saved after 30 s"),
    ],
    ids=["start", "run", "save"],
)
def test_each_phase_has_its_time_out(looks: list[tuple[float, Seen]], text: str) -> None:
    *before, (passed, seen) = looks
    assert not _play([*before, (passed - 0.1, seen)]).is_over
    ended = _play(looks)
    assert ended.phase is Phase.FAILED and isinstance(ended.trouble, Unavailable)
    assert re.search(text, str(ended.trouble))
    assert not _play(looks, limits=TimeLimits(0, 0, 0, 0)).is_over


@pytest.mark.parametrize("before", [[], [(0.0, READY)]], ids=["starting", "running"])
def test_an_application_is_lost_once_it_is_silent(before: list[tuple[float, Seen]]) -> None:
    alive = [(1.0, Seen(beat="1")), (4.0, Seen(beat="2")), (4.9, Seen(beat="2"))]
    assert not _play([*before, *alive]).is_over
    lost = _play([*before, *alive, (0.1, Seen(beat="2"))])
    assert isinstance(lost.trouble, ApplicationFailed) and "no sign of life for 5 s" in str(lost.trouble)
    assert not _play([*before, (9.9, Seen())]).is_over  # Datamon's wrapper shows none


def test_what_the_application_has_finished_is_saved_whatever_else_happened() -> None:
    seen = Seen(is_finished=True, signals=1, trouble=Refused("the mount ended"), application_failure="x")
    assert _play([(1, READY), (1, seen)]) == Stage(Phase.SAVING, 2)


def test_one_signal_lets_it_save_and_the_second_does_not() -> None:
    saving = [(1.0, READY), (1.0, FINISHED)]
    assert _play([*saving, (1, Seen(signals=1)), (1, Seen(signals=1, is_saved=True))]).phase is Phase.SAVED
    assert isinstance(_play([*saving, (1, Seen(signals=2))]).trouble, Terminated)


_SEEN = st.builds(
    Seen,
    is_finished=st.booleans(),
    application_failure=st.sampled_from([None, None, None, "exited with code 1"]),
    beat=st.sampled_from(["", "1", "2"]),
    signals=st.sampled_from([0, 0, 0, 1, 2]),
    is_ready=st.booleans(),
    is_saved=st.booleans(),
    trouble=st.sampled_from([None, None, None, Refused("x")]),
)


@given(st.lists(st.tuples(st.floats(0.1, 12), _SEEN), max_size=40), st.booleans())
def test_whatever_happens(looks: list[tuple[float, Seen]], saves: bool) -> None:
    stage, now = Stage(Phase.STARTING, 0), 0.0
    phases = [stage.phase]
    for passed, seen in looks:
        now += passed
        before, stage = stage, advance(stage, seen, now, LIMITS, saves_unfinished=saves)
        if before.is_over:
            assert stage.phase == before.phase
        if stage.phase != before.phase:
            phases.append(stage.phase)
        if stage.phase is Phase.SAVING and before.phase is Phase.RUNNING:
            assert seen.is_finished == (stage.trouble is None)
            assert seen.is_finished or saves
        if stage.phase is Phase.SAVED:
            assert stage.trouble is None
        if stage.phase is Phase.FAILED:
            assert stage.trouble is not None
    order = [Phase.STARTING, Phase.RUNNING, Phase.SAVING, Phase.SAVED]
    assert [phase for phase in phases if phase is not Phase.FAILED] == order[: len(phases) - (Phase.FAILED in phases)]
    assert now <= 10 + 20 + 30 + 3 * 12 or stage.is_over
