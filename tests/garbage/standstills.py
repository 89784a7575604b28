"""Small stories of a writer, somebody who deletes and gcs, who stand still where it hurts until another one has done it.

Chance rarely makes three clients meet at the right calls. Here every way is played in which a writer and a gc stand still
once each, at the beginning of some step.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from tests.garbage.interleavings import (
    ALL,
    HALF,
    Act,
    Stage,
    assert_kept,
    client,
    copy_of,
    delete,
    edit_of,
    garbage,
    gc,
    half_dead,
    moved,
    new_store,
    several,
    tries,
    undelete,
    upload,
)

from sheaf.testing.schedule import Mishap, Schedule, Stop

#: Where a writer stands still, and what it waits for.
WRITER = (
    *(
        Stop(f"{action} {folder}", until)
        for action, folders in (
            ("create", ("sessions", "packs", "index", "nodes", "log")),
            ("list", ("condemned", "index")),
        )
        for folder in folders
        for until in ("list sessions", "delete packs")
    ),
    Stop("create index", "delete condemned"),
    Stop("create log", "delete condemned"),
)
#: The same of a gc, beside a writer; the second list of addresses is made when it looks again.
GC = tuple(
    Stop(at, "create log", nth)
    for at, nth in (
        ("create condemned", 1),
        ("list sessions", 1),
        ("list moved", 2),
        ("list index", 1),
        ("delete packs", 1),
    )
)
#: Of a gc beside another one, ...
ONE = tuple(
    Stop(at, until)
    for at in ("create condemned", "create sessions", "list index", "create moved", "create log", "delete packs")
    for until in ("create log", "delete packs", "delete condemned")
)


#: ... and of the other one, which may let it go ahead.
OTHER = (
    Stop("list condemned", "create condemned"),
    Stop("list condemned", "create packs"),
    *(
        Stop(at, until)
        for at in ("list index", "create log", "delete packs")
        for until in ("create log", "delete packs")
    ),
)


@dataclass(frozen=True)
class Cast:
    """What was before, and who does what at the same time: of those that don't stand still, the first goes on."""

    before: Act
    acts: Mapping[str, Act]
    stops: Mapping[str, Sequence[Stop]]
    mishaps: Mapping[int | str, Mishap] = field(default_factory=dict)  #: of the first one


def _with_gc(before: Act, writer: Act, deleter: Act | None = None) -> list[Cast]:
    """A writer who begins before gc does, and one who begins later."""
    others = {"deleter": deleter} if deleter else {}
    stops = {"writer": WRITER, "gc": GC}
    return [
        Cast(before, {"writer": writer, "gc": gc, **others}, stops),
        Cast(before, {"gc": gc, "writer": writer, **others}, stops),
    ]


def _with_rival(before: Act, writer: Act) -> list[Cast]:
    """Two gcs beside somebody who comes later; and two that nobody disturbs, the other way round."""
    stops, more = {"one": ONE, "other": OTHER}, several(gc, gc)
    return [
        Cast(before, {"one": gc, "other": more, "writer": writer}, stops),
        Cast(before, {"other": more, "one": gc}, stops),
    ]


again = tries(upload("again", ALL), upload("once more", ALL))
CASTS = (
    *_with_gc(garbage, again),
    *_with_gc(several(garbage, gc), again),
    *_with_gc(several(half_dead, gc), copy_of("half", "b/c"), delete("half")),
    *_with_gc(half_dead, copy_of("half", "b/c"), delete("half")),
    *_with_gc(half_dead, edit_of("half", {"new": b"new"}), delete("half")),
    *_with_gc(several(half_dead, delete("half")), undelete("half")),
    *_with_rival(half_dead, upload("again", ALL)),
    *_with_rival(moved, upload("again", HALF)),
    Cast(garbage, {"writer": upload("again", ALL), "gc": several(gc, gc)}, {"gc": GC}, {"/log/": Mishap.LATE}),
)


@dataclass(frozen=True)
class Ambush:
    """A cast, and where each of its members stands still. ``number``: what little is left to chance depends on it."""

    number: int
    cast: Cast
    stops: Mapping[str, Sequence[Stop]]


def _ambushes() -> list[Ambush]:
    found = [
        (cast, {name: [stop] for name, stop in zip(cast.stops, stops, strict=True) if stop})
        for cast in CASTS
        for stops in product(*([None, *stops] for stops in cast.stops.values()))
    ]
    random.Random("ambushes").shuffle(found)
    return [Ambush(number, *of) for number, of in enumerate(found)]


AMBUSHES = _ambushes()
SHARES = 200  #: of the seeds, so many play all of them together


def share(seed: int) -> list[Ambush]:
    """Those that a seed plays."""
    return AMBUSHES[seed::SHARES] if seed < SHARES else []


def spring(ambush: Ambush, scratch: Path) -> Schedule:
    """Plays an ambush; raises what does not hold afterwards."""
    cast, schedule, stage = ambush.cast, Schedule(ambush.number, stops=ambush.stops), Stage(scratch)
    cast.before(stage, new_store(schedule))
    for name, act in cast.acts.items():
        schedule.add(name, client(schedule, stage, name, act, {} if schedule.made else cast.mishaps))
    schedule.run()
    assert_kept(schedule, stage)
    return schedule
