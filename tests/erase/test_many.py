"""One content in very many bundles."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3
from tests.erase.builders import (
    BIG,
    OTHER,
    SECRET,
    hash_of,
    hashes_in,
    identities,
    process,
    put,
    traces,
    traces_in_folder,
)

from sheaf.engine.block_cache import BlockCache, blocks_folder
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_complete


@pytest.mark.parametrize("bundles", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_it_leaves_all_of_them(backend: MemoryBackend, tmp_path: Path, bundles: int) -> None:
    with process(backend, "many", cache=tmp_path / "cache") as store:
        repos = [store.create_repo(name) for name in ("a", "b/c", "d")]
        for repo in repos:
            put(repo, {"keep/other": OTHER, "keep/more": OTHER[::-1]})
            put(repo, {"name 0": SECRET, "big 0": BIG[:40_000]})
        for n in range(bundles // len(repos)):
            for repo in repos:
                with repo.edit(message=str(n)) as edit:
                    edit.remove(f"name {n}")
                    edit.put(f"name {n + 1}", SECRET)
                    edit.put("count", str(n).encode())
                    edit.commit()
        made = [bundle for repo in repos for bundle in repo.bundles()]
        assert len(made) >= bundles
        blocks = BlockCache(blocks_folder(tmp_path / "cache", store.id))  # what mounts have left on this machine
        for content in (SECRET, OTHER):
            for number in (-1, 0, 7):
                blocks.put((blake3(content).digest(), number), content)
        before = identities(store)
        receipt = store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG[:40_000])], reason="x", now=True)
        assert len({place.bundle for place in receipt.places}) == len(made) - len(repos)
        assert len({place.path for place in receipt.places}) > bundles / len(repos)
        assert not traces(backend, SECRET) + traces(backend, BIG[:40_000])
        assert not {bytes.fromhex(hash) for hash in receipt.contents} & hashes_in(backend)
        assert not traces_in_folder(tmp_path, SECRET)
        assert len(traces_in_folder(tmp_path / "cache", OTHER)) == 3
        assert identities(store) == before
        for bundle in made[::50]:
            assert_complete(bundle)
        assert sum(len(bundle.verify().erased) for bundle in made) == len(receipt.places)
        assert store.check(read_data=True).ok
