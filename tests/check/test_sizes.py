"""A manifest that gives a file another size than its bytes have: a check finds it, and so does whoever reads."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.engine.builders import Place, commit, noise
from tests.engine.chunks.test_chunk_reader import move
from tests.hostile.builders import SESSION, Hostile

from sheaf.engine.check.affected_files import name_files
from sheaf.engine.check.check import check_store
from sheaf.engine.check.report import CheckReport
from sheaf.errors import Corrupt, Partial
from sheaf.format import keys
from sheaf.repo.repair import RepairPlan, Repairs
from sheaf.storage.memory import MemoryBackend

FILES = {"empty": b"", "small": b"small", "big": noise(700_000), "sound": b"sound", "huge": noise(900_000, 1)}


@pytest.fixture
def store() -> Hostile:
    made = Hostile()
    commit(made.repo(), FILES)
    return made


def misstated(store: Hostile, path: str, by: int) -> str:
    """A bundle like the newest one, but for the size of a file."""
    batch = next(store.repo().bundle().tree.batches())
    sizes = [
        size + by * (name == path)
        for name, size in zip(batch["name"].to_pylist(), batch["size"].to_pylist(), strict=True)
    ]
    column = batch.schema.get_field_index("size")
    return store.bundle(store.leaf(batch.set_column(column, "size", pa.array(sizes, pa.int64()))), files=len(FILES) + 1)


def looked(store: Hostile) -> CheckReport:
    report = check_store(store.core)
    name_files(store.core, report)
    return report


@pytest.mark.parametrize("by", [-1, 1, 4096, 10**12])
@pytest.mark.parametrize("path", ["small", "big"])
def test_it_is_found_without_reading_the_data(store: Hostile, path: str, by: int, tmp_path: Path) -> None:
    id = misstated(store, path, by)
    problems = looked(store).problems
    assert [(problem.needed_by, problem.files) for problem in problems] == [((f"faces@{id}:{path}",), 1)]
    bundle = store.repo().bundle(id)
    with pytest.raises((Corrupt, Partial)):
        bundle.verify()
    with pytest.raises((Corrupt, Partial)):
        bundle.download(tmp_path / "out")
    bundle.download(tmp_path / "rest", skip_on_error=True)
    assert {file.name for file in (tmp_path / "rest").iterdir()} >= FILES.keys() - {path}
    assert not (tmp_path / "rest" / path).exists()


@pytest.mark.parametrize("path", ["small", "big"])
def test_such_a_bundle_can_be_quarantined(store: Hostile, path: str) -> None:
    id = misstated(store, path, 1)
    with Repairs(store.backend, lambda url: MemoryBackend()) as repairs:
        done = repairs.repair(RepairPlan(quarantine=True))
    assert [(item.bundle, bool(item.reason)) for item in done.quarantined] == [(id, True)]
    assert done.left.ok


def test_a_chunk_that_was_moved_has_its_size_compared(store: Hostile) -> None:
    misstated(store, "small", 3)
    listed = [stat.key for stat in store.backend.list(keys.PACKS)]
    (pack,) = keys.ids_of(key for key in listed if b"small" in store.backend.get(key))
    move(store.backend, pack, SESSION)
    assert [problem.kind for problem in looked(store).problems if not problem.repairable] == ["size"]


def test_sound_bundles_have_no_such_problem(store: Hostile) -> None:
    place = Place(store.backend, Path())
    commit(place.repo(), {"more": noise(300_000, 2)})
    assert looked(store).ok
