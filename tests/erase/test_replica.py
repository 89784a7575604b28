"""Bytes that are erased leave the copies of a store, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.erase.builders import OTHER, SECRET, hash_of, readable, traces

import sheaf
from sheaf.errors import Unavailable
from sheaf.storage.open import open_backend


@pytest.fixture
def store(tmp_path: Path) -> sheaf.Store:
    store = sheaf.init(str(tmp_path / "store"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "secret").write_bytes(SECRET)
    (tmp_path / "in" / "other").write_bytes(OTHER)
    store.replicas.add(str(tmp_path / "copy"), policy="all")
    store.create_repo("faces").upload(tmp_path / "in", message="m", label="init")
    return store


def test_a_replica_holds_nothing_of_it_either(store: sheaf.Store, tmp_path: Path) -> None:
    copy = open_backend(str(tmp_path / "copy"))
    assert traces(copy, SECRET)
    store.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
    assert not traces(open_backend(str(tmp_path / "store")), SECRET)
    assert not traces(copy, SECRET)
    read = sheaf.connect(str(tmp_path / "copy"))
    assert read.check(read_data=True).ok
    assert readable(read.repo("faces").bundle("init"), [SECRET]) == {"other": OTHER}


def test_a_replica_that_is_away_is_named_and_made_up_for(store: sheaf.Store, tmp_path: Path) -> None:
    (tmp_path / "copy").rename(tmp_path / "away")
    (tmp_path / "copy").write_text("in the way: nothing can be opened here")
    again = sheaf.connect(str(tmp_path / "store"))
    again.replicas.set_policy("primary")
    with pytest.raises(Unavailable, match="not in every replica"):
        again.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
    assert not traces(open_backend(str(tmp_path / "store")), SECRET)
    (tmp_path / "copy").unlink()
    (tmp_path / "away").rename(tmp_path / "copy")
    sheaf.connect(str(tmp_path / "store")).replicas.replicate(prune=True)
    assert not traces(open_backend(str(tmp_path / "copy")), SECRET)
    assert sheaf.connect(str(tmp_path / "copy")).check(read_data=True).ok


def test_gc_collects_in_replicas_too(store: sheaf.Store, tmp_path: Path) -> None:
    repo = store.repo("faces")
    repo.delete()
    assert store.gc(grace=0).packs == 1
    for name in ("store", "copy"):
        assert not list(open_backend(str(tmp_path / name)).list("packs/"))
