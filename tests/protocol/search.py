"""Every order in which actors can take their steps, breadth first: the shortest way to a loss comes out first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from tests.protocol.fakes import DONE, Gc, Local, Rules, Steps
from tests.protocol.model_store import World

State = tuple[World, tuple[Local, ...]]


class Actor(Protocol):
    """Somebody who takes steps; whoever has none left, or is stopped for ever, takes no more."""

    def start(self) -> Local: ...
    def next(self, world: World, me: Local, /) -> Steps: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search saw. ``trace``: the way to the loss of ``lost``, or nothing; ``is_whole``: no state was left out."""

    states: int
    trace: tuple[str, ...] = ()
    lost: str = ""
    is_whole: bool = True

    def __str__(self) -> str:
        if not self.lost:
            return f"{self.states} states, nothing is lost"
        return "\n".join([f"{self.lost} is lost ({self.states} states):", *(f"  {step}" for step in self.trace)])


Cast = Callable[[Rules], tuple[World, Mapping[str, Actor]]]


def search(cast: Cast, rules: Rules | None = None, limit: int = 1 << 30) -> Found:
    """Explores at most ``limit`` states. A loss is a bundle that can't be read, or garbage that no gc would take."""
    rules = rules or Rules()
    world, actors = cast(rules)
    first: State = world, tuple(actor.start() for actor in actors.values())
    came: dict[State, tuple[State, str] | None] = {first: None}
    todo, tidy = deque([first]), dict[World, str]()
    while todo:
        state = todo.popleft()
        if lost := state[0].lost() or _left(state[0], tidy, rules):
            return Found(len(came), _trace(came, state), lost)
        if len(came) >= limit:
            return Found(len(came), is_whole=False)
        for step, after in _after(state, actors):
            if after not in came:
                came[after] = state, step
                todo.append(after)
    return Found(len(came))


def _after(state: State, actors: Mapping[str, Actor]) -> list[tuple[str, State]]:
    world, local_states = state
    found = []
    for i, (name, actor) in enumerate(actors.items()):
        if local_states[i].at != DONE:
            for step, changed, local in actor.next(world, local_states[i]):
                found.append((f"{name}: {step}", (changed, (*local_states[:i], local, *local_states[i + 1 :]))))
    for n, record in world.late:  # a write whose answer was lost lands where nobody was faster, or never
        rest = world._replace(late=world.late - {(n, record)})
        if n == len(world.log):
            found.append((f"the {record.op} of {record.name} lands", (rest.append(record), local_states)))
        else:
            found.append((f"the {record.op} of {record.name} comes too late", (rest, local_states)))
    return found


def _trace(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    steps: list[str] = []
    while (before := came[state]) is not None:
        state, step = before
        steps.append(step)
    return tuple(reversed(steps))


# -- progress ----------------------------------------------------------------------------------------------------------


def _left(world: World, known: dict[World, str], rules: Rules) -> str:
    """What three gcs leave behind, or lose, if everybody else stops here for ever."""
    world = world._replace(late=frozenset(), fresh=frozenset())
    if world not in known:
        known[world] = _tidied(world, replace(rules, stale=False))
    return known[world]


def _tidied(world: World, rules: Rules) -> str:
    for n in range(3):
        gc = Gc(f"~{n}", rules)
        local = gc.start()
        while local.at != DONE:
            _, world, local = next(iter(gc.next(world, local)))
    if lost := world.lost():
        return f"{lost}, once gcs have gone on alone,"
    alive = {pack for row in world.alive().values() for pack in _places(world, row)}
    garbage = {pack.name for pack in world.packs} - alive
    if world.condemned or garbage:  # a session that nobody ends stays until there is garbage: it hides none
        return f"room for {sorted(garbage)} and {len(world.condemned)} generations"
    return ""


def _places(world: World, row: tuple[str, str]) -> set[str]:
    found, ask = set[str](), [row]
    while ask:
        row = ask.pop()
        if row[0] not in found:
            found.add(row[0])
            ask += [
                place for address in world.moved if address.pack == row[0] for place in address.to if place[1] == row[1]
            ]
    return found
