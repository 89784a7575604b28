"""Sizes are what counting everything by hand gives."""

from __future__ import annotations

import random

from tests.engine.builders import Place, commit

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.core_limits import Limits
from sheaf.engine.manifest.tree import entries
from sheaf.format import keys
from sheaf.model.entries import ChunkPlace, ManifestEntry, RecipePlace
from sheaf.repo.repo import Repo

NOISE = random.Random(3).randbytes(700_000)
FIRST = {"a": b"text " * 3000, "b/c": NOISE, "empty": b""}
SECOND = {"a": b"text " * 3000, "b/d": NOISE[:400_000] + b"!" + NOISE[400_000:], "again": NOISE}


def by_hand(repo: Repo) -> tuple[int, int]:
    """(unique, stored) from every chunk of every file of every bundle."""
    chunks: dict[tuple[bytes, int], tuple[int, int]] = {}
    for bundle in repo.bundles():
        for entry in (entry for batch in bundle.tree.batches() for entry in entries(batch)):
            if entry.place is None:
                continue
            for _, length, pack, offset, stored in rows(repo, entry):
                chunks[pack, offset] = length, stored
    return sum(raw for raw, _ in chunks.values()), sum(stored for _, stored in chunks.values())


def rows(repo: Repo, entry: ManifestEntry) -> list[tuple[bytes, int, bytes, int, int]]:
    if isinstance(entry.place, RecipePlace):
        return [*Contents(repo._context.core).recipe_rows(entry.place, parts=False)]
    assert isinstance(entry.place, ChunkPlace)
    return [(entry.content, entry.size, entry.place.pack, entry.place.offset, entry.place.stored)]


def test_a_repo_has_the_sizes_of_its_parts(place: Place) -> None:
    repo = place.repo()
    commit(repo, FIRST)
    commit(repo, SECOND)
    found = repo.sizes()
    assert found.bundles == 2
    assert found.logical == sum(bundle.size for bundle in repo.bundles())
    assert (found.unique, found.stored) == by_hand(repo)
    assert found.unique < found.logical
    assert found.dedup_ratio > 1.5
    assert found.compression_ratio > 1


def test_few_rows_at_a_time_give_the_same(place: Place) -> None:
    repo = place.repo()
    commit(repo, FIRST)
    commit(repo, SECOND)
    assert place.repo(limits=Limits(sizes_chunks=2)).sizes() == repo.sizes()


def test_a_store_has_the_sizes_of_its_packs(place: Place) -> None:
    assert place.store().sizes().dedup_ratio == 1.0
    repo = place.repo()
    commit(repo, FIRST)
    gone = commit(repo, SECOND)
    commit(repo, {"a": b"another"})
    store = place.store()
    before = store.sizes()
    tables = [load_table(repo._context.core, pack) for pack in keys.ids_of(s.key for s in place.backend.list("packs/"))]
    assert before.unique == sum(int(table.raw.sum()) for table in tables)
    assert before.stored == sum(int(table.stored.sum()) for table in tables)
    assert before.logical == sum(bundle.size for bundle in repo.bundles())
    size = repo.bundle(f"bundle:{gone}").size
    repo.delete_bundle(f"bundle:{gone}")
    store.gc(grace=0)
    after = store.sizes()
    assert after.logical == before.logical - size
    assert after.unique <= before.unique


def test_an_empty_repo_has_none(place: Place) -> None:
    found = place.repo().sizes()
    assert (found.logical, found.unique, found.stored, found.dedup_ratio, found.compression_ratio) == (0, 0, 0, 1, 1)
