"""A mounted bundle before PyTorch's loader with several processes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from tests.libraries import need
from tests.mount.conftest import Mounts
from tests.mount.trees import make_tree

import sheaf


@pytest.mark.slow
def test_a_data_loader_with_several_workers_gets_every_file(mounts: Mounts, store: sheaf.Store, tmp_path: Path) -> None:
    torch_data = need("torch.utils.data")
    data = make_tree(tmp_path / "data")
    store.repo("r").upload(data, message="m")
    folder = mounts.start("bundle", "mount", "--repo", "r").folder
    names = sorted(os.listdir(folder / "many"))

    class Files(torch_data.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return len(names)

        def __getitem__(self, number: int) -> tuple[str, str]:
            return names[number], hashlib.sha256((folder / "many" / names[number]).read_bytes()).hexdigest()

    loader = torch_data.DataLoader(Files(), batch_size=7, shuffle=True, num_workers=3)
    for _ in range(2):
        seen = {name: digest for batch in loader for name, digest in zip(*batch, strict=True)}
        expected = {name: hashlib.sha256((data / "many" / name).read_bytes()).hexdigest() for name in names}
        assert seen == expected
