"""Erasing: what goes, what stays, what readers and writers are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3
from tests.erase.builders import (
    BIG,
    NEAR,
    OTHER,
    SECRET,
    core_of,
    hash_of,
    hashes_in,
    identities,
    packs_of,
    process,
    put,
    readable,
    stored_bytes,
    traces,
    traces_in_folder,
)

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.errors import InvalidInput, NotFound, Refused
from sheaf.format import keys
from sheaf.model.entries import Kind, ObjectPlace
from sheaf.model.entries import ManifestEntry as Row
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.testing.invariants import assert_sound


def test_a_small_file_leaves_under_all_its_names(backend: MemoryBackend, store: Store) -> None:
    one, two = store.create_repo("one"), store.create_repo("two")
    first = put(one, {"secret": SECRET, "sub/copy": SECRET, "other": OTHER})
    put(two, {"elsewhere/renamed": SECRET, "same name": OTHER, "secret": b"another thing by this name"})
    with one.edit(message="gone from the head") as edit:
        edit.remove("secret")
        last = edit.commit()
    before = identities(store)
    assert traces(backend, SECRET)
    receipt = store.erasure.erase(content=hash_of(SECRET), reason="asked for", now=True)
    assert not traces(backend, SECRET)
    assert blake3(SECRET).digest() not in hashes_in(backend)
    assert identities(store) == before
    assert readable(first, [SECRET]) == {"other": OTHER}
    assert readable(last, [SECRET]) == {"other": OTHER}
    assert readable(two.bundle(), [SECRET]) == {"same name": OTHER, "secret": b"another thing by this name"}
    assert {(place.repo, place.path) for place in receipt.places} == {
        ("one", "secret"),
        ("one", "sub/copy"),
        ("two", "elsewhere/renamed"),
    }
    assert_sound(store)
    assert receipt.contents == (hash_of(SECRET),)
    assert receipt.packs == len(receipt.deleted) > 0
    assert all(backend.stat(key) is None for key in receipt.deleted)
    assert receipt.scanned == len(packs_of(backend))
    assert store.erasure.receipts() == [receipt]
    assert [(notice.content, notice.reason, notice.size) for notice in store.erasure.erased()] == [
        (hash_of(SECRET), "asked for", len(SECRET))
    ]


def test_a_big_file_leaves_and_what_is_nearly_the_same_stays(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    put(repo, {"big": BIG})
    put(repo, {"near": NEAR})
    bundle = put(repo, {"text": b"words " * 5000})
    assert [where for where, data in stored_bytes(backend) if BIG[599_990:600_010] in data]
    receipt = store.erasure.erase(address="r@main:big", reason="x", now=True)
    assert receipt.kept > 0
    assert readable(bundle, [BIG]) == {"near": NEAR, "text": b"words " * 5000}
    assert_sound(store)
    assert not [where for where, data in stored_bytes(backend) if BIG[599_990:600_010] in data]
    store.erasure.erase(address="r@main:near", reason="x", now=True)
    assert not traces(backend, BIG)
    assert not traces(backend, NEAR)
    assert readable(bundle, [BIG, NEAR]) == {"text": b"words " * 5000}
    assert_sound(store)


def test_recipes_of_what_is_gone_are_gone(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"big": BIG, "other": OTHER})
    (row,) = [entry for entry in bundle.tree.entries() if entry.name == "big"]
    chunks = {hash for hash, *_ in Contents(core_of(store)).recipe_rows(row.place)}  # type: ignore[arg-type]
    assert chunks <= hashes_in(backend)
    store.erasure.erase(content=hash_of(BIG), reason="x", now=True)
    assert chunks.isdisjoint(hashes_in(backend))


def test_several_contents_leave_at_once(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"a/secret": SECRET, "a/big": BIG, "a/empty": b"", "b": OTHER})
    receipt = store.erasure.erase(address="r@main:a", recursive=True, reason="x", now=True)
    assert set(receipt.contents) == {hash_of(SECRET), hash_of(BIG)}
    assert readable(bundle, [SECRET, BIG]) == {"a/empty": b"", "b": OTHER}
    assert not traces(backend, SECRET) + traces(backend, BIG)


def test_a_file_kept_whole_leaves(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    content = blake3(SECRET).digest()
    session = "1" * 27
    backend.create(keys.stored_object(session, content), SECRET)
    with repo.edit(message="m") as edit:
        edit.put("other", OTHER)
        row = Row("", "whole", Kind.FILE, size=len(SECRET), content=content, place=ObjectPlace(session))
        edit._changes.put(row)
        bundle = edit.commit()
    assert bundle.read("whole") == SECRET
    assert_sound(store)
    receipt = store.erasure.erase(address="r@main:whole", reason="x", now=True)
    assert receipt.deleted == (keys.stored_object(session, content),)
    assert not traces(backend, SECRET)
    assert readable(bundle, [SECRET]) == {"other": OTHER}
    assert_sound(store)


def test_what_only_a_deleted_bundle_has_leaves(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    gone = put(repo, {"big": BIG, "other": OTHER})
    with repo.edit(message="without") as edit:
        edit.remove("big")
        edit.commit()
    repo.delete_bundle(gone.id)
    store.create_repo("dead")
    put(store.repo("dead"), {"secret": SECRET})
    store.delete_repo("dead")
    assert store.erasure.erase(content=[hash_of(BIG), hash_of(SECRET)], reason="x", now=True).places == ()
    assert not traces(backend, BIG) + traces(backend, SECRET)
    assert readable(repo.bundle()) == {"other": OTHER}
    assert_sound(store)


def test_what_a_dead_upload_left_leaves(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"big": BIG, "other": OTHER})
    for stat in list(backend.list(keys.INDEX)):
        backend.delete(stat.key)  # so that it is stored again
    before = packs_of(backend)
    with process(backend, "dead") as dead, dead.repo("r").edit(message="never") as edit:
        edit.put("again", BIG)
        edit._writer.store.sink.flush()
    assert packs_of(backend) > before
    store.erasure.erase(content=hash_of(BIG), reason="x", now=True)
    assert not traces(backend, BIG)
    assert readable(bundle, [BIG]) == {"other": OTHER}


def test_the_notice_is_what_readers_get(store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"a/secret": SECRET, "a/big": BIG})
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="request 17", now=True)
    for path in ("a/secret", "a/big"):
        with pytest.raises(NotFound, match=rf"'{path}' was erased from the store on 2026-\d\d-\d\d: request 17"):
            bundle.read(path)
        with pytest.raises(NotFound, match="request 17"), bundle.open(path) as stream:
            stream.read(1)


def test_a_verification_counts_it(store: Store) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"secret": SECRET, "big": BIG, "other": OTHER, "empty": b""})
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    done = bundle.verify()
    assert (done.files, done.bytes, sorted(done.erased)) == (2, len(OTHER), ["big", "secret"])
    report = store.check(read_data=True)
    assert report.ok
    assert report.counts["erased files"] + report.counts["erased chunks"] >= 2


def test_a_download_brings_everything_else(store: Store, tmp_path: Path) -> None:
    repo = store.create_repo("r")
    bundle = put(repo, {"a/secret": SECRET, "a/big": BIG, "a/other": OTHER, "only/secret": SECRET})
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    done = bundle.download(tmp_path / "out")
    assert done.erased == ("a/big", "a/secret", "only/secret")
    assert (done.files, done.bytes) == (1, len(OTHER))
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")) == [
        "a",
        "a/other",
        "only",
    ]


def test_an_update_brings_everything_else(store: Store, tmp_path: Path) -> None:
    repo = store.create_repo("r")
    first = put(repo, {"secret": b"old", "other": b"old", "same": SECRET})
    first.download(tmp_path / "out")
    second = put(repo, {"secret": BIG, "other": OTHER, "more": SECRET})
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    done = second.update(tmp_path / "out", force=True)
    assert (done.modified, done.erased) == (["other"], ["more", "secret"])
    assert (tmp_path / "out" / "other").read_bytes() == OTHER
    assert (tmp_path / "out" / "secret").read_bytes() == b"old"
    assert not (tmp_path / "out" / "more").exists()


# -- what is named -----------------------------------------------------------------------------------------------------


def test_what_nobody_has_is_not_erased(store: Store) -> None:
    put(store.create_repo("r"), {"a": OTHER})
    with pytest.raises(NotFound, match="no file has the content"):
        store.erasure.erase(content=hash_of(b"typo"), reason="x", now=True)
    assert not store.erasure.erased()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"address": "r@main:folder"}, "is a folder"),
        ({"address": "r@main:empty"}, "is empty"),
        ({"address": "r@main:link"}, "is a symlink"),
        ({"content": "abc"}, "not a BLAKE3 hash"),
        ({}, "nothing to erase"),
        ({"address": "r@main:folder/none", "recursive": True}, "nothing to erase"),
    ],
)
def test_what_has_no_bytes_of_its_own_is_refused(store: Store, named: dict[str, str], words: str) -> None:
    repo = store.create_repo("r")
    with repo.edit(message="m") as edit:
        edit.put("folder/a", OTHER)
        edit.put("empty", b"")
        edit.symlink("link", "folder/a")
        edit.mkdir("folder/none")
        edit.commit()
    with pytest.raises(InvalidInput, match=words):
        store.erasure.erase(**named, reason="x", now=True)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="reason"):
        store.erasure.erase(content=hash_of(OTHER), reason=" ", now=True)
    assert not store.erasure.erased()


def test_a_symlink_that_leads_to_the_same_words_stays(store: Store) -> None:
    repo = store.create_repo("r")
    with repo.edit(message="m") as edit:
        edit.put("file", b"target")
        edit.symlink("link", "target")
        edit.commit()
    receipt = store.erasure.erase(content=hash_of(b"target"), reason="x", now=True)
    assert [place.path for place in receipt.places] == ["file"]
    assert repo.bundle().entry("link").target == "target"


# -- near duplicates ---------------------------------------------------------------------------------------------------


def test_contents_that_share_chunks_are_listed(store: Store) -> None:
    repo, other = store.create_repo("r"), store.create_repo("q")
    put(repo, {"big": BIG, "near": NEAR, "far": bytes(reversed(BIG)), "small": SECRET})
    put(other, {"deep/near": NEAR, "end": BIG[880_000:]})
    (near, *rest) = store.erasure.similar(content=hash_of(BIG))
    assert near.content == hash_of(NEAR) and near.size == len(NEAR)
    assert 0.7 * len(NEAR) < near.shared < len(NEAR)
    assert [(place.repo, place.path) for place in near.places] == [("r", "near"), ("q", "deep/near")]
    assert all(like.content == hash_of(BIG[880_000:]) for like in rest)
    assert store.erasure.similar(address="r@main:small") == []
    assert store.erasure.locate(content=hash_of(NEAR)) == near.places
    store.erasure.erase(content=hash_of(BIG), reason="x", now=True)
    assert store.erasure.similar(content=hash_of(NEAR)) == []


def test_a_content_that_is_a_chunk_of_another_stays_in_it(backend: MemoryBackend, store: Store) -> None:
    repo = store.create_repo("r")
    whole = put(repo, {"big": BIG})
    (row,) = [entry for entry in whole.tree.entries() if entry.name == "big"]
    rows = list(Contents(core_of(store)).recipe_rows(row.place, parts=False))  # type: ignore[arg-type]
    first = BIG[: rows[0][1]]
    bundle = put(repo, {"part": first})
    receipt = store.erasure.erase(content=hash_of(first), reason="x", now=True)
    assert receipt.kept == 1
    assert bundle.read("big") == BIG
    assert_sound(store)
    assert backend.stat(keys.erased(blake3(first).digest()))


# -- coming back -------------------------------------------------------------------------------------------------------


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_the_same_bytes_are_refused_and_nothing_of_them_is_stored(
    backend: MemoryBackend, store: Store, tmp_path: Path
) -> None:
    repo = store.create_repo("r")
    folder = write(tmp_path / "in", {"secret": SECRET, "big": BIG, "other": OTHER})
    repo.upload(folder, message="m")
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    with pytest.raises(Refused, match=r"'(secret|big)' was erased from this store"):
        repo.upload(folder, message="again")
    with repo.edit(message="m") as edit:
        with pytest.raises(Refused, match="was erased"):
            edit.put("secret", SECRET)
        with pytest.raises(Refused, match="was erased"):
            edit.put("big", BIG)
        with pytest.raises(Refused, match="was erased"):
            edit.put_file("big", folder / "big")
    for name in ("secret", "big"):
        diamond = repo.create_diamond()
        with pytest.raises(Refused, match="was erased"):
            diamond.add_split(write(tmp_path / name, {name: (folder / name).read_bytes()}))
    assert not traces(backend, SECRET) + traces(backend, BIG)
    assert len(repo.bundles()) == 1


def test_files_that_were_erased_can_be_skipped(backend: MemoryBackend, store: Store, tmp_path: Path) -> None:
    repo = store.create_repo("r")
    folder = write(tmp_path / "in", {"secret": SECRET, "big": BIG, "other": OTHER})
    repo.upload(folder, message="m")
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    done = repo.upload(folder, message="again", skip_on_error=True)
    assert sorted(skipped.path for skipped in done.skipped) == ["big", "secret"]
    assert readable(done.bundle) == {"other": OTHER}
    assert not traces(backend, SECRET) + traces(backend, BIG)


def test_the_cache_of_unchanged_files_brings_nothing_back(backend: MemoryBackend, tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"secret": SECRET, "other": OTHER})
    with process(backend, "cached", cache=tmp_path / "cache") as store:
        repo = store.create_repo("r")
        core_of(store).clock.tick(365 * 86_400)  # type: ignore[attr-defined]
        repo.upload(folder, message="m")
        store.erasure.erase(content=hash_of(SECRET), reason="x", now=True)
        with pytest.raises(Refused, match="'secret' was erased"):
            repo.upload(folder, message="again")
        done = repo.upload(folder, message="again", allow_erased=True)
        assert readable(done.bundle) == {"secret": SECRET, "other": OTHER}


def test_they_may_come_back_by_choice(store: Store, tmp_path: Path) -> None:
    repo = store.create_repo("r")
    folder = write(tmp_path / "in", {"secret": SECRET, "big": BIG, "other": OTHER})
    old = repo.upload(folder, message="m").bundle
    store.erasure.erase(content=[hash_of(SECRET), hash_of(BIG)], reason="x", now=True)
    done = repo.upload(folder, message="again", allow_erased=True)
    assert sorted(done.warnings) == sorted(
        f"content {hash_of(data)} was erased from this store, but has been stored again" for data in (SECRET, BIG)
    )
    assert readable(done.bundle) == {"secret": SECRET, "big": BIG, "other": OTHER}
    assert readable(old, [SECRET, BIG]) == {"other": OTHER}
    assert old.version == done.bundle.version
    assert_sound(store)
    store.erasure.erase(content=hash_of(SECRET), reason="again", now=True)
    assert readable(done.bundle, [SECRET]) == {"big": BIG, "other": OTHER}
    with repo.edit(message="m", allow_erased=True) as edit:
        edit.put("back", SECRET)
        assert edit.commit().read("back") == SECRET


def test_a_bundle_with_something_erased_can_be_edited_and_copied(store: Store) -> None:
    repo, other = store.create_repo("r"), store.create_repo("q")
    bundle = put(repo, {"a/secret": SECRET, "a/other": OTHER})
    store.erasure.erase(content=hash_of(SECRET), reason="x", now=True)
    assert readable(put(repo, {"new": b"new"}), [SECRET]) == {"a/other": OTHER, "new": b"new"}
    with other.edit(message="m") as edit:
        edit.copy("a", "taken", source=bundle)
        assert readable(edit.commit(), [SECRET]) == {"taken/other": OTHER}
    assert_sound(store)


def test_no_trace_is_left_on_the_disks(tmp_path: Path) -> None:
    from sheaf.repo.connect import init

    with init(str(tmp_path / "store"), probe=False, cache=tmp_path / "cache") as store:
        repo = store.create_repo("r")
        bundle = put(repo, {"secret": BIG[:10_000], "other": OTHER})
        assert traces_in_folder(tmp_path, BIG[:10_000])
        store.erasure.erase(content=hash_of(BIG[:10_000]), reason="x", now=True)
        assert not traces_in_folder(tmp_path, BIG[:10_000])
        assert readable(bundle, [BIG[:10_000]]) == {"other": OTHER}
