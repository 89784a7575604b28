"""People and gcs on one store in orders that seeds decide, with calls that fail and answers that are lost: nothing is lost.

`make torture` plays more of them.
"""

from __future__ import annotations

import pytest
from tests.garbage.worlds import Folders, play, tiny

SEEDS = range(200)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost(seed: int, folders: Folders) -> None:
    with tiny():
        play(seed, folders)
