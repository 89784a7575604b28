"""Taking names out in the middle of what several people do, in orders that a seed decides."""

from __future__ import annotations

import random
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import pytest
from tests.erase.builders import Now, core_of, hash_of, named_in, new_backend, process, put, traces

from sheaf.engine.erase.erasure import erase
from sheaf.engine.erase.redact_names import Names
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import Decision
from sheaf.errors import SheafError
from sheaf.format.session_v1 import Session
from sheaf.repo.edit import Edit
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_sound

SECRETS = {f"person-{n}-name": f"words of person {n} ".encode() * 300 for n in range(3)}
REPOS = ("r", "q")


@dataclass
class World:
    """Three people and their open edits; any of them erases, collects, deletes."""

    backend: MemoryBackend
    dice: random.Random
    people: list[Store]
    edits: dict[int, Edit] = field(default_factory=dict)
    count: int = 0

    def step(self, *, depth: int = 0) -> None:
        """Somebody does something."""
        who = self.dice.randrange(len(self.people))
        acts = [self.begin, self.copy, self.put, self.commit, self.delete, self.undelete, self.collect, self.forget]
        act = self.dice.choices(acts, [4, 4, 3, 4, 2, 2, 1, 1])[0]
        if depth and act in (self.collect, self.forget):
            act = self.commit
        with suppress(SheafError, IndexError):  # there may be nothing to choose from
            act(who)

    def begin(self, who: int) -> None:
        self.end(who)
        edit = self.people[who].repo(self.dice.choice(REPOS)).edit(message=f"{who}")
        edit.__enter__()
        self.edits[who] = edit

    def copy(self, who: int) -> None:
        if who in self.edits:
            source = self.dice.choice(self.people[who].repo(self.dice.choice(REPOS)).bundles())
            entry = self.dice.choice([entry for entry in source.ls(recursive=True) if entry.kind == "file"])
            self.count += 1
            self.edits[who].copy(entry.path, f"{self.count}/{entry.path.rpartition('/')[2]}", source=source)

    def put(self, who: int) -> None:
        if who in self.edits:
            self.count += 1
            name, content = self.dice.choice(list(SECRETS.items()))
            self.edits[who].put(f"{self.count}/{name}", content)
            self.edits[who].put(f"{self.count}/other", b"%d" % self.count)

    def commit(self, who: int) -> None:
        if who in self.edits:
            self.edits[who].commit()
            self.end(who)

    def end(self, who: int) -> None:
        if (edit := self.edits.pop(who, None)) is not None:
            edit.__exit__(None, None, None)

    def delete(self, who: int) -> None:
        repo = self.people[who].repo(self.dice.choice(REPOS))
        repo.delete_bundle(f"bundle:{self.dice.choice(repo.bundles()).id}")

    def undelete(self, who: int) -> None:
        repo = self.people[who].repo(self.dice.choice(REPOS))
        repo.undelete_bundle(self.dice.choice(repo.deleted_bundles()).id)

    def collect(self, who: int) -> None:
        collect(core_of(self.people[who]), Meanwhile(self))

    def forget(self, who: int) -> None:
        name, content = self.dice.choice(list(SECRETS.items()))
        erase(core_of(self.people[who]), frozenset([bytes.fromhex(hash_of(content))]), "x", Meanwhile(self), Names())
        assert not traces(self.backend, content) and not named_in(self.backend, name)
        assert self.people[who].check().ok


class Meanwhile(Now):
    """Others go on while somebody waits, three times."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left = 3

    def __call__(self, sessions: list[Session]) -> Decision:
        self._left -= 1
        if self._left < 0:
            return Decision.END
        self._world.step(depth=1)
        return Decision.WAIT


@pytest.mark.parametrize("seed", range(25))
def test_nothing_is_lost_and_no_name_is_left(seed: int) -> None:
    backend = new_backend()
    with ExitStack() as stack:
        people = [stack.enter_context(process(backend, f"{seed} {n}")) for n in range(3)]
        world = World(backend, random.Random(seed), people)
        for name in REPOS:
            put(people[0].create_repo(name), SECRETS | {"other": name.encode()})
        for _ in range(40):
            world.step()
        for who in range(len(people)):
            world.end(who)
        for content in SECRETS.values():
            with suppress(SheafError):  # nobody has it any more
                people[0].erasure.erase(content=hash_of(content), with_path=True, reason="last", now=True)
        collect(core_of(people[2]), Now())
        assert_sound(people[1])
        assert not named_in(backend, "-name")
        for content in SECRETS.values():
            assert not traces(backend, content)
