"""The tests can fail: with one rule of the protocol broken, some scene or schedule loses something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.garbage.broken_rules import MUTANTS, TAKES_THREE
from tests.garbage.interleavings import SCENES, interruptions
from tests.garbage.interleavings import play as play_scene
from tests.garbage.simulation import Folders, play, tiny
from tests.garbage.standstills import SHARES, share, spring


def by_seeds(tmp_path: Path) -> Iterator[object]:
    """What `make test` plays: each yields if it held."""
    folders = Folders(tmp_path / "folders")
    for seed in range(SHARES):
        yield from (spring(ambush, tmp_path) for ambush in share(seed))
        yield play(seed, folders)


def by_scenes(tmp_path: Path) -> Iterator[object]:
    """Every scene with every interruption."""
    for scene in SCENES.values():
        yield from (play_scene(scene, plan, tmp_path) for plan in interruptions(scene, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [by_seeds, by_scenes])
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found_out(name: str, attempts: Callable[[Path], Iterator[object]], tmp_path: Path) -> None:
    if attempts is by_scenes and name in TAKES_THREE:
        pytest.skip("one interruption does not show it")
    with tiny(), MUTANTS[name](), pytest.raises(Exception) as caught:
        for _ in attempts(tmp_path):
            pass
    assert not isinstance(caught.value, (TypeError, AttributeError, NameError)), "the mutant itself is broken"
