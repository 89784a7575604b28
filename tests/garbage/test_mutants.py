"""The tests can fail: with one rule of the protocol broken, some scene or schedule loses something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.garbage.mutants import MUTANTS
from tests.garbage.scenes import SCENES, interruptions
from tests.garbage.scenes import play as play_scene
from tests.garbage.worlds import Folders, play, tiny


def attempts(tmp_path: Path) -> Iterator[None]:
    """Every scene with every interruption, then schedules: each yields if it held."""
    for scene in SCENES.values():
        for plan in interruptions(scene, tmp_path):
            play_scene(scene, plan, tmp_path)
            yield
    folders = Folders(tmp_path / "folders")
    for seed in range(200):
        play(seed, folders)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_found_out(name: str, tmp_path: Path) -> None:
    with tiny(), MUTANTS[name](), pytest.raises(Exception) as caught:
        for _ in attempts(tmp_path):
            pass
    assert not isinstance(caught.value, (TypeError, AttributeError, NameError)), "the mutant itself is broken"
