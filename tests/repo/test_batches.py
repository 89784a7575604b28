"""Batches: every file once, in an order that is the same each time, from wherever one stopped."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sheaf
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.manifest.bulk_read import Bulk
from sheaf.errors import Corrupt, InvalidInput
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.latency import LatencyBackend
from sheaf.transfer.batches import Batches, Sample
from sheaf.transfer.order import Order, cut_units

SMALL = {f"train/{i % 7}/{i:04}.txt": f"file {i} ".encode() * (i % 50) for i in range(600)}
MANY = {f"many/{i}.bin": random.Random(i).randbytes(150_000 + i) for i in range(8)}
BIG = {"big/one.bin": random.Random("big").randbytes(9 << 20), "big/none": b""}
FILES = SMALL | MANY | BIG


@pytest.fixture(scope="module")
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture(scope="module")
def bundle(backend: MemoryBackend) -> Iterator[sheaf.Bundle]:
    """Two sessions, so that files lie in several packs; ``copy`` shares chunks with all of them."""
    from sheaf.engine.clock import SystemClock
    from sheaf.engine.core import create_store

    create_store(backend, SystemClock())
    with sheaf.Store(backend) as store:
        repo = store.create_repo("faces")
        for part in (dict(list(FILES.items())[::2]), dict(list(FILES.items())[1::2])):
            with repo.edit(message="files") as edit:
                for path, content in part.items():
                    edit.put(path, content)
                edit.symlink("train/link", "0")
                edit.commit()
        with repo.edit(message="copy") as edit:
            edit.put("many/mixed.bin", MANY["many/1.bin"][:90_000] + MANY["many/2.bin"])
            edit.commit()
        yield repo.bundle("main")


def flat(batches: Batches) -> list[Sample]:
    return [sample for batch in batches for sample in batch]


def all_files() -> dict[str, bytes]:
    return FILES | {"many/mixed.bin": MANY["many/1.bin"][:90_000] + MANY["many/2.bin"]}


# -- what comes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [None, 7])
def test_every_file_comes_once_with_its_bytes(bundle: sheaf.Bundle, shuffle: int | None) -> None:
    samples = flat(bundle.batches(shuffle=shuffle))
    assert len(samples) == len(all_files())
    assert dict(samples) == all_files()


def test_without_a_seed_files_come_in_the_order_of_the_bundle(bundle: sheaf.Bundle) -> None:
    expected = [entry.path for entry in bundle.ls(recursive=True) if entry.kind == "file"]
    assert [path for path, _ in flat(bundle.batches())] == expected


@pytest.mark.parametrize(
    ("glob", "count"),
    [("**", 611), ("train/**", 600), ("train/3/*", 86), ("train/*/000?.txt", 10), ("**/*.bin", 10), ("big/none", 1)],
)
def test_a_pattern_chooses(bundle: sheaf.Bundle, glob: str, count: int) -> None:
    assert len(flat(bundle.batches(glob))) == count


def test_a_pattern_that_chooses_nothing_is_refused(bundle: sheaf.Bundle) -> None:
    for glob in ("none/**", "*.jpg", "train/link"):
        with pytest.raises(InvalidInput, match="matches"):
            bundle.batches(glob)


def test_batches_have_their_size_and_the_last_what_is_left(bundle: sheaf.Bundle) -> None:
    batches = bundle.batches("train/**", 250)
    assert [len(batch) for batch in batches] == [250, 250, 100] and len(batches) == 3
    batches = bundle.batches("train/**", 250, drop_last=True)
    assert [len(batch) for batch in batches] == [250, 250] and len(batches) == 2


# -- in which order ----------------------------------------------------------------------------------------------------


def test_a_seed_gives_one_order_and_each_epoch_its_own(bundle: sheaf.Bundle) -> None:
    one, two = bundle.batches(shuffle=1, workers=1), bundle.batches(shuffle=1, workers=8)
    first = [flat(one), flat(one)]
    assert first == [flat(two), flat(two)]
    assert first[0] != first[1] and sorted(first[0]) == sorted(first[1])
    assert flat(bundle.batches(shuffle=2)) != first[0]
    one.start_epoch(1)
    assert flat(one) == first[1]


def test_neighbours_are_parted(bundle: sheaf.Bundle) -> None:
    paths = [path for path, _ in flat(bundle.batches("train/**", shuffle=3))]
    numbers = np.array([int(path[-8:-4]) for path in paths])
    assert np.median(np.abs(np.diff(numbers))) > 50


@pytest.mark.parametrize("world", [1, 3, 8])
def test_shards_are_disjoint_and_all_of_it(bundle: sheaf.Bundle, world: int) -> None:
    shards = [[path for path, _ in flat(bundle.batches(shuffle=5, shard=(rank, world)))] for rank in range(world)]
    assert sorted(path for shard in shards for path in shard) == sorted(all_files())
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert [len(bundle.batches(batch=1, shard=(rank, world))) for rank in range(world)] == list(map(len, shards))


@given(
    sizes=st.lists(st.integers(0, 100), max_size=200),
    seed=st.integers(-(2**63), 2**63) | st.none(),
    world=st.integers(1, 4),
    buffer=st.integers(0, 500),
    start=st.floats(0, 1),
)
def test_an_order_has_all_files_and_never_more_than_the_buffer_in_memory(
    sizes: list[int], seed: int | None, world: int, buffer: int, start: float
) -> None:
    size = np.array(sizes, np.int64)
    units = cut_units(np.arange(len(sizes)), np.arange(len(sizes)) // 20, size, 300)
    assert sum(len(units.rows[a:b]) for a, b in zip(units.starts, units.starts[1:], strict=False)) == len(sizes)
    rows: list[int] = []
    for rank in range(world):
        order = Order.of(units, size, seed=seed, epoch=3, shard=(rank, world), buffer=buffer)
        at = int(start * len(order.rows))
        loads = list(order.loads(at))
        assert sorted(int(i) for load in loads for i in load) == list(range(at, len(order.rows)))
        assert [int(load[0]) for load in loads] == sorted(int(load[0]) for load in loads)
        rows += order.rows.tolist()
    assert sorted(rows) == list(range(len(sizes)))


# -- going on ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [None, 11])
@pytest.mark.parametrize("stop", [0, 1, 9, 19])
def test_what_was_handed_out_does_not_come_again(bundle: sheaf.Bundle, shuffle: int | None, stop: int) -> None:
    whole = flat(bundle.batches(batch=32, shuffle=shuffle))
    batches = bundle.batches(batch=32, shuffle=shuffle)
    begun = [sample for _, batch in zip(range(stop), batches, strict=False) for sample in batch]
    kept = json.loads(json.dumps(dataclasses.asdict(batches.position)))
    assert kept["sample"] == len(begun)
    resumed = bundle.batches(batch=32, shuffle=shuffle, resume=kept)
    assert begun + flat(resumed) == whole
    assert resumed.position.epoch == 1


def test_a_position_of_something_else_is_refused(bundle: sheaf.Bundle) -> None:
    position = bundle.batches(shuffle=1).position
    for other in ({"shuffle": 2}, {"glob": "train/**"}, {"shard": (0, 2)}, {"buffer": 5}):
        with pytest.raises(InvalidInput, match="position"):
            bundle.batches(**{"shuffle": 1, "resume": position, **other})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="invalid position"):
        bundle.batches(resume={"epoch": "x"})


def test_nonsense_is_refused(bundle: sheaf.Bundle) -> None:
    for wrong in ({"batch": 0}, {"workers": 0}, {"shard": (1, 1)}, {"buffer": -1}):
        with pytest.raises(InvalidInput):
            bundle.batches(**wrong)


def test_stopping_early_leaves_no_threads_waiting(bundle: sheaf.Bundle) -> None:
    import threading

    iterator = iter(bundle.batches(batch=1, shuffle=1))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("sheaf-batches")]:
        thread.join(10)
        assert not thread.is_alive()


# -- how it reads ------------------------------------------------------------------------------------------------------


def test_packs_are_read_whole(backend: MemoryBackend, bundle: sheaf.Bundle) -> None:
    asked: list[str] = []
    far = LatencyBackend(backend, 0.0, sleep=lambda s: None)
    plain = far.get_ranges
    far.get_ranges = lambda key, ranges: asked.append(key) or plain(key, ranges)  # type: ignore[func-returns-value,method-assign]
    with sheaf.Store(far) as store:
        batches = store.repo("faces").bundle("main").batches("train/**", shuffle=1)
        asked.clear()
        assert len(flat(batches)) == 600
    assert len([key for key in asked if key.startswith("packs/")]) == 2


def test_damage_is_never_handed_out(backend: MemoryBackend) -> None:
    from sheaf.engine.clock import SystemClock
    from sheaf.engine.core import create_store

    class Damaged(LatencyBackend):
        def get_ranges(self, key, ranges):  # type: ignore[no-untyped-def]
            data = bytearray(super().get_ranges(key, ranges)[0])
            data[len(data) // 2] ^= 1
            return [bytes(data)]

    inner = MemoryBackend()
    create_store(inner, SystemClock())
    with sheaf.Store(Damaged(inner, 0.0)) as store:
        with store.create_repo("r").edit(message="x") as edit:
            for i in range(50):
                edit.put(f"{i}", random.Random(i).randbytes(3000))
            bundle = edit.commit()
        with pytest.raises(Corrupt):
            flat(bundle.batches())


def test_bytes_that_gc_has_moved_are_found(bundle: sheaf.Bundle, backend: MemoryBackend) -> None:
    """Without the range, files are read chunk by chunk, which follows forwarding addresses."""
    contents = Contents(bundle.view.tree.nodes._core)
    contents._range = lambda each: None  # type: ignore[method-assign]
    assert dict(flat(Batches(bundle.tree, Bulk(contents)))) == all_files()
