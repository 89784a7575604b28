"""Training libraries, reading a bundle by several processes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from tests.libraries import need

import sheaf
from sheaf.training.source import Source

FILES = {f"train/{i:03}": f"{i}".encode() for i in range(100)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    with sheaf.init(str(tmp_path / "store")) as store, store.create_repo("faces").edit(message="files") as edit:
        for path, content in FILES.items():
            edit.put(path, content)
        edit.commit()
    return str(tmp_path / "store")


def test_a_source_is_pinned_to_the_bundle_that_is_meant_now(url: str) -> None:
    source = Source("faces@main", url).pinned()
    with sheaf.connect(url) as store:
        first = store.repo("faces").bundle("main")
        with store.repo("faces").edit(message="more") as edit:
            edit.remove("train/000")
            edit.commit()
        assert pickle.loads(pickle.dumps(source)).bundle(store).id == first.id


@pytest.mark.filterwarnings("ignore")
def test_huggingface_datasets_stream_it_in_shards(url: str) -> None:
    need("datasets")
    from sheaf.training.huggingface import iterable_dataset

    dataset = iterable_dataset("faces@main", "train/**", shuffle=1, shards=4, store=url)
    assert {row["path"]: row["data"] for row in dataset} == FILES
    assert dataset.num_shards == 4
    halves = [[row["path"] for row in dataset.shard(2, i)] for i in range(2)]
    assert sorted(halves[0] + halves[1]) == sorted(FILES)


def count(batch: list[Any]) -> int:
    return len(batch)


@pytest.mark.slow
def test_pytorch_workers_share_it_out(url: str) -> None:
    torch = need("torch")
    from sheaf.training.pytorch import SheafDataset

    dataset = SheafDataset("faces@main", "train/**", 8, shuffle=1, store=url)
    for method in (None, "fork", "spawn"):
        workers = {"num_workers": 3, "multiprocessing_context": method} if method else {}
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, **workers)
        samples = [sample for batch in loader for sample in batch]
        assert dict(samples) == FILES
        assert len(samples) == len(FILES)
    ranks = [list(SheafDataset("faces@main", batch=10, store=url, shard=(i, 2), transform=count)) for i in range(2)]
    assert ranks == [[10] * 5, [10] * 5]


@pytest.mark.slow
def test_pytorch_goes_on_where_it_stopped(url: str) -> None:
    need("torch")
    from sheaf.training.pytorch import SheafDataset

    dataset = SheafDataset("faces@main", "train/**", 8, shuffle=1, store=url)
    first = list(dataset)
    dataset.set_epoch(1)
    second = list(dataset)
    assert first != second
    dataset.set_epoch(1)
    iterator = iter(dataset)
    begun = [next(iterator) for _ in range(5)]
    state = dataset.state_dict()
    again = SheafDataset("faces@main", "train/**", 8, shuffle=1, store=url)
    again.load_state_dict(state)
    assert begun + list(again) == second
