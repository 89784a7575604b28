"""Valid objects, damaged by the seed: a decoder gives a value or says Corrupt or Unsupported, and takes little memory."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from fuzz.mutate import mutated
from fuzz.targets import targets
from hypothesis import given
from hypothesis import strategies as st

TARGETS = targets()
CORPUS = Path(__file__).parent / "corpus"
ROOM = 64 << 20  #: bytes that Python may ask for; pyarrow's own are measured in test_bombs.py


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_seed_is_taken(name: str) -> None:
    TARGETS[name].run(TARGETS[name].seed)


@pytest.mark.parametrize("name", sorted(TARGETS))
@given(seed=st.integers(0, 2**64 - 1))
def test_changed_by_chance(name: str, seed: int) -> None:
    chance = random.Random(seed)
    TARGETS[name].run(mutated(TARGETS[name].seed, chance))


@pytest.mark.parametrize("name", sorted(TARGETS))
@given(data=st.data())
def test_spliced_with_another_kind(name: str, data: st.DataObject) -> None:
    ours, theirs = TARGETS[name].seed, TARGETS[data.draw(st.sampled_from(sorted(TARGETS)))].seed
    cut, join = data.draw(st.integers(0, len(ours))), data.draw(st.integers(0, len(theirs)))
    TARGETS[name].run(ours[:cut] + theirs[join:])


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_numbers_at_the_ends_take_no_memory(name: str) -> None:
    target, chance = TARGETS[name], random.Random(name)
    tracemalloc.start()
    try:
        for _ in range(100):
            target.run(mutated(target.seed, chance))
        assert tracemalloc.get_traced_memory()[1] < ROOM
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "file", sorted(path for path in CORPUS.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_what_failed_once(file: Path) -> None:
    TARGETS[file.parent.name].run(file.read_bytes())
