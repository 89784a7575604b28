"""The chunks that bundles need, found by columns, are those that an account row by row finds."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3
from tests.erase.builders import Now, core_of, new_backend, process, put

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.core import Core
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.mark import BundleRoots, Chunks, Reach, live_bundles, needed_chunks
from sheaf.engine.manifest import tree
from sheaf.engine.manifest.node_store import Nodes, pointer_of
from sheaf.model.entries import ChunkPlace, RecipePlace
from sheaf.repo.store import Store

_RANDOM = random.Random(15)
_BIG = _RANDOM.randbytes(900_000)
FILES = {
    "a": b"a small file",
    "again/a": b"a small file",
    "big": _BIG,
    "near": _BIG[:500_000] + b"!" + _BIG[500_001:],
    "half": _BIG[:450_000],
    "empty": b"",
    **{f"many/{n:03}": _RANDOM.randbytes(300) for n in range(200)},
}


def filled(store: Store) -> None:
    """Two repos with bundles that share packs, chunks and recipes."""
    for name in ("r", "s"):
        put(store.create_repo(name), FILES)
        put(store.repo(name), {"own": name.encode() * 500, "big": _BIG + name.encode()})


def by_rows(core: Core, packs: frozenset[bytes], erase: frozenset[bytes]) -> tuple[Chunks, Chunks]:
    """The answer of :func:`needed_chunks` in a store where no pack has moved."""
    needed: Chunks = {pack: {} for pack in packs}
    erased: Chunks = {pack: {} for pack in packs}
    contents = Contents(core)
    for bundle in live_bundles(core)[0]:
        for entry in tree.Tree(Nodes(core), pointer_of(bundle.root)).entries():
            into, place = erased if entry.content in erase else needed, entry.place
            if isinstance(place, ChunkPlace | RecipePlace) and place.pack in packs:
                into[place.pack][place.offset] = place.stored
            for _, _, pack, offset, stored in contents.recipe_rows(place) if isinstance(place, RecipePlace) else ():
                if pack in packs:
                    into[pack][offset] = stored
    only = {pack: {at: n for at, n in found.items() if at not in needed[pack]} for pack, found in erased.items()}
    return needed, only


@pytest.mark.parametrize("erase", [(), ("a", "many/007"), ("big", "near", "empty")])
@pytest.mark.parametrize("some", [1, 2, 3])
def test_columns_say_what_rows_say(erase: tuple[str, ...], some: int) -> None:
    with process(new_backend(), "columns") as store:
        filled(store)
        core = core_of(store)
        reach = Reach(Nodes(core))
        reach.add(BundleRoots(live_bundles(core)[0], []))
        packs = frozenset(sorted(reach.packs)[::some])
        contents = frozenset(blake3(FILES[name]).digest() for name in erase)
        found = needed_chunks(core, Nodes(core), Contents(core), live_bundles(core)[0], packs, contents)
        assert found == by_rows(core, packs, contents)
        assert any(found[0].values())


def test_gc_makes_no_entry_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store has millions of rows: one object for each took a hundred times as long as reading the node."""
    with process(new_backend(), "cost") as store:
        repo = store.create_repo("r")
        put(repo, FILES)
        with repo.edit(message="most of a pack is dead", branch="main") as edit:
            for name in [name for name in FILES if name != "half"]:
                edit.remove(name)
            edit.commit()
        repo.squash(retain_tags=False)
        made: list[object] = []
        monkeypatch.setattr(tree, "_entry", made.append)
        assert collect(core_of(store), Now()).moved
        assert not made
