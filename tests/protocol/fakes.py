"""Who works on the modelled store: writers, people who delete and undelete, gcs. Each call of the store is a step.

A step bears the name of what it stands for in ``sheaf.engine``. Whoever may stand still for ever may as well have died.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.protocol.model_store import Address, Forwards, Generation, Pack, Record, Row, World, load_forwards

DONE = "done"
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """The protocol, rule by rule: with one of them False it is another one. ``stale``: listings may be late."""

    registers_first: bool = True
    looks_at_condemned: bool = True
    looks_at_condemned_before_index: bool = True
    asks_packs: bool = True
    names_are_unique: bool = True
    refuses_dead_rows: bool = True
    looks_for_base_when_registered: bool = True
    sees_that_it_is_void: bool = True
    stays_while_commit_may_land: bool = True
    undeletes_only_what_is_whole: bool = True
    resolves: bool = True
    ends_by_record: bool = True
    looks_again: bool = True
    counts_the_past: bool = True
    leaves_out_what_is_gone: bool = True
    carries_over_before_it_deletes: bool = True
    moves_by_record: bool = True
    gc_sees_that_it_is_void: bool = True
    condemned_goes_last: bool = True
    settles: bool = True
    stale: bool = False


class Local(NamedTuple):
    """What an actor knows. ``at``: the step that is next; ``session``: its own; the rest is for steps to come."""

    at: str
    session: str = ""
    dead: frozenset[str] = NOTHING
    avoid: frozenset[str] = NOTHING
    listed: frozenset[str] = NOTHING
    row: Row = ("", "")
    todo: tuple[str, ...] = ()
    generation: Generation | None = None
    forwards: Forwards = Forwards(())
    needed: frozenset[Row] = frozenset()
    copies: frozenset[tuple[Row, str]] = frozenset()
    tries: int = 0


Next = tuple[str, World, Local]  #: what was done, and what is then
Steps = Iterator[Next]


def _listings(world: World, names: frozenset[str]) -> set[frozenset[str]]:
    """What a listing may show."""
    return {names, names - world.fresh}


def _register(world: World, session: str, rules: Rules) -> World:
    fresh = world.fresh | {session} if rules.stale else world.fresh
    return world._replace(sessions=world.sessions | {session}, fresh=fresh)


def _end(world: World, session: str) -> World:
    return world._replace(sessions=world.sessions - {session})


# -- whoever commits a bundle ------------------------------------------------------------------------------------------


class Session:
    """What all that commit do first and last; ``order``: the steps between."""

    order: tuple[str, ...] = ()

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.rules = rules
        look = ["sessions.observe", "dedup.load_segments"]
        if not rules.looks_at_condemned_before_index:
            look.reverse()
        begin = ["sessions.open_session", *look] if rules.registers_first else [*look, "sessions.open_session"]
        self.steps = (*begin, *self.order, "sessions.end_session", DONE)

    def start(self) -> Local:
        return Local(self.steps[0], self.name)

    def next(self, world: World, me: Local) -> Steps:
        name = me.at.split(".")[1]
        for changed, local in getattr(self, name)(world, me):
            yield me.at, changed, local if local.at != me.at else local._replace(at=self._after(me.at))

    def _after(self, step: str) -> str:
        return self.steps[self.steps.index(step) + 1]

    def open_session(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        yield _register(world, self.name, self.rules), me

    def observe(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        for shown in _listings(world, frozenset(found.name for found in world.condemned)):
            found = [entry for entry in world.condemned if entry.name in shown and self.rules.looks_at_condemned]
            dead = frozenset[str]().union(*(entry.dead for entry in found))
            yield world, me._replace(dead=dead, avoid=dead.union(*(entry.moving for entry in found)))

    def load_segments(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        yield world, me._replace(listed=world.indexed)

    def end_session(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        yield _end(world, self.name), me

    def _commit(self, world: World, me: Local, record: Record) -> Iterator[tuple[World, Local]]:
        """Made, or made with the answer lost, or under way; refused, if somebody has ended the session."""
        leave = me._replace(at="sessions.end_session")
        if world.is_void(self.name) and self.rules.sees_that_it_is_void:
            yield world, leave
            return
        yield world.append(record), me
        stays = me._replace(at=DONE) if self.rules.stays_while_commit_may_land else leave
        yield world._replace(late=world.late | {(len(world.log), record)}), stays


class Writer(Session):
    """Uploads chunk ``x``."""

    order = ("ingest.Ingest", "pack_writer.PackSink", "dedup.write_index", "writer.committed")

    def Ingest(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        usable = sorted(me.listed - me.avoid)
        for pack in usable:
            if not self.rules.asks_packs or any(p.name == pack and "x" in p.chunks for p in world.packs):
                yield world, me._replace(row=(pack, "x"), at="writer.committed")
                return
        yield world, me

    def PackSink(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        pack = Pack(f"of {self.name}" if self.rules.names_are_unique else "of x", frozenset("x"))
        yield world._replace(packs=world.packs | {pack}), me._replace(row=(pack.name, "x"))

    def write_index(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        yield world._replace(indexed=world.indexed | {me.row[0]}), me

    def committed(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        return self._commit(world, me, Record("add", self.name, me.row))


class Copier(Session):
    """Takes over a row of a bundle."""

    order = ("resolve.alive", "writer.committed")

    def __init__(self, name: str, source: str, rules: Rules) -> None:
        super().__init__(name, rules)
        self.source = source
        if not rules.looks_for_base_when_registered:
            self.steps = ("resolve.alive", *(step for step in self.steps if step != "resolve.alive"))

    def alive(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        row = world.alive().get(self.source)
        if row is None or (row[0] in me.dead and self.rules.refuses_dead_rows):
            yield world, me._replace(at="sessions.end_session")
        else:
            yield world, me._replace(row=row)

    def committed(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        if me.row[0] in me.dead and self.rules.refuses_dead_rows:
            yield world, me._replace(at="sessions.end_session")
            return
        yield from self._commit(world, me, Record("add", self.name, me.row))


class Undeleter(Session):
    """Brings a bundle back."""

    order = ("restore._ensure_whole", "restore.restore_bundle")

    def __init__(self, name: str, source: str, row: Row, rules: Rules) -> None:
        super().__init__(name, rules)
        self.source = source
        self.row = row

    def _ensure_whole(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        at = load_forwards(world, only_committed=self.rules.moves_by_record).final(self.row)
        whole = not {at[0], self.row[0]} & me.avoid and any(p.name == at[0] and at[1] in p.chunks for p in world.packs)
        is_refused = not whole and self.rules.undeletes_only_what_is_whole
        yield world, me._replace(at="sessions.end_session") if is_refused else me

    def restore_bundle(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        if self.source in world.alive() or not any(record.name == self.source for record in world.log):
            yield world, me._replace(at="sessions.end_session")
            return
        yield from self._commit(world, me, Record("restore", self.source, self.row))


class Deleter:
    """Deletes a bundle. Takes no session: it makes nothing that could be lost."""

    def __init__(self, source: str) -> None:
        self.source = source

    def start(self) -> Local:
        return Local("resolve.Refs")

    def next(self, world: World, me: Local) -> Steps:
        if self.source in world.alive():
            yield "resolve.Refs", world.append(Record("delete", self.source)), me._replace(at=DONE)


# -- gc ----------------------------------------------------------------------------------------------------------------


class Gc:
    """One collection: what others have left, then a generation of its own."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.rules = rules

    def start(self) -> Local:
        return Local("collect.collect")

    def next(self, world: World, me: Local) -> Steps:
        step = getattr(self, "_" + me.at.split(".")[1].lstrip("_"))
        for changed, local in step(world, me):
            yield me.at, changed, local

    # marking

    def _collect(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        for shown in _listings(world, frozenset(entry.name for entry in world.condemned)):
            yield world, me._replace(todo=tuple(sorted(shown)), at="collect.finish" if shown else "sweep.inventory")

    def _inventory(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        yield world, me._replace(listed=frozenset(pack.name for pack in world.packs), at="forwarding.load_forwards")

    def _load_forwards(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        forwards = load_forwards(world, only_committed=self.rules.moves_by_record)
        yield world, me._replace(forwards=forwards, at="mark.roots_since" if me.generation else "mark.live_bundles")

    def _live_bundles(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        rows = {place for row in world.alive().values() for place in me.forwards.all(row)}
        needed = {pack for pack, _ in rows}
        known = me.listed | {pack for pack, _ in me.forwards.to}
        moving = frozenset(
            pack.name
            for pack in world.packs
            if pack.name in needed & me.listed
            and 2 * len({row for row in rows if row[0] == pack.name}) <= len(pack.chunks)
        )
        generation = Generation(self.name, frozenset(known - needed), moving, len(world.log))
        if not generation.dead | generation.moving:
            yield world, Local(DONE)
        else:
            yield world, Local("session_v1.encode_condemned", generation=generation)

    def _encode_condemned(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        assert me.generation
        fresh = world.fresh | {self.name} if self.rules.stale else world.fresh
        changed = world._replace(condemned=world.condemned | {me.generation}, fresh=fresh)
        yield changed, Local("collect.finish", todo=(self.name,))

    # finishing

    def _finish(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """Read a generation, or see that somebody else has finished it."""
        found = next((entry for entry in world.condemned if entry.name == me.todo[0]), None)
        if found is None:
            yield world, self._over(me)
        else:
            yield world, me._replace(generation=found, at="sessions.open_store_session")

    def _over(self, me: Local) -> Local:
        """With the next generation, or one of its own."""
        rest = me.todo[1:]
        if me.todo[0] == self.name:
            return Local(DONE)
        return Local("collect.finish" if rest else "sweep.inventory", todo=rest, tries=me.tries)

    def _open_store_session(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        session = f"{self.name}/{me.tries}"
        at = "grace.Waiting" if self.rules.stale and self.rules.settles else "sessions.list_sessions"
        yield (
            _register(world, session, self.rules),
            me._replace(session=session, tries=me.tries + 1, listed=NOTHING, at=at),
        )

    def _Waiting(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """Whatever was there when it began to wait is listed now. Two such times, before it lists sessions."""
        is_twice = "waited" in me.listed
        at = "sessions.list_sessions" if is_twice else "grace.Waiting"
        yield world._replace(fresh=NOTHING), me._replace(listed=frozenset({"waited"}), at=at)

    def _list_sessions(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        for shown in _listings(world, world.sessions):
            others = (shown - {me.session}) if self.rules.resolves else NOTHING
            yield world, me._replace(listed=others, at="collect.resolve")

    def _resolve(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """Those that have ended need nothing; another one is ended, by a record; then nobody is left."""
        opened = sorted(me.listed & world.sessions)
        if not opened:
            yield world, me._replace(listed=NOTHING, at="forwarding.load_forwards")
            return
        session, rest = opened[0], me._replace(listed=frozenset(opened[1:]))
        is_committed = any(record.op == "add" and record.name == session for record in world.log)
        ended = world if is_committed or not self.rules.ends_by_record else world.append(Record("void", session))
        yield _end(ended, session), rest

    # sweeping

    def _roots_since(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        assert me.generation
        heads = me.generation.heads
        rows = world.since(heads) if self.rules.counts_the_past else set(world.alive().values())
        if not self.rules.looks_again:
            rows = set(world.alive(heads).values())
        if self.rules.leaves_out_what_is_gone:
            alive, known = set(world.alive().values()), dict(me.forwards.to)
            gone = {pack for pack in me.generation.moving if pack not in known and not world.has(pack)}
            rows = {row for row in rows if row in alive or me.forwards.final(row)[0] not in gone}
        rows = {place for row in rows for place in me.forwards.all(row)}
        dead = me.generation.dead - {pack for pack, _ in rows}
        yield world, me._replace(dead=dead, needed=frozenset(rows), at="dedup.load_segments")

    def _load_segments(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        assert me.generation
        gone = me.dead | me.generation.moving
        index = frozenset(pack for pack in world.indexed - gone if world.has(pack))
        early = world.condemned - ({me.generation} if not self.rules.condemned_goes_last else set())
        at = "pack_writer.PackSink" if self._moves(me) else "sweep._delete"
        yield world._replace(indexed=index, condemned=early), me._replace(at=at)

    def _moves(self, me: Local) -> list[Row]:
        """The chunks that go with the packs that move."""
        assert me.generation
        return sorted(row for row in me.needed if row[0] in me.generation.moving)

    def _PackSink(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """Copies, as far as packs are there still."""
        found = [row for row in self._moves(me) if any(p.name == row[0] and row[1] in p.chunks for p in world.packs)]
        if len(found) < len(self._moves(me)):  # another gc was faster: its address holds, or it has ended this one
            forwards = dict(me.forwards.to)
            is_known = all(row in found or row[0] in forwards for row in self._moves(me))
            yield world, me._replace(at="sweep._delete" if is_known else "sessions.end_session")
            return
        name = f"moved by {me.session}"
        pack = Pack(name, frozenset(chunk for _, chunk in found))
        copies = frozenset((row, name) for row in found)
        changed = world._replace(packs=world.packs | {pack}, indexed=world.indexed | {name})
        at = "moved_v1.encode_moved" if self.rules.carries_over_before_it_deletes else "sweep._delete"
        yield changed, me._replace(copies=copies, at=at)

    def _encode_moved(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """An address for each pack that moves, and for those that lead there."""
        there = dict(me.copies)
        said: dict[str, set[Row]] = {}
        for row in me.needed:
            last = next((place for place in me.forwards.all(row) if place in there), None)
            if last is not None:
                said.setdefault(row[0], set()).add((there[last], row[1]))
        addresses = frozenset(Address(pack, me.session, frozenset(to)) for pack, to in said.items())
        yield world._replace(moved=world.moved | addresses), me._replace(at="repack.Mover")

    def _Mover(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """The record from which on the addresses hold; also with its answer lost."""
        if world.is_void(me.session) and self.rules.gc_sees_that_it_is_void:
            yield world, me._replace(at="sessions.end_session")
            return
        packs = frozenset(address.pack for address in world.moved if address.session == me.session)
        record = Record("move", me.session, ("", ""), packs)
        after = "sweep._delete" if self.rules.carries_over_before_it_deletes else "collect.Collected"
        yield world.append(record), me._replace(at=after)
        yield world._replace(late=world.late | {(len(world.log), record)}), Local(DONE)

    def _delete(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """One pack after the other; addresses of what is dead go last."""
        assert me.generation
        gone = me.dead | me.generation.moving
        pack = min((pack for pack in world.packs if pack.name in gone), default=None)
        if pack is not None:
            yield world._replace(packs=world.packs - {pack}), me
            return
        moved = frozenset(address for address in world.moved if address.pack not in me.dead)
        is_late = self.rules.carries_over_before_it_deletes or not me.copies
        at = "collect.Collected" if is_late else "moved_v1.encode_moved"
        yield world._replace(moved=moved), me._replace(at=at)

    def _Collected(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        """The generation is over."""
        yield world._replace(condemned=world.condemned - {me.generation}), me._replace(at="sessions.end_session")

    def _end_session(self, world: World, me: Local) -> Iterator[tuple[World, Local]]:
        assert me.generation
        is_over = me.generation not in world.condemned
        yield _end(world, me.session), self._over(me) if is_over else Local(DONE)
