"""Copies of encrypted stores: what they hold, and which keys open them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.encryption.builders import KEY, encrypted_worlds
from tests.replicas.builders import World, build

from sheaf.errors import Denied, Refused
from sheaf.format import keys
from sheaf.repo.access.unlock import Opener
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend

OTHER = bytes(range(1, 33))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with encrypted_worlds():
        yield build(tmp_path, "mem:b", policy="primary")


def slots(world: World, url: str) -> set[str]:
    return {stat.key for stat in world.places[url].inner.list(keys.SLOTS)}


def opens(world: World, url: str, key: bytes) -> bool:
    try:
        Store(world.open(url), open_location=world.open, unlock=Opener(key=key)).close()
    except Denied:
        return False
    return True


def test_a_key_that_is_rotated_away_opens_no_copy(world: World) -> None:
    with world.process() as store:
        store.keys.rotate(OTHER)
    for url in ("mem:a", "mem:b"):
        assert opens(world, url, OTHER)
        assert not opens(world, url, KEY)


def test_a_copy_that_was_away_forgets_the_old_key_when_it_catches_up(world: World) -> None:
    world.places["mem:b"].is_cut = True
    with world.process() as store:
        store.keys.rotate(OTHER)
    world.places["mem:b"].is_cut = False
    assert opens(world, "mem:b", KEY)
    # With the fixture monkeypatch, the key that this world has set could come back after the world has removed it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHEAF_KEY", OTHER.hex())
        with world.process() as store:
            store.replicas.replicate()
    assert slots(world, "mem:a") == slots(world, "mem:b")
    assert opens(world, "mem:b", OTHER)
    assert not opens(world, "mem:b", KEY)


def test_keys_of_a_copy_are_changed_at_the_primary(world: World) -> None:
    with world.process("mem:b") as store:
        (key,) = store.keys.list()
        for change in (
            lambda: store.keys.add(OTHER),
            lambda: store.keys.rotate(OTHER),
            lambda: store.keys.remove(key.id),
        ):
            with pytest.raises(Refused, match="is a replica"):
                change()
    assert len(slots(world, "mem:b")) == 1


def test_objects_are_copied_as_they_are(world: World) -> None:
    with world.process() as store:
        world.upload(store)
        store.gc(grace=0)
    one, two = (world.places[url].inner for url in ("mem:a", "mem:b"))
    assert isinstance(one, MemoryBackend)
    for found in one.list():
        if found.key.startswith(("packs/", "nodes/", "index/", "keys/")):
            assert one.get(found.key) == two.get(found.key)


def test_what_is_cached_is_for_its_owner_alone(world: World, tmp_path: Path) -> None:
    """It is not encrypted, so that it helps."""
    cache = tmp_path / "cache"
    for name in ("mem:a", "mem:b"):
        world.places[name].url = f"s3://{name[4:]}"  # what is on this machine anyway is not cached
    with world.process(cache=cache) as store:
        assert store.repo("faces").bundle().read("a") == b"a"
    files = [path for path in cache.rglob("*") if path.is_file() and "objects" in path.parts]
    assert any(path.read_bytes().startswith(b"SHFN") for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
