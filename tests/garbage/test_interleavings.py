"""Small stories of two clients, one of which is interrupted at one call after the other by all that the other does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.garbage.interleavings import SCENES, interruptions, play
from tests.garbage.simulation import tiny

EVERY = 11  #: `make test` takes one interruption in so many; the slow tier takes all


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_ends_well_wherever_it_is_interrupted(name: str, tmp_path: Path) -> None:
    with tiny():
        found = interruptions(SCENES[name], tmp_path)
        assert len(found) > 20
        for plan in found[::EVERY]:
            play(SCENES[name], plan, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_a_scene_ends_well_at_every_interruption(name: str, tmp_path: Path) -> None:
    with tiny():
        for plan in interruptions(SCENES[name], tmp_path):
            play(SCENES[name], plan, tmp_path)
