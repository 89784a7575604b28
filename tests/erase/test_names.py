"""Names that leave with their contents: no byte of the store tells them any more, and all else is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from tests.erase.builders import (
    BIG,
    OTHER,
    SECRET,
    Now,
    core_of,
    hash_of,
    named_in,
    process,
    put,
    readable,
    traces,
)

from sheaf.engine.block_cache import BlockCache, blocks_folder
from sheaf.engine.erase.redact_names import placeholder_name
from sheaf.engine.gc.collect import collect
from sheaf.errors import Conflict, NotFound, Refused
from sheaf.format import keys
from sheaf.mount.mount_options import ReadOptions
from sheaf.mount.serve import Shared
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.storage.wrappers.wrapper import WrapperBackend
from sheaf.testing.invariants import assert_sound

NAME = "anna-lindqvist"
GONE = placeholder_name(bytes.fromhex(hash_of(SECRET)))


def forget(store: Store, content: bytes = SECRET) -> Any:
    return store.erasure.erase(content=hash_of(content), with_path=True, reason="x", now=True)


def listing(bundle: Bundle) -> dict[str, tuple[Any, ...]]:
    return {e.path: (e.kind, e.content, e.size, e.mode, e.mtime_ns) for e in bundle.ls(recursive=True)}


def without(found: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {path: entry for path, entry in found.items() if entry[1] != hash_of(SECRET)}


def assert_forgotten(backend: Backend, name: str = NAME) -> None:
    assert not named_in(backend, name)
    assert not traces(backend, SECRET)
    assert not list(backend.list(keys.CONDEMNED))


def test_a_name_leaves_with_its_bytes_and_all_else_stays(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    first = put(repo, {f"{NAME}.csv": SECRET, "a/b": OTHER, "z": b"z"})
    second = put(repo, {"a/c": b"c", f"a/deep/{NAME}": SECRET})
    before = [listing(bundle) for bundle in (first, second)]
    assert len(named_in(backend, NAME)) >= 2
    receipt = forget(store)
    assert_forgotten(backend)
    after = store.repo("r").bundles()
    assert [(bundle.id, bundle.version) for bundle in after] == [(b.id, b.version) for b in (first, second)]
    assert [without(listing(bundle)) for bundle in after] == [without(found) for found in before]
    assert listing(after[1])[f"a/deep/{GONE}"] == before[1][f"a/deep/{NAME}"]
    assert listing(after[0])[GONE] == before[0][f"{NAME}.csv"]
    assert [(bundle.redacted, bundle.files) for bundle in after] == [(True, first.files), (True, second.files)]
    assert receipt.names == 3 and {place.path for place in receipt.places} == {GONE, f"a/deep/{GONE}"}
    assert readable(after[1], [SECRET]) == {"a/b": OTHER, "a/c": b"c", "z": b"z"}
    assert_sound(store)
    with pytest.raises(NotFound):
        after[0].read(f"{NAME}.csv")


def test_a_bundle_that_had_nothing_of_it_is_not_touched(store: Store) -> None:
    repo = store.create_repo("r")
    clean = put(repo, {"a": OTHER})
    put(repo, {NAME: SECRET})
    forget(store)
    bundles = store.repo("r").bundles()
    assert [bundle.redacted for bundle in bundles] == [False, True]
    assert bundles[0].tree.root == clean.tree.root
    assert [change.path for change in bundles[0].diff(bundles[1])] == [GONE]
    report = store.check()
    assert report.ok and report.counts["redacted bundles"] == 1


def test_several_names_in_a_folder_get_notices_of_their_own(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {f"{NAME}-{n}": SECRET for n in range(4)} | {GONE: OTHER, f"{GONE}-3": b"3"})
    forget(store)
    assert_forgotten(backend)
    found = listing(store.repo("r").bundle())
    assert sorted(found) == sorted([GONE, *(f"{GONE}-{n}" for n in range(2, 7))])
    assert readable(store.repo("r").bundle(), [SECRET]) == {GONE: OTHER, f"{GONE}-3": b"3"}
    assert_sound(store)


def test_attributes_go_too(backend: MemoryBackend, store: Store) -> None:
    with store.create_repo("r").edit(message="m") as edit:
        edit.put("upload", SECRET, attrs={"meta.filename": NAME, "md5": "0" * 32}, mode=0o600, mtime_ns=7)
        edit.commit()
    forget(store)
    assert_forgotten(backend)
    entry = store.repo("r").bundle().entry(GONE)
    assert (entry.attrs, entry.mode, entry.mtime_ns, entry.size) == ({}, 0o600, 7, len(SECRET))


def test_every_repo_and_recipes(backend: MemoryBackend, store: Store) -> None:
    for name in ("a", "b/c", "gone"):
        put(store.create_repo(name), {f"{name}/{NAME}": BIG, "other": OTHER})
    store.repo("gone").delete()
    receipt = forget(store, BIG)
    assert not named_in(backend, NAME) and not traces(backend, BIG)
    assert receipt.names == 2
    assert store.undelete_repo("gone").bundle().redacted
    assert_sound(store)


def test_names_of_what_was_erased_before(backend: MemoryBackend, store: Store) -> None:
    """The receipt of the first erasure names the path: it is told again without."""
    put(store.create_repo("r"), {NAME: SECRET, "other": BIG})
    first = store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="first", now=True)
    assert f'"path":"{NAME}"'.encode() in backend.get(keys.receipt(first.id))
    forget(store)
    assert_forgotten(backend)
    told = {receipt.reason: receipt for receipt in store.erasure.receipts()}
    assert {place.path for place in told["first"].places} == {"", "other"}
    assert (told["first"].replaces, told["first"].packs) == (first.id, first.packs)
    assert len(store.erasure.receipts()) == 2
    forget(store)
    assert len(store.erasure.receipts()) == 3


def test_twice_finds_nothing_to_do(backend: MemoryBackend, store: Store) -> None:
    put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
    forget(store)
    log = [stat.key for stat in backend.list(keys.REPOS)]
    nodes = [stat.key for stat in backend.list(keys.NODES)]
    assert forget(store).names == 1
    assert [stat.key for stat in backend.list(keys.REPOS)] == log
    assert [stat.key for stat in backend.list(keys.NODES)] == nodes


def test_two_erasures_of_one_bundle(backend: MemoryBackend, store: Store) -> None:
    bundle = put(store.create_repo("r"), {NAME: SECRET, "bob-lindqvist": BIG, "other": OTHER})
    forget(store)
    once = store.repo("r").bundle()
    forget(store, BIG)
    twice = store.repo("r").bundle()
    assert len({b.tree.root for b in (bundle, once, twice)}) == 3
    assert (twice.id, twice.version) == (bundle.id, bundle.version)
    assert not named_in(backend, "lindqvist")
    assert_sound(store)


# -- big trees ---------------------------------------------------------------------------------------------------------


def test_what_bundles_share_stays_shared(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    files = {f"d{n % 3}/file {n:05}": b"%d" % n for n in range(5_000)}
    put(repo, files | {f"d1/file 0{NAME}": SECRET})
    for n in range(3):
        put(repo, {f"more {n}": b"more"})
    nodes = len(list(backend.list(keys.NODES)))
    forget(store)
    assert_forgotten(backend)
    assert len(list(backend.list(keys.NODES))) <= nodes + 2
    bundles = store.repo("r").bundles()
    assert all(bundle.redacted and bundle.entry(f"d1/{GONE}") for bundle in bundles)
    assert [bundle.files for bundle in bundles] == [5_001, 5_002, 5_003, 5_004]
    assert store.check().ok
    collect(core_of(store), Now())
    assert store.check(read_data=True).ok


# -- deleted bundles ---------------------------------------------------------------------------------------------------


def test_a_deleted_bundle_comes_back_without_the_name(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    first = put(repo, {NAME: SECRET, "other": OTHER})
    put(repo, {f"also {NAME}": SECRET})
    with repo.edit(message="without") as edit:
        edit.remove(NAME)
        edit.commit()
    repo.delete_bundle(f"bundle:{first.id}")
    forget(store)
    assert_forgotten(backend)
    back = repo.undelete_bundle(first.id)
    assert back.redacted and sorted(listing(back)) == [GONE, "other"]
    assert_sound(store)
    with process(backend, "another") as other:
        assert other.repo("r").bundle(f"bundle:{first.id}").redacted


def test_what_nobody_can_read_any_more_leaves_as_well(backend: MemoryBackend, store: Store) -> None:
    """Nodes of uploads that never came to their end, and of bundles that gc has begun to take away."""
    repo = store.create_repo("r")
    first = put(repo, {NAME: SECRET})
    put(repo, {"other": OTHER})
    with repo.edit(message="begun") as edit:
        edit.put("more", b"more")
        edit._writer.store.build(edit._changes.pieces())
    with repo.edit(message="without") as edit:
        edit.remove(NAME)
        edit.commit()
    repo.squash(retain_latest=1)
    backend.delete(keys.node(first.tree.root.id))
    assert named_in(backend, NAME)
    forget(store)
    assert_forgotten(backend)
    assert_sound(store)


# -- writing on --------------------------------------------------------------------------------------------------------


def test_work_goes_on_from_a_redacted_bundle(backend: MemoryBackend, store: Store, tmp_path: Path) -> None:
    repo = store.create_repo("r")
    first = put(repo, {NAME: SECRET, "other": OTHER})
    second = put(repo, {"more": b"more"})
    with process(backend, "elsewhere") as elsewhere:
        stale = elsewhere.repo("r")
        assert len(stale.bundles()) == 2
        forget(store)
        stale.set_label("v1", f"bundle:{first.id}")
        stale.create_branch("dev", f"bundle:{first.id}")
        put(stale, {"new": b"new"}, branch="dev")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "other").write_bytes(OTHER)
        stale.upload(tmp_path / "in", message="folder")
    assert_forgotten(backend)
    assert repo.bundle("v1").redacted and repo.bundle(f"version:{second.version}").id == second.id
    assert sorted(listing(repo.bundle("dev"))) == [GONE, "new", "other"] and not repo.bundle("dev").redacted
    repo.squash(retain_latest=1, retain_tags=True)
    collect(core_of(store), Now())
    assert repo.bundle("v1").redacted
    assert_sound(store)


def test_who_has_the_old_name_may_use_it_for_something_else(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {NAME: SECRET})
    forget(store)
    with pytest.raises(Refused, match="was erased"):
        put(repo, {NAME: SECRET})
    put(repo, {NAME: OTHER})
    assert repo.bundle().read(NAME) == OTHER and repo.bundle().entry(GONE)
    assert_sound(store)


def test_the_same_name_for_something_else_is_told_of(store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {NAME: SECRET})
    last = put(repo, {NAME: OTHER})
    put(store.create_repo("q"), {NAME: OTHER})
    (place,) = store.erasure.namesakes(content=hash_of(SECRET))
    assert (place.bundle, place.path, place.content) == (last.id, NAME, hash_of(OTHER))


def test_who_has_it_open_finds_what_is_there_now(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {NAME: SECRET, "other": OTHER})
    with process(backend, "reader") as reading:
        opened = [reading.repo("r").bundle() for _ in range(3)]
        forget(store)
        assert opened[0].read("other") == OTHER
        assert sorted(listing(opened[1])) == [GONE, "other"] and opened[1].redacted
        with pytest.raises(NotFound):
            opened[2].entry(NAME)
        assert readable(opened[0], [SECRET]) == {"other": OTHER}


def test_a_diamond_over_a_redacted_bundle(backend: MemoryBackend, store: Store, tmp_path: Path) -> None:
    repo = store.create_repo("r")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / NAME).write_bytes(SECRET)
    (tmp_path / "in" / "other").write_bytes(OTHER)
    diamond = repo.create_diamond()
    diamond.add_split(tmp_path / "in", split_id="one")
    (tmp_path / "in" / "other").write_bytes(OTHER + b"!")
    diamond.add_split(tmp_path / "in", split_id="two")
    diamond.commit(message="joined")
    forget(store)
    assert_forgotten(backend)
    assert sorted(listing(repo.bundle())) == [".conflicts", ".conflicts/one", ".conflicts/one/other", GONE, "other"]
    assert_sound(store)


def test_an_undelete_that_was_looked_through_before(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    first = put(repo, {NAME: SECRET})
    put(repo, {f"also {NAME}": SECRET})
    with repo.edit(message="without") as edit:
        edit.remove(NAME)
        edit.commit()
    repo.delete_bundle(f"bundle:{first.id}")
    with process(backend, "slow") as slow:
        from sheaf.engine.gc import restore

        whole = restore._ensure_whole

        def late(*arguments: Any) -> None:
            whole(*arguments)
            forget(store)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(restore, "_ensure_whole", late)
            with pytest.raises(Conflict):
                slow.repo("r").undelete_bundle(first.id)
        assert repo.undelete_bundle(first.id).redacted
    assert_forgotten(backend)
    assert_sound(store)


def cached_nodes(cache: Path) -> int:
    return len([path for path in cache.rglob("nodes/*/*") if path.is_file()])


# -- copies on this machine --------------------------------------------------------------------------------------------


def test_the_cache_forgets_the_nodes(backend: MemoryBackend, tmp_path: Path) -> None:
    backend.url = "s3://bucket"  # of a store on this machine nothing is copied
    with process(backend, "cached", cache=tmp_path / "cache") as store:
        repo: Repo = store.create_repo("r")
        put(repo, {NAME: SECRET, "other": OTHER})
        list(repo.bundle().ls(recursive=True))
        assert cached_nodes(tmp_path)
        forget(store)
        assert not cached_nodes(tmp_path)
        assert readable(store.repo("r").bundle(), [SECRET]) == {"other": OTHER}


# -- copies of other users ---------------------------------------------------------------------------------------------


class Away(WrapperBackend):
    """A store that is on another machine, as far as anybody can tell: copies of it are kept here."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.url = "away://store"


def test_other_users_copies_go_when_they_next_see_the_notice(backend: MemoryBackend, tmp_path: Path) -> None:
    """Whoever erases clears the own cache. Others list the notices when they write or mount."""
    away = Away(backend)
    with process(away, "first", cache=tmp_path / "first") as store:
        put(store.create_repo("r"), {NAME: SECRET, "other": OTHER})
        with process(away, "reader", cache=tmp_path / "reader") as reader:
            readable(reader.repo("r").bundle())
        with process(away, "writer", cache=tmp_path / "writer") as writer:
            readable(writer.repo("r").bundle())
            before = {user: _copies(tmp_path / user) for user in ("reader", "writer")}
            assert all(before.values())
            blocks = BlockCache(blocks_folder(tmp_path / "reader", store.id))
            blocks.put((blake3(SECRET).digest(), -1), SECRET)
            forget(store)
            put(writer.repo("r"), {"more": OTHER})
            assert not before["writer"] & _copies(tmp_path / "writer")
            kept = _copies(tmp_path / "writer")
            put(writer.repo("r"), {"again": OTHER})
            assert kept <= _copies(tmp_path / "writer")  # once is enough
        with process(away, "reader2", cache=tmp_path / "reader") as reader:
            Shared(reader._connected, ReadOptions()).pool.close()
            assert not before["reader"] & _copies(tmp_path / "reader")
            assert blocks.get((blake3(SECRET).digest(), -1)) is None


def _copies(cache: Path) -> set[str]:
    """The ids of all nodes that a cache has."""
    return {path.name for path in cache.glob("objects/*/nodes/**/*") if path.is_file()}
