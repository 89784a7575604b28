"""Damaged stores, and what can be read of them, found out file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.repair.builders import World, flip

from sheaf.errors import NotFound, SheafError
from sheaf.format import keys
from sheaf.repo.bundle import Bundle
from sheaf.repo.store import Store
from sheaf.storage.port import Backend

HARM: dict[str, Callable[[Backend, str], object]] = {
    "lost": lambda place, key: place.delete(key),
    "first chunk": lambda place, key: flip(place, key, 73),
    "middle": flip,
    "head": lambda place, key: flip(place, key, 40),
    "table": lambda place, key: flip(place, key, -30),
    "cut": lambda place, key: _put(place, key, place.get(key)[: len(place.get(key)) // 2]),
}


def packs(world: World) -> list[str]:
    """The keys of all packs."""
    return [stat.key for stat in world.primary.list(keys.PACKS, sort=True)]


def bundles(store: Store) -> Iterator[Bundle]:
    """All bundles of all repos."""
    return (bundle for info in store.repos() for bundle in store.repo(info.name).bundles())


def readable(bundle: Bundle) -> tuple[dict[str, bytes], set[str]]:
    """The files of a bundle, each read by itself; and the paths of those that are lost or damaged."""
    sound: dict[str, bytes] = {}
    bad: set[str] = set()
    for entry in bundle.ls(recursive=True):
        if entry.kind == "file":
            try:
                sound[entry.path] = bundle.read(entry.path)
            except NotFound:
                continue  # erased
            except SheafError:
                bad.add(entry.path)
    return sound, bad


def _put(place: Backend, key: str, data: bytes) -> None:
    place.delete(key)
    place.create(key, data)
