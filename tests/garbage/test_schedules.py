"""People and gcs on one store in orders that seeds decide, with calls that fail and answers that are lost: nothing is lost.

All seeds together play all ambushes: `make test` takes one in EVERY, the slow tier all, `make torture` many more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.garbage.simulation import Folders, play, tiny
from tests.garbage.standstills import SHARES, share, spring


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"))


EVERY = 6


@pytest.mark.parametrize(
    "seed", [seed if seed % EVERY == 0 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(SHARES)]
)
def test_nothing_is_lost(seed: int, folders: Folders, tmp_path: Path) -> None:
    with tiny():
        play(seed, folders)
        for ambush in share(seed):
            spring(ambush, tmp_path)
