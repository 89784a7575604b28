"""People and gcs on one store in orders that seeds decide, with calls that fail and answers that are lost: nothing is lost.

The same seeds play all ambushes. `make torture` plays more of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.garbage.ambushes import SHARES, share, spring
from tests.garbage.worlds import Folders, play, tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"))


@pytest.mark.parametrize("seed", range(SHARES))
def test_nothing_is_lost(seed: int, folders: Folders, tmp_path: Path) -> None:
    with tiny():
        play(seed, folders)
        for ambush in share(seed):
            spring(ambush, tmp_path)
