"""Erasing where packs were replaced before, and gc where something was erased."""

from __future__ import annotations

import random

import pytest
from tests.erase.builders import BIG, NEAR, OTHER, SECRET, Now, core_of, hash_of, packs_of, put, readable, traces

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.mark import live_bundles, needed_chunks
from sheaf.engine.manifest.node_store import Nodes
from sheaf.format import keys
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_sound


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def drop(repo: Repo, *paths: str) -> Bundle:
    """A bundle without these; the ones that had them are deleted."""
    with repo.edit(message="without") as edit:
        for path in paths:
            edit.remove(path)
        kept = edit.commit()
    for bundle in repo.bundles():
        if bundle.id != kept.id:
            repo.delete_bundle(bundle.id)
    return kept


def half_dead(store: Store, repo: Repo, files: dict[str, bytes]) -> Bundle:
    """A bundle with these files, whose pack gc has replaced since half of it was dead."""
    ballast = {f"ballast {n}": noise(50_000, n) for n in range(40)}
    put(repo, {**files, **ballast})
    kept = drop(repo, *ballast)
    assert collect(core_of(store), Now()).moved == 1
    return kept


def test_what_was_moved_leaves_too(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    files = {"secret": SECRET, "big": BIG, "near": NEAR, "other": OTHER}
    bundle = half_dead(store, repo, files)
    assert readable(bundle) == files
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    assert not traces(backend, SECRET)
    assert readable(bundle, [SECRET, BIG]) == {"near": NEAR, "other": OTHER}
    assert_sound(store)


def test_gc_after_an_erasure_keeps_what_it_must(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    ballast = {f"ballast {n}": noise(50_000, n) for n in range(40)}
    files = {"secret": SECRET, "big": BIG, "near": NEAR, "other": OTHER}
    put(repo, {**files, **ballast})
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    bundle = drop(repo, *ballast)
    assert collect(core_of(store), Now()).moved
    assert readable(bundle, [SECRET, BIG]) == {"near": NEAR, "other": OTHER}
    store.erasure.erase(content=hash_of(NEAR), reason="x", now=True)
    collect(core_of(store), Now())
    assert readable(bundle, [SECRET, BIG, NEAR]) == {"other": OTHER}
    assert not traces(backend, SECRET) + traces(backend, BIG) + traces(backend, NEAR)
    assert_sound(store)


def test_the_same_can_be_erased_twice(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"secret": SECRET, "big": BIG, "other": OTHER})
    contents = [hash_of(SECRET), hash_of(BIG)]
    first = store.erasure.erase(content=contents, reason="once", now=True)
    before = packs_of(backend)
    second = store.erasure.erase(content=contents, reason="twice", now=True)
    assert (second.places, second.packs, second.deleted) == (first.places, 0, ())
    assert packs_of(backend) == before
    assert [notice.reason for notice in store.erasure.erased()] == ["once", "once"]
    assert len(store.erasure.receipts()) == 2
    assert readable(bundle, [SECRET, BIG]) == {"other": OTHER}
    assert_sound(store)


def test_neighbours_leave_one_by_one_and_the_rest_stays_within_reach(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    neighbours = {f"n{n:02}": noise(3_000, 500 + n) for n in range(12)}
    bundle = put(repo, {**neighbours, "big": BIG, "other": OTHER})
    gone = []
    for content in neighbours.values():
        store.erasure.erase(content=hash_of(content), reason="x", now=True)
        gone.append(content)
    assert readable(bundle, gone) == {"big": BIG, "other": OTHER}
    assert not [where for content in gone for where in traces(backend, content)]
    assert len(packs_of(backend)) == 1
    assert_sound(store)


def test_a_pack_that_only_older_bundles_lead_to_is_needed(store: Store) -> None:
    """Rows name the first pack; what they need of it was moved to a second one, and half of that is dead again."""
    repo = store.create_repo("r")
    ballast = {f"ballast {n}": noise(50_000, n) for n in range(60)}
    half = dict(list(ballast.items())[:15])
    put(repo, {"big": BIG, "other": OTHER, **ballast})
    drop(repo, *[path for path in ballast if path not in half])
    assert collect(core_of(store), Now()).moved == 1
    (second,) = packs_of(core_of(store).backend)
    bundle = drop(repo, *half)
    bundles = live_bundles(core_of(store))[0]
    pack = frozenset([bytes.fromhex(second.rpartition("/")[2])])
    needed, _ = needed_chunks(core_of(store), Nodes(core_of(store)), Contents(core_of(store)), bundles, pack)
    assert sum(needed[next(iter(pack))].values()) > len(BIG)
    collect(core_of(store), Now(), below=0.9)
    assert packs_of(core_of(store).backend) != {second}
    assert readable(bundle) == {"big": BIG, "other": OTHER}
    for _ in range(3):
        collect(core_of(store), Now(), below=1.1)
        assert readable(bundle) == {"big": BIG, "other": OTHER}
    assert_sound(store)


@pytest.mark.parametrize("seed", range(12))
def test_in_whatever_order(backend: MemoryBackend, store: Store, seed: int) -> None:
    """Uploads, deletions, gc and erasures at random: what is not erased is there, what is erased is not."""
    rnd = random.Random(seed)
    repos = [store.create_repo(name) for name in ("a", "b")]
    pool = [noise(rnd.choice([500, 20_000, 300_000]), 100 * seed + n) for n in range(10)]
    pool += [content[: len(content) // 2] + b"!" + content[len(content) // 2 :] for content in pool[:5]]
    gone: list[bytes] = []
    put(repos[0], {"first": pool[0]})
    for _ in range(25):
        repo = rnd.choice(repos)
        match rnd.choice(["put", "put", "put", "delete", "gc", "erase"]):
            case "put":
                chosen = [content for content in rnd.sample(pool, 3) if content not in gone]
                put(repo, {f"f{rnd.randrange(5)}": content for content in chosen} or {"x": b"x"})
            case "delete" if len(repo.bundles()) > 1:
                repo.delete_bundle(rnd.choice(repo.bundles()[:-1]).id)
            case "gc":
                collect(core_of(store), Now(), below=rnd.choice([0.3, 0.7]))
            case "erase":
                content = rnd.choice(pool)
                if store.erasure.locate(content=hash_of(content)):
                    store.erasure.erase(content=hash_of(content), reason="x", now=True)
                    gone.append(content)
    for repo in repos:
        for bundle in repo.bundles():
            readable(bundle, gone)
    alone = [content for content in gone if content not in pool[:5] and content not in pool[10:]]
    assert not [where for content in alone for where in traces(backend, content)]
    assert_sound(store)
    assert not list(backend.list(keys.CONDEMNED))
    assert not list(backend.list(keys.SESSIONS))
